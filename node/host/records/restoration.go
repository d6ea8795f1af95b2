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

// Restoration is what api.RestoreFile holds: what the host reports of a restore, and what it needs to continue or to
// roll it back.
type Restoration struct {
	api.Restoration
	Owner string `json:"owner"`

	// The rest of what the host had before.
	Store    string   `json:"store,omitempty"`   // that the cluster selected
	Unit     string   `json:"unit,omitempty"`    // the text of its file
	Progress Progress `json:"progress,omitzero"` // how far the old member had come

	DataDir string `json:"data_dir,omitempty"` // that the restore fills; empty: it has not begun to
	Mount   string `json:"mount,omitempty"`    // where the file system is mounted that DataDir lies on
	// Cleared says that all of the old data lies in Aside: the restore has put there what lies in DataDir now.
	Cleared bool   `json:"cleared,omitempty"`
	Made    string `json:"made,omitempty"` // ID of the cluster whose data was put there, or is about to be, hexadecimal

	Opened time.Time `json:"opened,omitzero"` // when the restored cluster was opened to clients
}

// opening is how long the run of a restore, after it has opened the restored cluster, may still be starting the members
// that it has compared.
const opening = 30 * time.Second

// Compares tells whether the run of the restore compares the members' data, so that the members need not compare it
// themselves.
func (r *Restoration) Compares(now time.Time) bool {
	since := now.Sub(r.Opened)
	return r.Stage != api.StageOpened || 0 <= since && since < opening
}

// Restoration returns the restore that is under way on this host, or nil. A record that exists and cannot be read is an
// error, since nobody knows whether the member may start.
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

// PutRestoration records a restore that is under way. etcd's group may read the record, for the guard.
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

// String names the restore in refusals.
func (r Restoration) String() string {
	return fmt.Sprintf("a restore of %s is under way since %s (%s)", r.Source, r.Began.UTC().Format("2006-01-02 15:04:05 UTC"), r.Stage)
}

// MountPoint returns where the file system of the restored data is mounted; empty: the restore has not touched data
// yet, or a store of an earlier release has begun it, which did not record the mount point.
func (r *Restoration) MountPoint() string {
	if r.Mount == "" && r.Marker != nil && r.Marker.DataDir == r.DataDir {
		return r.Marker.Mount
	}
	return r.Mount
}

// Beside returns the data directory beside which the fetched snapshot lies.
func (r Restoration) Beside() string {
	if r.DataDir == "" && r.Marker != nil {
		return r.Marker.DataDir
	}
	return r.DataDir
}
