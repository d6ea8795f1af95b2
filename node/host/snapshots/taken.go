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

// SaveTo streams a snapshot to where it ends up in a file, and verifies that.
func (h Host) SaveTo(ctx context.Context, member etcdclient.Voter, file *os.File, to io.Writer) (api.Saved, error) {
	s, err := Send(ctx, member, to)
	if err != nil {
		return api.Saved{}, err
	}
	return h.Check(ctx, member, file, s)
}

// Check verifies a snapshot that was streamed to a file.
func (h Host) Check(ctx context.Context, member etcdclient.Voter, file *os.File, s *api.Checksum) (api.Saved, error) {
	taken, err := etcdfs.Verify("of the local member", inside.PathOf(file), s)
	if err != nil {
		return api.Saved{}, err
	}
	saved := api.Saved{
		Snapshot: taken, ClusterID: api.FormatID(member.State.Header.ClusterId), MemberID: api.FormatID(member.ID), Etcd: member.State.Version,
	}
	saved.TakenAt = h.Now().UTC()
	live, err := inside.OpenFile(h.Files.Path(etcdfs.Database(member.Marker.DataDir)), os.O_RDONLY, 0)
	if err != nil {
		return api.Saved{}, err
	}
	letGo, err := etcdfs.Prefault(live) // it may have left the cache while it was streamed
	if err := errors.Join(err, live.Close()); err != nil {
		return api.Saved{}, err
	}
	saved.Hash, err = h.hashLike(ctx, member, taken, inside.PathOf(file))
	return saved, errors.Join(err, letGo())
}

// hashLike is the hash that the member has of what a snapshot holds; 0 where it has compacted more since, or up to
// the very revision: then it gives the hash that it took just before.
func (h Host) hashLike(ctx context.Context, member etcdclient.Voter, taken api.Snapshot, path string) (uint32, error) {
	inside, err := etcdfs.RevisionsIn(path)
	if err != nil {
		return 0, err
	}
	ctx, stop := h.Paces.WhileItGains(ctx, member.Marker, pace.StallTimeout)
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
