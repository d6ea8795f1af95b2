package etcdclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Answers tells whether the metrics port answers a question with 200.
func (l Local) Answers(ctx context.Context, path string) bool {
	ok := false
	err := l.AskMetrics(ctx, path, func(status int, _ io.Reader) { ok = status == http.StatusOK })
	return err == nil && ok
}

// direct is a client that goes past proxies that the environment names, and leaves no connection behind.
func direct(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// probe asks in the clear.
var probe = direct(nil)

// AskMetrics asks the metrics port, which answers where the client port hangs. It hangs itself where a read
// does.
func (l Local) AskMetrics(ctx context.Context, path string, read func(status int, body io.Reader)) error {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(Loopback, strconv.Itoa(l.Marker.MetricsPort))+path, nil)
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

// Ready tells whether the member calls itself ready, apart from the alarm that the data of members differs: that is
// one of the whole cluster, which is told of by itself.
func (l Local) Ready(ctx context.Context) bool {
	return l.Answers(ctx, "/readyz?exclude=data_corruption")
}

// AppliedIndex is how far the member has come with its log; 0: it does not say. The metrics port answers before the
// client port is open.
func (l Local) AppliedIndex(ctx context.Context) (applied uint64) {
	_ = l.AskMetrics(ctx, "/metrics", func(_ int, body io.Reader) {
		for lines := bufio.NewScanner(body); lines.Scan(); {
			if value, found := strings.CutPrefix(lines.Text(), "etcd_server_proposals_applied_total "); found {
				number, _ := strconv.ParseFloat(value, 64) // of any size: 1.2345678e+07
				applied = uint64(number)
			}
		}
	})
	return applied
}
