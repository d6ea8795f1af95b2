package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// Record records how far the database of a stopped member has come. The guard compares that with the database later,
// and reads it in the same way: from the file, as the disk holds it. Nothing else would do, since a power cut may
// rightly lose what a member has applied in memory.
//
// Record also completes pairs of keys and certificates that an interrupted call has left: systemd runs it, as root,
// whenever the member has ended.
func (m *Machine) Record(ctx context.Context, cluster string) error {
	marker, err := m.records().Marker(cluster)
	if err != nil || marker == nil {
		return err
	}
	m.noteVain(ctx, cluster)
	// A member that starts with half of a pair ends at once, and starts again with all of it.
	if err := m.keys().CompletePairs(cluster); err != nil {
		return err
	}
	// A newer store, say, may have restarted the member without configuring it.
	_ = m.keys().PutMetrics(cluster, marker.Member)
	if !m.etcd(marker.DataDir).HasMember() {
		return nil
	}
	// systemd runs this after each end of the member, and a call does after it has stopped the member.
	return m.locks().Alone(ctx, locks.Progress(cluster), func() error {
		now, err := m.progressOf(marker.DataDir)
		if err != nil {
			return fmt.Errorf("record how far member %s of cluster %s has come: %w", marker.Member, cluster, err)
		}
		old, err := m.records().Progress(cluster)
		if err != nil {
			return err
		}
		if old.ClusterID == now.ClusterID && old.MemberID == now.MemberID && old.Index >= now.Index {
			return nil
		}
		return m.records().PutProgress(cluster, now)
	})
}

// progressOf returns how far the database in a data directory has come, once the disk has it. A killed member may leave
// its last page to the kernel, and a power cut loses that page.
func (m *Machine) progressOf(dir string) (records.Progress, error) {
	cluster, member, err := m.etcd(dir).Identity()
	if err != nil {
		return records.Progress{}, err
	}
	index, err := m.etcd(dir).ConsistentIndex()
	if err != nil {
		return records.Progress{}, err
	}
	db, err := inside.OpenFile(m.path(etcdfs.Database(dir)), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return records.Progress{ClusterID: api.FormatID(cluster), MemberID: api.FormatID(member), Index: 0}, nil
	}
	if err != nil {
		return records.Progress{}, err
	}
	return records.Progress{ClusterID: api.FormatID(cluster), MemberID: api.FormatID(member), Index: index}, errors.Join(db.Sync(), db.Close())
}
