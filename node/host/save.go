package host

import (
	"context"
	"errors"
	"io"
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
func (m *Machine) Save(ctx context.Context, cluster string, r api.SaveRequest, content io.Writer) (api.Saved, error) {
	var saved api.Saved
	err := m.through(ctx, cluster, r.Owner, untilDone, func(ctx context.Context, member etcdclient.Voter) error {
		if err := member.MustReachOthers(ctx, etcdclient.ReachTimeout); err != nil {
			return err
		}
		dir := api.SnapshotDir(member.Marker.DataDir)
		if err := m.files().EnsureDir(dir, files.RootUser, files.DataMode); err != nil {
			return err
		}
		if err := m.disks().MustHoldSnapshot(dir, member.State.DbSize); err != nil {
			return err
		}
		file, err := m.files().Nameless(dir)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := disks.Reserve(file, member.State.DbSize); err != nil {
			return err
		}
		s, err := snapshots.Send(ctx, member, file)
		if err = errors.Join(err, durable.Release(file)); err != nil {
			return err
		}
		if r.S3 != nil {
			if saved, err = m.snapshots().Check(ctx, member, file, s); err != nil {
				return err
			}
			return put(ctx, *r.S3, file, saved.SizeBytes)
		}
		// The snapshot is verified while it is sent. If it turns out to be none, the sending ends.
		sent := make(chan error, 1)
		verifying, failed := context.WithCancelCause(ctx)
		defer failed(nil)
		whole := io.NewSectionReader(file, 0, s.Size)
		go func() {
			_, err := io.Copy(content, snapshots.Until(verifying, whole))
			sent <- err
		}()
		if saved, err = m.snapshots().Check(ctx, member, file, s); err != nil {
			failed(err)
			<-sent
			return err
		}
		return <-sent
	})
	return saved, err
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
