package host

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Hash asks the local member for the hash of its key space, as a peer would: over its peer URL, with its own
// peer certificate. That is where a learner answers too. The member reads the whole of its key space for it, which takes
// seconds for gigabytes that are in memory, and many minutes from a slow disk: it is waited for while it does.
func (m *Machine) Hash(ctx context.Context, cluster string, r api.HashRequest) (api.Hash, error) {
	marker, err := m.marker(cluster)
	if err != nil {
		return api.Hash{}, err
	}
	if marker != nil {
		waiting, stop := m.whileItGains(ctx, *marker, stallTimeout)
		defer stop()
		ctx = waiting
	}
	id, err := m.clusterID(ctx, cluster)
	if err != nil {
		return api.Hash{}, err
	}
	peerURL, err := m.peerURL(cluster)
	if err != nil {
		return api.Hash{}, err
	}
	client, err := m.peerClient(cluster)
	if err != nil {
		return api.Hash{}, err
	}
	answer, err := etcdserver.HashByRev(ctx, types.ID(id), client, peerURL, r.Revision)
	if err != nil {
		return api.Hash{}, fmt.Errorf("ask the local member at %s for its hash at revision %d: %w", peerURL, r.Revision, err)
	}
	hash := api.Hash{Hash: answer.Hash, HashRevision: answer.HashRevision, CompactRevision: answer.CompactRevision, Revision: answer.Header.Revision}
	if r.CountAt > 0 {
		hash.Keys, err = m.countKeys(ctx, cluster, r.CountAt)
	}
	return hash, err
}

// countKeys asks the local member, over its client port, how many keys it had itself at a revision.
func (m *Machine) countKeys(ctx context.Context, cluster string, revision int64) (int64, error) {
	marker, err := m.marker(cluster)
	if err != nil {
		return 0, err
	}
	client, err := m.dial(ctx, *marker)
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

// clusterID is the ID of the cluster that the local member is a part of.
func (m *Machine) clusterID(ctx context.Context, cluster string) (uint64, error) {
	marker, err := m.marker(cluster)
	if err != nil {
		return 0, err
	}
	if marker == nil {
		return 0, refuse("%s: there is no %s", noCluster, api.MarkerFile(cluster))
	}
	client, err := m.dial(ctx, *marker)
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

// peerURL is where the member's peers find it: its certificate is good for that address.
func (m *Machine) peerURL(cluster string) (string, error) {
	flags, err := m.flags(cluster)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(api.FlagValue(flags, "initial-advertise-peer-urls"), ",")
	if first == "" {
		return "", fmt.Errorf("find the member's peer URL: %s does not hold --initial-advertise-peer-urls", api.FlagsFile(cluster))
	}
	return strings.TrimSuffix(first, "/"), nil
}
