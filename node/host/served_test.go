package host

import (
	"os"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// TestServedIsWhatPortsServe looks at what a member serves by connecting to it: what lies in its files, what was put
// there later without a restart, and what it has shown where its files name something else.
func TestServedIsWhatPortsServe(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	f := fleetOf(t, ca, "a")[0]
	observed := func() api.Observation {
		t.Helper()
		o, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	inFile := func(key string) string {
		t.Helper()
		text, err := os.ReadFile(f.path(api.CertificateFile("main", key)))
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := cert.ParseLeaf(text)
		if err != nil {
			t.Fatal(err)
		}
		return cert.InfoOf(leaf).SHA256
	}
	mustServe := func(o api.Observation) {
		t.Helper()
		if len(o.Served) != 2 || o.Served[api.KeyPeer].SHA256 != inFile(api.KeyPeer) || o.Served[api.KeyServer].SHA256 != inFile(api.KeyServer) || o.Served[api.KeyPeer].Serial == "" {
			t.Errorf("it serves %+v", o.Served)
		}
	}
	before := observed()
	mustServe(before)

	// New keys and certificates, as a renewal puts them: the wait for these ends, and nothing was restarted.
	r := prepareOf("main")
	r.Marker = f.marker
	for i := range r.Keys {
		r.Keys[i].IPs = []string{"127.0.0.1"}
	}
	f.config.Certificates = configureOf(t, r, prepared(t, f.Machine, r), ca).Certificates
	f.apply(t)
	want := map[string]string{api.KeyPeer: inFile(api.KeyPeer), api.KeyServer: inFile(api.KeyServer)}
	after := f.await(t, api.AwaitRequest{Serving: want})
	mustServe(after)
	if after.Served[api.KeyPeer] == before.Served[api.KeyPeer] || after.Unit.MainPID != before.Unit.MainPID {
		t.Errorf("it served %+v, and %+v after a renewal", before.Served, after.Served)
	}

	// A wait for what is never served ends, and says what is.
	o, err := f.Await(t.Context(), "main", api.AwaitRequest{Serving: map[string]string{api.KeyPeer: before.Served[api.KeyPeer].SHA256}, Timeout: 100 * time.Millisecond})
	if err != nil || o.Served[api.KeyPeer] != after.Served[api.KeyPeer] {
		t.Errorf("it serves %+v, %v", o.Served, err)
	}

	// One that cannot use its key shows nothing.
	if err := os.Remove(f.path(api.KeyFile("main", api.KeyServer))); err != nil {
		t.Fatal(err)
	}
	if _, shown := observed().Served[api.KeyServer]; shown {
		t.Error("it shows a certificate without its key")
	}
}
