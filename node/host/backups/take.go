package backups

import (
	"context"
	"errors"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

// taken is the snapshot of a backup.
type taken struct {
	backup.Snapshot
	draft  *backup.Draft
	staged *backup.BoundedDirectory // the destination that already has it, synced; nil: none
	room   int64                    // bytes that are reserved for it
}

// snapshotTries is how often a snapshot is taken until its hash can be compared with the member's. It cannot be
// compared if the cluster was compacted in between.
const snapshotTries = 2

// take saves a verified snapshot of the local member, if possible in the directory that keeps it.
func (r *run) take(ctx context.Context, to []destination) (*taken, error) {
	var t taken
	err := r.asVoter(ctx, r.marker, func(ctx context.Context, member etcdclient.Voter) error {
		if err := member.MustReachOthers(ctx, slotTimeout); err != nil {
			return err
		}
		var err error
		if t, err = r.newFile(to, member.State.DbSize); err != nil {
			return err
		}
		if err = r.fill(ctx, member, &t); err != nil {
			return errors.Join(err, t.draft.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.bytes, r.result.Revision = t.SizeBytes, t.Revision
	return &t, nil
}

// newFile returns the file for a snapshot. If a directory is to keep the snapshot in the clear, the file lies there, so
// that the snapshot is written once, and not to the member's disk. If that directory is at fault, storing says so.
func (r *run) newFile(to []destination, size int64) (taken, error) {
	for _, d := range to {
		if d.directory == nil || d.away != nil || len(r.config.Recipients) > 0 {
			continue
		}
		// Network file systems have no files without names: what is staged lies on a disk of this host.
		draft, err := d.directory.Stage(r.marker.Cluster, size)
		if err == nil {
			return taken{draft: draft, staged: d.directory, room: size}, nil
		}
	}
	dir := api.BackupStateDir(r.marker.DataDir)
	if err := r.disks().MustHoldSnapshot(dir, size); err != nil {
		return taken{}, err
	}
	file, err := r.Files.Nameless(dir)
	if err != nil {
		return taken{}, err
	}
	return taken{draft: backup.NewDraft(file, r.HangsAfter()), room: size}, nil
}

// fill takes the snapshot.
func (r *run) fill(ctx context.Context, member etcdclient.Voter, t *taken) error {
	var saved api.Saved
	var held etcdfs.Revisions
	for try := 0; try < snapshotTries && saved.Hash == 0; try++ {
		err := t.draft.Empty(func(file *os.File) error { return disks.Reserve(file, t.room) })
		if err != nil {
			return err
		}
		if saved, held, err = r.Snapshots.SaveTo(ctx, member, examinable{t.draft}); err != nil {
			return err
		}
	}
	if err := t.draft.Complete(); err != nil {
		return err
	}
	t.Snapshot = backup.Snapshot{
		Cluster: r.marker.Cluster, ClusterID: saved.ClusterID, Owner: backup.Owner(r.marker.Owner), Member: r.marker.Member, TakenAt: saved.TakenAt,
		Revision: saved.Revision, CompactRevision: held.Compact, Keys: saved.Keys, Hash: saved.Hash,
		EtcdVersion: saved.Etcd, StorageVersion: api.Minor(saved.Version), SizeBytes: saved.SizeBytes, SHA256: saved.SHA256,
	}
	return nil
}

// examinable is a draft that is given up while it is examined once its storage does not answer.
type examinable struct{ *backup.Draft }

func (e examinable) Examine(do func(path string) error) error {
	return e.Mapped(works(), func(file *os.File) error { return do(inside.PathOf(file)) })
}

// leastBusy is how long this process has to compute for that to be work. While it waits for a page of a file, it only
// keeps its lease alive.
const leastBusy = 10 * procfs.Tick

// works returns what tells whether this process has computed, or a disk has read something for it, since it was told so
// last. Where the kernel does not say, it counts as working.
func works() func() bool { return workingIn(procfs.FS{Root: "/"}) }

func workingIn(kernel procfs.FS) func() bool {
	mark := kernel.Work(os.Getpid())
	return func() bool {
		now := kernel.Work(os.Getpid())
		if now.Busy == 0 {
			return true
		}
		if now.Read-mark.Read < pace.LeastRead && now.Busy-mark.Busy < leastBusy {
			return false
		}
		mark = now
		return true
	}
}

// storeAt stores the snapshot as a backup.
func (t taken) storeAt(ctx context.Context, to destination, recipients backup.Recipients) (backup.Manifest, error) {
	if to.directory != nil && to.directory == t.staged {
		return backup.StoreStaged(ctx, to, t.Snapshot, t.draft)
	}
	return backup.Store(ctx, to, t.Snapshot, t.draft.Content(t.SizeBytes), recipients)
}
