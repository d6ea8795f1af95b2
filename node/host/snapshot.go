package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
)

const (
	// unfinishedSnapshot is what a snapshot is called until it is verified. A call that was cut short leaves
	// it, and the next one writes over it.
	unfinishedSnapshot = "unfinished"
	// stamp is how a time is spelled in a name.
	stamp = "20060102T150405Z"
)

// Snapshot saves a snapshot of the local member beside its data, verifies it, and lets the oldest go.
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
		unfinished := filepath.Join(dir, unfinishedSnapshot)
		if err := files.Remove(m.path(unfinished)); err != nil {
			return err
		}
		if err := m.disks().MustHoldSnapshot(dir, member.State.DbSize); err != nil {
			return err
		}
		s, err := m.save(ctx, member, unfinished)
		if err == nil {
			taken, err = m.verifySaved(unfinished, s)
		}
		if err != nil {
			return errors.Join(err, files.Remove(m.path(unfinished)))
		}
		taken.Path = filepath.Join(dir, fmt.Sprintf("%d-%s.db", taken.Revision, m.Now().UTC().Format(stamp)))
		if err := m.files().Rename(unfinished, taken.Path); err != nil {
			return err
		}
		return m.keepSnapshots(dir, filepath.Base(taken.Path), r.Keep)
	})
	return taken, err
}

// save streams a snapshot to a file, and brings it to the disk.
func (m *Machine) save(ctx context.Context, member etcdclient.Voter, path string) (*etcdfs.Checksum, error) {
	out, err := inside.OpenFile(m.path(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, files.KeyFile)
	if err != nil {
		return nil, err
	}
	if err := disks.Reserve(out, member.State.DbSize); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	disk := durable.NewWriter(out)
	s, err := send(ctx, member, disk)
	return s, errors.Join(err, durable.Release(out), disk.Sync(), out.Close())
}

// verifySaved verifies a snapshot at a path of the host whose checksum was taken on its way there.
func (m *Machine) verifySaved(path string, s *etcdfs.Checksum) (api.Snapshot, error) {
	file, err := inside.OpenFile(m.path(path), os.O_RDONLY, 0)
	if err != nil {
		return api.Snapshot{}, err
	}
	defer file.Close()
	return etcdfs.Verify(path, inside.PathOf(file), s)
}

// send streams a snapshot of the local member.
func send(ctx context.Context, member etcdclient.Voter, to io.Writer) (*etcdfs.Checksum, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	stream, err := member.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the local member for a snapshot: %w", err)
	}
	defer stream.Close()
	s := etcdfs.NewChecksum()
	silent := func() { giveUp(fmt.Errorf("it has sent nothing for %s", pace.StallTimeout)) }
	if _, err := io.Copy(io.MultiWriter(to, s), pace.Flowing(stream, pace.StallTimeout, silent)); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("save a snapshot of the local member: %w", err)
	}
	return s, nil
}

// snapshotName is what a verified snapshot is called: its revision, and when it was taken.
var snapshotName = regexp.MustCompile(`^\d+-(\d{8}T\d{6}Z)\.db$`)

// keepSnapshots removes the oldest snapshots until so many are left, but never the one that was just taken,
// whatever the clock says.
func (m *Machine) keepSnapshots(dir, taken string, keep int) error {
	entries, err := inside.ReadDir(m.path(dir))
	if err != nil {
		return err
	}
	type older struct{ name, at string }
	var others []older
	for _, entry := range entries {
		if found := snapshotName.FindStringSubmatch(entry.Name()); found != nil && entry.Name() != taken {
			others = append(others, older{entry.Name(), found[1]})
		}
	}
	slices.SortFunc(others, func(a, b older) int { return cmp.Compare(a.at, b.at) })
	for _, other := range others[:max(0, len(others)-keep+1)] {
		if err := files.Remove(m.path(filepath.Join(dir, other.name))); err != nil {
			return err
		}
	}
	return nil
}
