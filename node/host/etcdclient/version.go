package etcdclient

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
)

// clusterVersion returns the version that the members have agreed on, which a status does not hold. It returns "" if
// the version is not known or not agreed on yet.
func (l Local) clusterVersion(ctx context.Context) string {
	config, err := l.adminTLS()
	if err != nil {
		return ""
	}
	address := "https://" + net.JoinHostPort(Loopback, strconv.Itoa(l.Marker.ClientPort)) + "/version"
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
