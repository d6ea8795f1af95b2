package snapshots

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
)

// Draft is a file that a snapshot is written to.
type Draft interface {
	io.Writer
	// Examine runs do, which reads what was written at a path of this process, and may be given up: what do changes is
	// of use only if it has ended without an error.
	Examine(do func(path string) error) error
}

// SaveTo streams a snapshot into a draft, and verifies it. It returns the revisions in the snapshot as well.
func (h Host) SaveTo(ctx context.Context, member etcdclient.Voter, to Draft) (api.Saved, etcdfs.Revisions, error) {
	s, err := Send(ctx, member, to)
	if err != nil {
		return api.Saved{}, etcdfs.Revisions{}, err
	}
	var read examined
	if err := to.Examine(func(path string) (err error) {
		read, err = examine(path, s)
		return err
	}); err != nil {
		return api.Saved{}, etcdfs.Revisions{}, err
	}
	saved, err := h.compare(ctx, member, read)
	return saved, read.inside, err
}

// Check verifies a snapshot that was streamed to a file.
func (h Host) Check(ctx context.Context, member etcdclient.Voter, file *os.File, s *api.Checksum) (api.Saved, error) {
	read, err := examine(inside.PathOf(file), s)
	if err != nil {
		return api.Saved{}, err
	}
	return h.compare(ctx, member, read)
}

// examined is what a snapshot holds.
type examined struct {
	api.Snapshot
	inside etcdfs.Revisions
}

// examine verifies a snapshot at a path of this process, with the checksum of what was written there.
func examine(path string, s *api.Checksum) (read examined, err error) {
	if read.Snapshot, err = etcdfs.Verify("of the local member", path, s, nil); err != nil {
		return read, err
	}
	read.inside, err = etcdfs.RevisionsIn(path)
	return read, err
}

// compare adds what the member says of a verified snapshot.
func (h Host) compare(ctx context.Context, member etcdclient.Voter, read examined) (api.Saved, error) {
	saved := api.Saved{
		Snapshot: read.Snapshot, ClusterID: api.FormatID(member.State.Header.ClusterId), MemberID: api.FormatID(member.ID), Etcd: member.State.Version,
	}
	saved.TakenAt = h.Now().UTC()
	live, err := inside.OpenFile(h.Files.Path(etcdfs.Database(member.Marker.DataDir)), os.O_RDONLY, 0)
	if err != nil {
		return api.Saved{}, err
	}
	letGo, err := etcdfs.Prefault(live) // the live database may have left the cache meanwhile
	if err := errors.Join(err, live.Close()); err != nil {
		return api.Saved{}, err
	}
	saved.Hash = h.hashLike(ctx, member, read)
	return saved, letGo()
}

// hashLike returns the member's own hash of what a snapshot holds. It returns 0 if the member has compacted more since,
// or up to the very revision: the member then answers with the hash that it computed just before.
func (h Host) hashLike(ctx context.Context, member etcdclient.Voter, read examined) uint32 {
	ctx, stop := h.Paces.WhileItGains(ctx, member.Marker, pace.StallTimeout)
	defer stop()
	answer, err := member.HashKV(ctx, member.Endpoints()[0], read.Revision)
	if err != nil || answer.CompactRevision != read.inside.Compact || answer.HashRevision != read.Revision {
		return 0 // compacted, or the member is gone: the snapshot is whole without a hash
	}
	return answer.Hash
}
