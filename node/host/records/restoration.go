package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Restoration is what api.RestoreFile holds: what a provider may know of it, and what the host itself goes on by.
type Restoration struct {
	api.Restoration
	Owner string `json:"owner"`

	// What was there before, besides.
	Store    string   `json:"store,omitempty"`   // that the cluster selected
	Unit     string   `json:"unit,omitempty"`    // the text of its file
	Progress Progress `json:"progress,omitzero"` // how far the old member had come

	DataDir string `json:"data_dir,omitempty"` // that is restored into; empty: nothing is yet
	Mount   string `json:"mount,omitempty"`    // where the file system is mounted that DataDir lies on
	// Cleared says that what lay in DataDir before lies in Aside, all of it: what is there now was put there by the
	// restore.
	Cleared bool   `json:"cleared,omitempty"`
	Made    string `json:"made,omitempty"` // ID of the cluster whose data was put there, or is about to be, hexadecimal

	Opened time.Time `json:"opened,omitzero"` // when the restored cluster was opened to clients
}

// opening is for how long after a restore was opened its members are those that the restore's run has compared, and are
// being started again by it.
const opening = 30 * time.Second

// Compares tells whether the run of the restore compares the members at this moment, so that they need not do so
// themselves.
func (r *Restoration) Compares(now time.Time) bool {
	since := now.Sub(r.Opened)
	return r.Stage != api.StageOpened || 0 <= since && since < opening
}

// Restoration is the restore that is under way on this host; nil: none is. One that is there and cannot be read is
// an error: it is not known whether the member may start.
func (r Records) Restoration(cluster string) (*Restoration, error) {
	text, err := inside.ReadFile(r.Files.Path(api.RestoreFile(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var under Restoration
	if err == nil {
		err = json.Unmarshal(text, &under)
	}
	if err == nil && under.Stage == "" {
		err = errors.New("it does not say how far the restore has come")
	}
	if err != nil {
		return nil, fmt.Errorf("%s, which says what restore is under way, cannot be read: %w; find out what has written it", api.RestoreFile(cluster), err)
	}
	return &under, nil
}

// PutRestoration records it. etcd's group may read it, for the guard.
func (r Records) PutRestoration(cluster string, under *Restoration) error {
	text, err := json.MarshalIndent(under, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the restore: %w", err)
	}
	etcd, err := r.SystemUser()
	if err != nil {
		return err
	}
	_, err = r.Files.Put(files.File{Path: api.RestoreFile(cluster), Text: append(text, '\n'), Owner: files.RootFor(etcd), Mode: files.ConfigFile})
	return err
}

// String says what is under way.
func (r Restoration) String() string {
	return fmt.Sprintf("a restore of %s is under way since %s (%s)", r.Source, r.Began.UTC().Format("2006-01-02 15:04:05 UTC"), r.Stage)
}

// MountPoint is where the file system is mounted that a restore moves and makes data on; empty: it does not yet, or a store has
// begun it that did not record that.
func (r *Restoration) MountPoint() string {
	if r.Mount == "" && r.Marker != nil && r.Marker.DataDir == r.DataDir {
		return r.Marker.Mount
	}
	return r.Mount
}

// Beside is the data directory that what was fetched lies beside.
func (r Restoration) Beside() string {
	if r.DataDir == "" && r.Marker != nil {
		return r.Marker.DataDir
	}
	return r.DataDir
}
