package host

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// clusterVersion is the version that the members have agreed on, which a status does not say; empty: not
// known, or not agreed on yet.
func (m *Machine) clusterVersion(ctx context.Context, marker api.Marker) string {
	config, err := m.adminTLS(marker.Cluster)
	if err != nil {
		return ""
	}
	address := "https://" + net.JoinHostPort(loopback, strconv.Itoa(marker.ClientPort)) + "/version"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return ""
	}
	response, err := direct(config).Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	var versions struct {
		Cluster string `json:"etcdcluster"`
	}
	if json.NewDecoder(response.Body).Decode(&versions) != nil || versions.Cluster == "not_decided" {
		return ""
	}
	return versions.Cluster
}
