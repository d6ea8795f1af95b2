package host

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// reached is how far a member has come that is not ready yet. What cannot be found out is zero.
type reached struct {
	bytes   int64  // of its database and of the snapshot that is coming in
	applied uint64 // index
}

// reach is how far the local member has come, ready or not: its metrics port answers before its client port is
// open.
func (m *Machine) reach(ctx context.Context, marker api.Marker) reached {
	var r reached
	files, _ := readDirInside(m.path(marker.DataDir), filepath.Dir(database(""))) // there is none yet
	for _, file := range files {
		if info, err := file.Info(); err == nil { // one that is renamed meanwhile is seen the next time
			r.bytes += info.Size()
		}
	}
	_ = askMetrics(ctx, marker.MetricsPort, "/metrics", func(status int, body io.Reader) {
		for lines := bufio.NewScanner(body); lines.Scan(); {
			if value, found := strings.CutPrefix(lines.Text(), "etcd_server_proposals_applied_total "); found {
				number, _ := strconv.ParseFloat(value, 64) // of any size: 1.2345678e+07
				r.applied = uint64(number)
			}
		}
	})
	return r
}

// answersOK tells whether the metrics port answers a question with 200.
func answersOK(ctx context.Context, metricsPort int, path string) bool {
	ok := false
	err := askMetrics(ctx, metricsPort, path, func(status int, _ io.Reader) { ok = status == http.StatusOK })
	return err == nil && ok
}

// direct is a client that goes past proxies that the environment names, and leaves no connection behind.
func direct(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// probe asks in the clear.
var probe = direct(nil)

// askMetrics asks the metrics port, which answers where the client port hangs. It hangs itself where a read
// does.
func askMetrics(ctx context.Context, metricsPort int, path string, read func(status int, body io.Reader)) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(loopback, strconv.Itoa(metricsPort))+path, nil)
	if err != nil {
		return err
	}
	response, err := probe.Do(request)
	if err != nil {
		return err
	}
	read(response.StatusCode, response.Body)
	return response.Body.Close()
}
