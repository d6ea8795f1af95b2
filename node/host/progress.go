package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// progress is what api.ProgressFile holds: that the database of a member had come this far, for good.
type progress struct {
	ClusterID string `json:"cluster_id"`
	MemberID  string `json:"member_id"`
	Index     uint64 `json:"index"` // the database's consistent index
}

// Record records how far the database of a member that does not run has come. It is the one that the
// guard compares with later, and is read the same way: from the file, as the disk holds it. Nothing else
// would do, since what a member has applied in memory may be gone after a power cut, by right.
//
// It also completes the pairs of keys and certificates that a call was cut short in: systemd has it run, as root, whenever
// the member has ended.
func (m *Machine) Record(ctx context.Context, cluster string) error {
	marker, err := m.marker(cluster)
	if err != nil || marker == nil {
		return err
	}
	m.noteVain(ctx, cluster)
	// A member that was started with half of a pair ends at once, and is started with all of it.
	if err := m.completePairs(cluster); err != nil {
		return err
	}
	if !m.etcd(marker.DataDir).HasMember() {
		return nil
	}
	// systemd records after each end of the member, and a call after it has stopped one.
	lock, err := m.openLock(cluster + ".progress")
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := lock.wait(ctx); err != nil {
		return err
	}
	now, err := m.progressOf(marker.DataDir)
	if err != nil {
		return fmt.Errorf("record how far member %s of cluster %s has come: %w", marker.Member, cluster, err)
	}
	old, err := m.recorded(cluster)
	if err != nil {
		return err
	}
	if old.ClusterID == now.ClusterID && old.MemberID == now.MemberID && old.Index >= now.Index {
		return nil
	}
	return m.putProgress(cluster, now)
}

// putProgress records how far a member has come. etcd's group may read it, for the guard.
func (m *Machine) putProgress(cluster string, now progress) error {
	text, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("encode how far the member has come: %w", err)
	}
	etcd, err := m.systemUser()
	if err != nil {
		return err
	}
	_, err = m.files().Put(files.File{Path: api.ProgressFile(cluster), Text: append(text, '\n'), Owner: files.RootFor(etcd), Mode: files.ConfigFile})
	return err
}

// progressOf is how far the database in a data directory has come, once the disk has it. A member that was
// killed may leave its last page to the kernel, and a power cut takes it back.
func (m *Machine) progressOf(dir string) (progress, error) {
	cluster, member, err := m.etcd(dir).Identity()
	if err != nil {
		return progress{}, err
	}
	index, err := m.etcd(dir).ConsistentIndex()
	if err != nil {
		return progress{}, err
	}
	db, err := inside.OpenFile(m.path(etcdfs.Database(dir)), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return progress{api.FormatID(cluster), api.FormatID(member), 0}, nil
	}
	if err != nil {
		return progress{}, err
	}
	return progress{api.FormatID(cluster), api.FormatID(member), index}, errors.Join(db.Sync(), db.Close())
}

// recorded is what was recorded last; the zero progress: nothing was.
func (m *Machine) recorded(cluster string) (progress, error) {
	text, err := os.ReadFile(m.path(api.ProgressFile(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return progress{}, nil
	}
	var p progress
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("%s, which says how far the member has come, cannot be read: %w", api.ProgressFile(cluster), err)
	}
	return p, nil
}
