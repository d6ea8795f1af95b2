package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

// Snapshot saves a snapshot of the local member beside its data, verifies it, and deletes the oldest snapshots.
func (m *Machine) Snapshot(ctx context.Context, cluster string, r api.SnapshotRequest) (api.Snapshot, error) {
	if r.Keep < 1 {
		return api.Snapshot{}, refuse("%d snapshots are to be kept: keep at least the one that is taken", r.Keep)
	}
	var taken api.Snapshot
	err := m.through(ctx, cluster, r.Owner, untilDone, func(ctx context.Context, member etcdclient.Voter) error {
		dir := api.SnapshotDir(member.Marker.DataDir)
		if err := m.files().EnsureDir(dir, files.RootUser, files.DataMode); err != nil {
			return err
		}
		unfinished := filepath.Join(dir, snapshots.Unfinished)
		if err := files.Remove(m.path(unfinished)); err != nil {
			return err
		}
		m.snapshots().LetGo(cluster)
		if err := m.disks().MustHoldSnapshot(dir, member.State.DbSize); err != nil {
			return err
		}
		s, err := m.snapshots().Save(ctx, member, unfinished)
		if err == nil {
			taken, err = m.snapshots().VerifySaved(unfinished, s)
		}
		if err != nil {
			return errors.Join(err, files.Remove(m.path(unfinished)))
		}
		taken.Path = filepath.Join(dir, fmt.Sprintf("%d-%s.db", taken.Revision, m.Now().UTC().Format(files.Stamp)))
		if err := m.files().Rename(unfinished, taken.Path); err != nil {
			return err
		}
		return m.snapshots().KeepNewest(taken.Path, member.Marker.Former, r.Keep)
	})
	return taken, err
}
