package etcdclient

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Hash asks the member for the hash of its key space at a revision, as a peer would: over its peer URL, with its own
// peer certificate. A learner answers there too.
func (l Local) Hash(ctx context.Context, flags []string, revision int64) (api.Hash, error) {
	id, err := l.clusterID(ctx)
	if err != nil {
		return api.Hash{}, err
	}
	peerURL, err := l.PeerURL(flags)
	if err != nil {
		return api.Hash{}, err
	}
	client, err := l.peerClient(flags)
	if err != nil {
		return api.Hash{}, err
	}
	answer, err := etcdserver.HashByRev(ctx, types.ID(id), client, peerURL, revision)
	if err != nil {
		return api.Hash{}, fmt.Errorf("ask the local member at %s for its hash at revision %d: %w", peerURL, revision, err)
	}
	return api.Hash{Hash: answer.Hash, HashRevision: answer.HashRevision, CompactRevision: answer.CompactRevision, Revision: answer.Header.Revision}, nil
}

// CountKeys asks the member, over its client port, how many keys its own data has at a revision.
func (l Local) CountKeys(ctx context.Context, revision int64) (int64, error) {
	client, err := l.Dial(ctx)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	all, err := client.Get(ctx, "", clientv3.WithFromKey(), clientv3.WithCountOnly(), clientv3.WithSerializable(), clientv3.WithRev(revision))
	if err != nil {
		return 0, fmt.Errorf("count the keys of the local member: %w", err)
	}
	return all.Count, nil
}

// clusterID asks the member for the ID of its cluster.
func (l Local) clusterID(ctx context.Context) (uint64, error) {
	client, err := l.Dial(ctx)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	status, err := client.Status(ctx, client.Endpoints()[0])
	if err != nil {
		return 0, fmt.Errorf("ask the local member for its status: %w", err)
	}
	return status.Header.ClusterId, nil
}
