package renewal

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// TestRenewed: a certificate near its end gets a new key and says the same as before, and any other stays.
func TestRenewed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		age, left time.Duration
		all       bool
		edit      func(*world)
		want      []string
	}{
		"near its end":         {8000 * time.Hour, 760 * time.Hour, false, nil, api.KeyNames},
		"over":                 {8760 * time.Hour, -time.Hour, false, nil, api.KeyNames},
		"young":                {time.Hour, 8759 * time.Hour, false, nil, nil},
		"young, asked for":     {time.Hour, 8000 * time.Hour, true, nil, api.KeyNames},
		"young, by its window": {time.Hour, 8000 * time.Hour, false, func(w *world) { w.renewal.Before = 7990 * time.Hour }, api.KeyNames},
		"peers alone":          {8000 * time.Hour, 760 * time.Hour, false, func(w *world) { w.renewal.Clients = nil }, []string{api.KeyPeer}},
		"ends as its authority does, and is not due": {time.Hour, time.Until(time.Now().AddDate(10, 0, 1)), false, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.age, test.left)
			if test.edit != nil {
				test.edit(w)
				w.setUp(t)
			}
			before := w.pairs(t)
			if err := w.run(t, test.all); err != nil {
				t.Fatal(err)
			}
			after := w.pairs(t)
			if len(after) != len(before) {
				t.Errorf("there are %d files, and were %d", len(after), len(before))
			}
			last := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main")).Last
			if last == nil || last.Error != "" || !slices.Equal(last.Renewed, test.want) || last.Good.IsZero() {
				t.Errorf("it remembers %+v, want %q", last, test.want)
			}
			for _, name := range api.KeyNames {
				renewed := slices.Contains(test.want, name)
				if renewed != (before[name+".crt"] != after[name+".crt"]) || renewed != (before[name+".key"] != after[name+".key"]) {
					t.Errorf("%s: renewed, want %v", name, renewed)
				}
				if !renewed {
					continue
				}
				pair := must[keys.Pair](t)(w.Keys.Pair("main", name))
				old := must[*x509.Certificate](t)(cert.ParseLeaf([]byte(before[name+".crt"])))
				extra, missing := cert.CompareClaims(must[[]string](t)(cert.Claims(old)), must[[]string](t)(cert.Claims(pair.Leaf)))
				if len(extra)+len(missing) > 0 || keys.AlgorithmOf(pair.Key) != "ecdsa-p384" {
					t.Errorf("%s: it adds %q and lacks %q, with a key of %s", name, extra, missing, keys.AlgorithmOf(pair.Key))
				}
				owner := files.Owner{UID: 64123, GID: 64124}
				if name == api.KeyAdmin {
					owner = files.RootUser
				}
				info := must[os.FileInfo](t)(os.Lstat(w.Files.Path(api.KeyFile("main", name))))
				if files.OwnerOf(info) != owner || info.Mode() != files.KeyFile {
					t.Errorf("key %s is %v's, %s", name, files.OwnerOf(info), info.Mode())
				}
			}
			if len(w.said) == 0 {
				t.Error("it says nothing")
			}
			if metrics := string(must[[]byte](t)(os.ReadFile(w.Files.Path(api.RenewalMetricsFile("main"))))); !strings.Contains(metrics, "last_run_success{cluster=\"main\",member=\"a\"} 1\n") {
				t.Errorf("monitoring is told:\n%s", metrics)
			}
		})
	}
}

// TestNotRenewed: whatever the signing server, the member, the clock or a run of the provider does, the old certificate
// stays, and the record says why.
func TestNotRenewed(t *testing.T) {
	t.Parallel()
	text := func(answer string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.signer.answer = func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(answer)) }
		}
	}
	edit := func(edit func(template *x509.Certificate, public *crypto.PublicKey)) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.signer.edit = func(_ string, template *x509.Certificate, public *crypto.PublicKey) { edit(template, public) }
		}
	}
	for name, test := range map[string]struct {
		spoil func(*testing.T, *world)
		says  string
		asks  bool // whether the server is asked
	}{
		"nonsense":                   {text("<html>"), "not as cfssl does", true},
		"nonsense for a certificate": {text(`{"success":true,"result":{"certificate":"MIIB"}}`), "was discarded", true},
		"another key": {edit(func(_ *x509.Certificate, public *crypto.PublicKey) {
			key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			*public = key.Public()
		}), "it is for another key", true},
		"another name more": {edit(func(c *x509.Certificate, _ *crypto.PublicKey) { c.DNSNames = append(c.DNSNames, "evil.example.com") }), `it adds [DNS name "evil.example.com"]`, true},
		"a name less":       {edit(func(c *x509.Certificate, _ *crypto.PublicKey) { c.IPAddresses = nil }), "lacks [IP address 192.0.2.11]", true},
		"another subject":   {edit(func(c *x509.Certificate, _ *crypto.PublicKey) { c.Subject.CommonName = "root" }), `it adds [common name "root"]`, true},
		"other usages": {edit(func(c *x509.Certificate, _ *crypto.PublicKey) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
		}), "its usages are not", true},
		"an authority":                   {edit(func(c *x509.Certificate, _ *crypto.PublicKey) { c.IsCA, c.BasicConstraintsValid = true, true }), "it is an authority's", true},
		"over":                           {edit(func(c *x509.Certificate, _ *crypto.PublicKey) { c.NotAfter = time.Now().Add(-time.Second) }), "was discarded", true},
		"not yet valid":                  {edit(func(c *x509.Certificate, _ *crypto.PublicKey) { c.NotBefore = time.Now().Add(time.Hour) }), "one of the two clocks is wrong", true},
		"no longer than the present one": {edit(func(c *x509.Certificate, _ *crypto.PublicKey) { c.NotAfter = time.Now().Add(700 * time.Hour) }), "it would be no gain", true},
		"for too long": {func(t *testing.T, w *world) {
			w.renewal.Validity = 8000 * time.Hour
			w.setUp(t)
		}, "no longer than 8000h", true},
		"another issuer of the same name": {func(t *testing.T, w *world) { w.signer.by = newAuthority(t, "main") }, "was discarded", true},
		"an authority that the member does not trust": {func(t *testing.T, w *world) {
			w.signer.by = newAuthority(t, "main")
			place := *w.renewal.Peers
			place.Authority = cert.Encode(w.signer.by.cert)
			w.renewal.Peers, w.renewal.Clients = &place, &place
			w.setUp(t)
		}, "does not trust the authority", false},
		"a key that the server does not know": {func(t *testing.T, w *world) {
			place := *w.renewal.Peers
			place.Key = secret.New("ff" + authKey[2:])
			w.renewal.Peers, w.renewal.Clients = &place, &place
			w.setUp(t)
		}, "invalid token", true},
		"the host's clock is behind": {func(_ *testing.T, w *world) {
			w.Now = func() time.Time { return time.Now().Add(-9000 * time.Hour) }
		}, "set the clock right", false},
		"the host's clock is ahead": {func(_ *testing.T, w *world) {
			w.Now = func() time.Time { return time.Now().Add(9000 * time.Hour) }
		}, "was discarded", true},
		"the member is down": {func(_ *testing.T, w *world) { w.member.down = true }, "does not answer", false},
		"the member is down, and its certificates have expired": {func(_ *testing.T, w *world) {
			w.member.down, w.Now = true, func() time.Time { return time.Now().Add(800 * time.Hour) }
		}, "the client port of member a does not answer", false},
		"the member serves others": {func(_ *testing.T, w *world) {
			w.member.stuck, w.member.admin = map[string]string{api.KeyPeer: "other", api.KeyServer: "other"}, true
		}, "serves another certificate than its file has", false},
		"the member does not take it": {func(t *testing.T, w *world) {
			w.member.stuck, w.member.admin = map[string]string{}, true
			for key, served := range w.member.Served(t.Context(), nil) {
				w.member.stuck[key] = served.SHA256
			}
		}, "serves another certificate than its file has", true},
		"a run of the provider": {func(t *testing.T, w *world) {
			locked := make(chan struct{})
			beats, end, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				ended <- w.Locks.Hold(context.WithoutCancel(t.Context()), "main", api.Holder{ID: "1", Who: "ops"}, beats, time.Minute, func() {}, func() { close(locked) })
			}()
			<-locked
			t.Cleanup(func() {
				_ = end.Close()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		}, "a run of the provider holds the cluster's lock", false},
		"a run that began meanwhile": {func(t *testing.T, w *world) {
			w.meanwhile(func() {
				beats, end, err := os.Pipe()
				if err != nil {
					t.Error(err)
				}
				locked := make(chan struct{})
				go func() {
					_ = w.Locks.Hold(context.WithoutCancel(t.Context()), "main", api.Holder{ID: "1", Who: "ops"}, beats, time.Minute, func() {}, func() { close(locked) })
				}()
				<-locked
				t.Cleanup(func() { _ = end.Close() })
			})
		}, "is locked by ops", true},
		"an authority that ends no later": {func(t *testing.T, w *world) {
			place, above := *w.renewal.Peers, newAuthority(t, "above")
			template := *above.cert
			template.NotAfter = time.Now().Add(700 * time.Hour)
			place.Authority += above.sign(t, &template, above.key.Public())
			w.renewal.Peers, w.renewal.Clients = &place, &place
			w.setUp(t)
		}, `another would not end later, since the authority "above" expires at `, false},
		"a certificate of another authority that the member trusts": {func(t *testing.T, w *world) {
			other := newAuthority(t, "main")
			w.trust(t, w.signer.by, other)
			w.signer.by = other
			place := *w.renewal.Peers
			place.Authority = cert.Encode(other.cert)
			w.renewal.Peers, w.renewal.Clients = &place, &place
			w.setUp(t)
		}, "its certificate is not of the authority", false},
		"an authority that is trusted no longer meanwhile": {func(t *testing.T, w *world) {
			w.meanwhile(func() { w.trust(t, newAuthority(t, "main")) })
		}, "does not trust the authority", true},
		"other settings meanwhile": {func(t *testing.T, w *world) {
			w.meanwhile(func() {
				place := *w.renewal.Peers
				place.Digest = "2"
				w.renewal.Peers, w.renewal.Clients = &place, &place
				w.setUp(t)
			})
		}, "the host was told otherwise", true},
		"one that waits for its vote": {func(t *testing.T, w *world) {
			marker := must[*api.Marker](t)(w.Records.Marker("main"))
			marker.Phase = api.PhaseJoining
			if err := w.Records.RewriteMarker(*marker); err != nil {
				t.Fatal(err)
			}
		}, "no voter of its cluster yet", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 8000*time.Hour, 760*time.Hour)
			test.spoil(t, w)
			before := w.pairs(t)
			err := w.run(t, false)
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), authKey[2:]) {
				t.Errorf("it fails with %v, want %q", err, test.says)
			}
			after := w.pairs(t)
			for name := range before {
				if before[name] != after[name] && !strings.HasSuffix(name, "-ca.crt") {
					t.Errorf("%s is another", name)
				}
			}
			for name := range after {
				if _, was := before[name]; !was {
					t.Errorf("%s was left", name)
				}
			}
			if (w.signer.calls > 0) != test.asks {
				t.Errorf("the server was asked %d times", w.signer.calls)
			}
			last := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main")).Last
			if last == nil || !strings.Contains(last.Error, test.says) || len(last.Renewed) > 0 || !last.Good.IsZero() {
				t.Errorf("it remembers %+v", last)
			}
			if metrics := string(must[[]byte](t)(os.ReadFile(w.Files.Path(api.RenewalMetricsFile("main"))))); !strings.Contains(metrics, "last_run_success{cluster=\"main\",member=\"a\"} 0\n") {
				t.Errorf("monitoring is told:\n%s", metrics)
			}
		})
	}
}

// TestOthersAreRenewedAllTheSame: if one server does not sign, the certificates of the other one are renewed, and the
// failure is reported. A server that is away for a while is asked again.
func TestOthersAreRenewedAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8000*time.Hour, 760*time.Hour)
	away := *w.renewal.Peers
	away.Label = "nobody"
	away.URL = "https://127.0.0.1:1" // a closed port of a test's server would soon be another's
	w.renewal.Peers = &away
	w.setUp(t)
	var once sync.Once
	answered := make(chan struct{})
	w.signer.answer = func(rw http.ResponseWriter, r *http.Request) {
		first := false
		once.Do(func() { first = true })
		if first {
			rw.WriteHeader(http.StatusServiceUnavailable)
			close(answered)
			return
		}
		(&signer{t: t, by: w.signer.by}).ServeHTTP(rw, r)
	}
	err := w.run(t, false)
	last := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main")).Last
	if err == nil || !strings.Contains(err.Error(), "certificate peer was not renewed, and is as it was") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("it fails with %v", err)
	}
	if last == nil || !slices.Equal(last.Renewed, []string{api.KeyServer, api.KeyAdmin}) || last.Error == "" {
		t.Errorf("it remembers %+v", last)
	}
	<-answered
}

// TestCutShort: whenever a run is killed, the next one completes the pairs that were cut, and renews what is left.
func TestCutShort(t *testing.T) {
	t.Parallel()
	type cut struct{}
	stride := sample.Stride(t, 3)
	for n := 1; ; n += stride {
		w := newWorld(t, 8000*time.Hour, 760*time.Hour)
		renames := 0
		w.Host.Keys.Files.BeforeRename = func(string) {
			if renames++; renames == n {
				panic(cut{})
			}
		}
		ended := false
		func() {
			defer func() {
				if killed := recover(); killed != nil && killed != any(cut{}) {
					panic(killed)
				}
			}()
			ended = w.run(t, false) == nil
		}()
		w.Host.Keys.Files.BeforeRename = nil
		if ended {
			// For each of three: a key, a certificate, and the renames of both.
			if n < 10 {
				t.Errorf("there are %d renames", n-1)
			}
			return
		}
		if err := w.run(t, false); err != nil {
			t.Errorf("killed before rename %d: the next run: %v", n, err)
		}
		for _, name := range api.KeyNames {
			if pair, err := w.Keys.Pair("main", name); err != nil || time.Until(pair.Leaf.NotAfter) < 8000*time.Hour {
				t.Errorf("killed before rename %d: %s is not renewed: %v", n, name, err)
			}
		}
		if files := w.pairs(t); len(files) != 2*len(api.KeyNames)+2 {
			t.Errorf("killed before rename %d: there are %d files", n, len(files))
		}
	}
}
