package host

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// TestHandshakesDuringRenewals renews the keys and certificates of a real member over and over, and connects to both of
// its ports all the time. A handshake that reads one half of a pair before its rename and the other after fails, and
// the next one succeeds; after the last renewal none fails, the member serves what lies in its files, and it was never
// restarted.
func TestHandshakesDuringRenewals(t *testing.T) {
	renewals := 200
	if testing.Short() {
		renewals = 20
	}
	ca := newAuthority(t)
	f := fleetOf(t, ca, "a")[0]
	before, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
	must(t, err)
	ports := map[string]*handshakes{}
	for key, port := range map[string]int{api.KeyAdmin: f.marker.ClientPort, api.KeyPeer: f.marker.PeerPort} {
		identity, err := tls.LoadX509KeyPair(f.path(api.CertificateFile("main", key)), f.path(api.KeyFile("main", key)))
		must(t, err)
		ports[key] = &handshakes{at: net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(port)), config: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{identity}, InsecureSkipVerify: true,
		}}
	}
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for _, h := range ports {
		group.Go(func() {
			for ctx.Err() == nil {
				h.try()
			}
		})
	}
	dialed := 0
	group.Go(func() { // as the host's own calls and backups do
		for ; ctx.Err() == nil; dialed++ {
			c, err := f.local(f.marker).Dial(t.Context())
			if err != nil {
				t.Errorf("the host cannot show itself to its member: %v", err)
				continue
			}
			_ = c.Close()
		}
	})
	r := prepareOf("main")
	r.Marker = f.marker
	served := map[string]bool{}
	for range renewals {
		f.config.Certificates = configureOf(t, r, prepared(t, f.Machine, r), ca).Certificates
		f.apply(t)
		for key, h := range ports { // both halves are in place
			after := handshakes{at: h.at, config: h.config}
			if after.try(); after.failed > 0 {
				t.Errorf("with the certificate %s: a handshake after a renewal fails: %v", key, after.last)
			}
		}
		served[keyOf(t, f.held()[api.KeyServer])] = true
		f.client(t, func(c *clientv3.Client) {
			_, err := c.Put(t.Context(), "key", "value") // by the pair that was made just now
			must(t, err)
		})
	}
	stop()
	group.Wait()
	if dialed < renewals {
		t.Errorf("the host has dialed its member only %d times", dialed)
	}
	for key, h := range ports {
		t.Logf("with the certificate %s: of %d handshakes during %d renewals %d failed, at most %d in a row; %v", key, h.tried, renewals, h.failed, h.mostInARow, h.last)
		if h.tried < renewals {
			t.Errorf("with the certificate %s: there were only %d handshakes", key, h.tried)
		}
		*h = handshakes{at: h.at, config: h.config}
		for range 50 {
			h.try()
		}
		if h.failed > 0 {
			t.Errorf("with the certificate %s: after the renewals %d of %d handshakes fail: %v", key, h.failed, h.tried, h.last)
		}
	}
	if len(served) != renewals {
		t.Errorf("%d renewals have made %d keys", renewals, len(served))
	}
	after, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
	must(t, err)
	for key, is := range after.Served {
		if want := infoOf(t, after.Certificates[key]).SHA256; is.SHA256 != want {
			t.Errorf("as %s it serves %s, and has %s", key, is.SHA256, want)
		}
	}
	if len(after.Served) != 2 || after.Unit.MainPID != before.Unit.MainPID {
		t.Errorf("it serves %v, as process %d, which was %d", after.Served, after.Unit.MainPID, before.Unit.MainPID)
	}
}

// handshakes are connections to a port, one after another.
type handshakes struct {
	at     string
	config *tls.Config

	tried, failed, inARow, mostInARow int
	last                              error
}

func (h *handshakes) try() {
	h.tried++
	connection, err := tls.Dial("tcp", h.at, h.config)
	if err == nil {
		h.inARow = 0
		_ = connection.Close()
		return
	}
	h.failed, h.inARow, h.last = h.failed+1, h.inARow+1, err
	h.mostInARow = max(h.mostInARow, h.inARow)
}

func infoOf(t *testing.T, held api.Certificate) cert.Info {
	t.Helper()
	leaf, err := cert.ParseLeaf([]byte(held.PEM))
	must(t, err)
	return cert.InfoOf(leaf)
}
