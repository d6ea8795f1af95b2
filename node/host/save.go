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
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
)

// Save sends a snapshot of the local member, and says whether it is one once all of it was verified. It is taken into a
// file first: the member holds a read transaction for as long as it is read, in which its database grows, and the line to
// whoever wants it may be thin. Several may be at work at a time.
func (m *Machine) Save(ctx context.Context, cluster string, r api.SaveRequest, content io.Writer) (api.Saved, error) {
	var saved api.Saved
	err := m.through(ctx, cluster, r.Owner, untilDone, func(ctx context.Context, member etcdclient.Voter) error {
		if err := member.MustReachOthers(ctx); err != nil {
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
		s, err := send(ctx, member, file)
		if err = errors.Join(err, durable.Release(file)); err != nil {
			return err
		}
		if r.S3 != nil {
			if saved, err = m.checkedSnapshot(ctx, member, file, s); err != nil {
				return err
			}
			return put(ctx, *r.S3, file, saved.SizeBytes)
		}
		// It is verified while it is sent. Where it turns out to be none, the sending ends.
		sent := make(chan error, 1)
		verifying, failed := context.WithCancelCause(ctx)
		defer failed(nil)
		whole := io.NewSectionReader(file, 0, s.Size)
		go func() {
			_, err := io.Copy(content, whileRead{verifying, whole})
			sent <- err
		}()
		if saved, err = m.checkedSnapshot(ctx, member, file, s); err != nil {
			failed(err)
			<-sent
			return err
		}
		return <-sent
	})
	return saved, err
}

// whileRead reads until its context ends.
type whileRead struct {
	context.Context
	from io.Reader
}

func (r whileRead) Read(p []byte) (int, error) {
	if r.Err() != nil {
		return 0, context.Cause(r)
	}
	return r.from.Read(p)
}

// saveTo streams a snapshot to where it ends up in a file, and verifies that.
func (m *Machine) saveTo(ctx context.Context, member etcdclient.Voter, file *os.File, to io.Writer) (api.Saved, error) {
	s, err := send(ctx, member, to)
	if err != nil {
		return api.Saved{}, err
	}
	return m.checkedSnapshot(ctx, member, file, s)
}

// checkedSnapshot verifies a snapshot that was streamed to a file.
func (m *Machine) checkedSnapshot(ctx context.Context, member etcdclient.Voter, file *os.File, s *etcdfs.Checksum) (api.Saved, error) {
	taken, err := etcdfs.Verify("of the local member", inside.PathOf(file), s)
	if err != nil {
		return api.Saved{}, err
	}
	saved := api.Saved{
		Snapshot: taken, ClusterID: api.FormatID(member.State.Header.ClusterId), MemberID: api.FormatID(member.ID), Etcd: member.State.Version,
	}
	saved.TakenAt = m.Now().UTC()
	live, err := inside.OpenFile(m.path(etcdfs.Database(member.Marker.DataDir)), os.O_RDONLY, 0)
	if err != nil {
		return api.Saved{}, err
	}
	letGo, err := etcdfs.Prefault(live) // it may have left the cache while it was streamed
	if err := errors.Join(err, live.Close()); err != nil {
		return api.Saved{}, err
	}
	saved.Hash, err = m.hashLike(ctx, member, taken, inside.PathOf(file))
	return saved, errors.Join(err, letGo())
}

// hashLike is the hash that the member has of what a snapshot holds; 0 where it has compacted more since, or up to
// the very revision: then it gives the hash that it took just before.
func (m *Machine) hashLike(ctx context.Context, member etcdclient.Voter, taken api.Snapshot, path string) (uint32, error) {
	inside, err := etcdfs.RevisionsIn(path)
	if err != nil {
		return 0, err
	}
	ctx, stop := m.paces().WhileItGains(ctx, member.Marker, pace.StallTimeout)
	defer stop()
	answer, err := member.HashKV(ctx, member.Endpoints()[0], taken.Revision)
	if err != nil {
		return 0, nil // compacted, or a member that has gone: the snapshot is whole without
	}
	if answer.CompactRevision != inside.Compact || answer.HashRevision != taken.Revision {
		return 0, nil
	}
	return answer.Hash, nil
}

// put uploads a verified snapshot.
func put(ctx context.Context, s api.S3, file *os.File, size int64) error {
	storage, err := s3(s)
	if err != nil {
		return refuse("%s", err)
	}
	if s.Key == "" || strings.HasSuffix(s.Key, "/") || path.Clean(s.Key) != s.Key {
		return refuse("%q is no key of an object", s.Key)
	}
	return storage.Put(ctx, s.Key, size, io.NewSectionReader(file, 0, size))
}
