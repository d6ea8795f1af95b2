package host

import (
	"context"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// Probe asks the local member for its status, and reads nothing else. It is called repeatedly: it costs the member no
// entry in its log, and the host no request to systemd.
func (m *Machine) Probe(ctx context.Context, cluster string, r api.ProbeRequest) (api.Member, error) {
	marker, err := m.records().Marker(cluster)
	if err != nil {
		return api.Member{}, err
	}
	if marker == nil {
		return api.Member{Error: records.NoCluster}, nil
	}
	return m.local(*marker).After(min(r.Waited, api.LongestWait)).Look(ctx), nil
}
