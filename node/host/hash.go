package host

import (
	"context"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// Hash asks the local member for the hash of its key space, as a peer would: at its peer URL, with its own peer
// certificate. A learner answers there too. The member reads all of its key space for it, which takes seconds for
// gigabytes in memory and many minutes from a slow disk. Hash waits while the member reads.
func (m *Machine) Hash(ctx context.Context, cluster string, r api.HashRequest) (api.Hash, error) {
	marker, err := m.records().Marker(cluster)
	if err != nil {
		return api.Hash{}, err
	}
	if marker == nil {
		return api.Hash{}, refuse("%s: there is no %s", records.NoCluster, api.MarkerFile(cluster))
	}
	ctx, stop := m.paces().WhileItGains(ctx, *marker, pace.StallTimeout)
	defer stop()
	flags, err := m.flags(cluster)
	if err != nil {
		return api.Hash{}, err
	}
	member := m.local(*marker)
	hash, err := member.Hash(ctx, flags, r.Revision)
	if err == nil && r.CountAt > 0 {
		hash.Keys, err = member.CountKeys(ctx, r.CountAt)
	}
	return hash, err
}
