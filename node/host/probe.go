package host

import (
	"context"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Probe asks the local member how it is, and looks at nothing else. It is polled: it costs the member no
// entry in its log, and the host no look at systemd.
func (m *Machine) Probe(ctx context.Context, cluster string) (api.Member, error) {
	marker, err := m.marker(cluster)
	if err != nil {
		return api.Member{}, err
	}
	if marker == nil {
		return api.Member{Error: noCluster}, nil
	}
	return m.local(*marker).Look(ctx), nil
}
