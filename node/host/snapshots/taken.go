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

// SaveTo streams a snapshot through a writer into a file, and verifies the file.
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
	letGo, err := etcdfs.Prefault(live) // the live database may have left the cache meanwhile
	if err := errors.Join(err, live.Close()); err != nil {
		return api.Saved{}, err
	}
	saved.Hash, err = h.hashLike(ctx, member, taken, inside.PathOf(file))
	return saved, errors.Join(err, letGo())
}

// hashLike returns the member's own hash of what a snapshot holds. It returns 0 if the member has compacted more since,
// or up to the very revision: the member then answers with the hash that it computed just before.
func (h Host) hashLike(ctx context.Context, member etcdclient.Voter, taken api.Snapshot, path string) (uint32, error) {
	inside, err := etcdfs.RevisionsIn(path)
	if err != nil {
		return 0, err
	}
	ctx, stop := h.Paces.WhileItGains(ctx, member.Marker, pace.StallTimeout)
	defer stop()
	answer, err := member.HashKV(ctx, member.Endpoints()[0], taken.Revision)
	if err != nil {
		return 0, nil // compacted, or the member is gone: the snapshot is whole without a hash
	}
	if answer.CompactRevision != inside.Compact || answer.HashRevision != taken.Revision {
		return 0, nil
	}
	return answer.Hash, nil
}
