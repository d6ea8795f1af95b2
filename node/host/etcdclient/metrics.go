package etcdclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Answers tells whether the metrics port answers a request for path with 200.
func (l Local) Answers(ctx context.Context, path string) bool {
	ok := false
	err := l.AskMetrics(ctx, path, func(status int, _ io.Reader) { ok = status == http.StatusOK })
	return err == nil && ok
}

// direct returns a client that uses no proxy from the environment, and keeps no connection open.
func direct(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// probe is a client without TLS.
var probe = direct(nil)

// AskMetrics requests path from the metrics port, and passes the answer to read. This port answers when the client port
// hangs, but hangs itself on paths for which the member does a read.
func (l Local) AskMetrics(ctx context.Context, path string, read func(status int, body io.Reader)) error {
	ctx, cancel := l.within(ctx)
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

// Ready tells whether the member calls itself ready. It leaves the CORRUPT alarm out, which is about the whole cluster
// and is reported as an alarm.
func (l Local) Ready(ctx context.Context) bool {
	return l.Answers(ctx, "/readyz?exclude=data_corruption")
}

// AppliedIndex returns the index of the last log entry that the member has applied, or 0 if it does not say. The
// metrics port answers before the client port is open.
func (l Local) AppliedIndex(ctx context.Context) (applied uint64) {
	_ = l.AskMetrics(ctx, "/metrics", func(_ int, body io.Reader) {
		for lines := bufio.NewScanner(body); lines.Scan(); {
			if value, found := strings.CutPrefix(lines.Text(), "etcd_server_proposals_applied_total "); found {
				number, _ := strconv.ParseFloat(value, 64) // like 1.2345678e+07
				applied = uint64(number)
			}
		}
	})
	return applied
}

// activePeer begins the lines of the metrics that tell whether the member has connections with a peer: 1, or 0.
const activePeer = "etcd_network_active_peers{"

// Connected returns the IDs of the peers that the member has connections with, sorted. They end with the peer's
// process. TCP's keepalive alone ends those with a machine that vanished: etcd sets its limit of 5 s where Go does not
// use it (Transport.Dial beside DialContext).
func (l Local) Connected(ctx context.Context) (ids []string, known bool) {
	err := l.AskMetrics(ctx, "/metrics", func(status int, body io.Reader) {
		known = status == http.StatusOK
		lines, met := bufio.NewScanner(body), false
		for lines.Scan() {
			labels, found := bytes.CutPrefix(lines.Bytes(), []byte(activePeer))
			switch {
			case found:
				met = true
				_, remote, _ := strings.Cut(string(labels), `Remote="`)
				if id, value, _ := strings.Cut(remote, `"} `); value != "0" && id != "" {
					ids = append(ids, id)
				}
			case met: // all lines of a metric follow each other
				return
			}
		}
		known = known && lines.Err() == nil
	})
	slices.Sort(ids)
	return ids, known && err == nil
}
