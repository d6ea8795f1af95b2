package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// restoration is what api.RestoreFile holds: what a provider may know of it, and what the host itself goes on by.
type restoration struct {
	api.Restoration
	Owner string `json:"owner"`

	// What was there before, besides.
	Store    string   `json:"store,omitempty"`   // that the cluster selected
	Unit     string   `json:"unit,omitempty"`    // the text of its file
	Progress progress `json:"progress,omitzero"` // how far the old member had come

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

// compares tells whether the run of the restore compares the members at this moment, so that they need not do so
// themselves.
func (r *restoration) compares(now time.Time) bool {
	since := now.Sub(r.Opened)
	return r.Stage != api.StageOpened || 0 <= since && since < opening
}

// restoration is the restore that is under way on this host; nil: none is. One that is there and cannot be read is
// an error: it is not known whether the member may start.
func (m *Machine) restoration(cluster string) (*restoration, error) {
	text, err := os.ReadFile(m.path(api.RestoreFile(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var under restoration
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

// putRestoration records it. etcd's group may read it, for the guard.
func (m *Machine) putRestoration(cluster string, under *restoration) error {
	text, err := json.MarshalIndent(under, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the restore: %w", err)
	}
	etcd, err := m.systemUser()
	if err != nil {
		return err
	}
	_, err = m.files().Put(files.File{Path: api.RestoreFile(cluster), Text: append(text, '\n'), Owner: files.RootFor(etcd), Mode: files.ConfigFile})
	return err
}

// endRestoration removes the record of a restore, and what was fetched for it.
func (m *Machine) endRestoration(cluster, dataDir string) error {
	if err := m.removeFetched(dataDir, "", false); err != nil {
		return err
	}
	return errors.Join(files.Remove(m.path(api.RestoreFile(cluster))), files.SyncDir(m.path(api.ConfigDir(cluster))))
}

// String says what is under way.
func (r restoration) String() string {
	return fmt.Sprintf("a restore of %s is under way since %s (%s)", r.Source, r.Began.UTC().Format("2006-01-02 15:04:05 UTC"), r.Stage)
}

// goOn is what a person does about a restore that is under way.
const goOn = "apply with this restore in the configuration to finish it, or with restore.take_back = true to go back to what was there before"

// guardFenced wants no member that a restore has fenced.
func (m *Machine) guardFenced(marker api.Marker) error {
	under, err := m.restoration(marker.Cluster)
	if err != nil || under == nil || under.Stage != api.StageFenced {
		return err
	}
	return fmt.Errorf("%s, and the member that was there before must not run beside the restored ones: %s", under, goOn)
}

// guardRestored wants of a restored member the data that it was given: it is what the others have, whatever phase
// the host is in.
func (m *Machine) guardRestored(marker api.Marker) error {
	under, err := m.restoration(marker.Cluster)
	if err != nil || under == nil {
		return err
	}
	cluster, _, err := m.etcd(marker.DataDir).Identity()
	if err != nil {
		return fmt.Errorf("%s, and the restored data is not in %s any more: %w: %s", under, marker.DataDir, err, goOn)
	}
	if api.FormatID(cluster) != under.Made {
		return fmt.Errorf("%s, and %s holds the data of cluster %x instead of that of cluster %s, which was restored: %s", under, marker.DataDir, cluster, under.Made, goOn)
	}
	return nil
}

// mustNotBeFenced refuses to start what the guard would not let start, before anything is stopped for it.
func (m *Machine) mustNotBeFenced(cluster string) error {
	under, err := m.restoration(cluster)
	if err == nil && under != nil && under.Stage == api.StageFenced {
		return refuse("%s: its member must not be started: %s", under, goOn)
	}
	return err
}
