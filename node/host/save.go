package host

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

// Save sends a snapshot of the local member, and says whether all of it was verified. It saves to a file first: while
// the snapshot is read, the member holds a read transaction, in which its database grows, and the connection to the
// caller may be slow. Several calls may run at a time.
func (m *Machine) Save(ctx context.Context, cluster string, r api.SaveRequest, content io.Writer) (saved api.Saved, err error) {
	if err := r.Check(); err != nil {
		return saved, err
	}
	if r.From > 0 {
		return m.sendRest(ctx, cluster, r, content)
	}
	lasting := ctx
	if r.ID != "" {
		lasting = context.WithoutCancel(ctx) // the snapshot is verified for the caller's next call too
	}
	m.snapshots().LetGo(cluster)
	err = m.through(lasting, cluster, r.Owner, untilDone, func(lasting context.Context, member etcdclient.Voter) error {
		if err := member.MustReachOthers(ctx, etcdclient.ReachTimeout); err != nil {
			return err
		}
		file, s, err := m.saveNameless(ctx, member)
		if err != nil {
			return err
		}
		check := func() (api.Saved, error) { return m.snapshots().Check(lasting, member, file, s) }
		if r.S3 != nil {
			defer file.Close()
			if saved, err = check(); err != nil {
				return err
			}
			return put(ctx, *r.S3, file, saved.SizeBytes)
		}
		saved, err = m.send(ctx, cluster, r, snapshots.NewSending(file, s.Size, check), content)
		return err
	})
	return saved, err
}

// saveNameless saves a snapshot of a member to a file that is gone once it is closed.
func (m *Machine) saveNameless(ctx context.Context, member etcdclient.Voter) (*os.File, *api.Checksum, error) {
	dir := api.SnapshotDir(member.Marker.DataDir)
	if err := m.files().EnsureDir(dir, files.RootUser, files.DataMode); err != nil {
		return nil, nil, err
	}
	if err := m.disks().MustHoldSnapshot(dir, member.State.DbSize); err != nil {
		return nil, nil, err
	}
	file, err := m.files().Nameless(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := disks.Reserve(file, member.State.DbSize); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	s, err := snapshots.Send(ctx, member, file)
	if err = errors.Join(err, durable.Release(file)); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, s, nil
}

// sendRest sends what is missing of a snapshot that an earlier call of the same run was sending.
func (m *Machine) sendRest(ctx context.Context, cluster string, r api.SaveRequest, content io.Writer) (saved api.Saved, err error) {
	if _, err := m.records().Owned(cluster, r.Owner); err != nil {
		return saved, err
	}
	rest, err := m.snapshots().TakeOver(cluster, r.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return saved, refuse("%s", api.SnapshotGone)
	}
	if err != nil {
		return saved, err
	}
	return m.send(ctx, cluster, r, rest, content)
}

// send sends a snapshot, and keeps it for a while for a caller that is cut off.
func (m *Machine) send(ctx context.Context, cluster string, r api.SaveRequest, s *snapshots.Sending, content io.Writer) (saved api.Saved, err error) {
	defer s.Close()
	if r.From > s.Size() {
		return saved, refuse("the snapshot has %d bytes, and cannot be sent from byte %d on", s.Size(), r.From)
	}
	var offer *snapshots.Offer
	if r.ID != "" {
		if offer, err = m.snapshots().Offer(cluster, r.ID); err != nil {
			return saved, err
		}
		defer offer.Close()
	}
	return s.Send(ctx, r.From, content, offer)
}

// put uploads a verified snapshot.
func put(ctx context.Context, s api.S3, file *os.File, size int64) error {
	storage, err := arrivals.Bucket(s)
	if err != nil {
		return refuse("%s", err)
	}
	if s.Key == "" || strings.HasSuffix(s.Key, "/") || path.Clean(s.Key) != s.Key {
		return refuse("%q is no key of an object", s.Key)
	}
	return storage.Put(ctx, s.Key, size, io.NewSectionReader(file, 0, size))
}
