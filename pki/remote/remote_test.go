package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudflare/cfssl/config"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/pkitest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/remote/remotetest"
)

const authKey = remotetest.Key

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// cfsslHandler is cfssl's own handler of authenticated calls.
func cfsslHandler(t *testing.T, authority *pki.Authority, edit func(*config.Signing)) http.Handler {
	t.Helper()
	return remotetest.Handler(t, authority, edit)
}

// serve starts a server with TLS, and returns how to call it.
func serve(t *testing.T, handler http.Handler) Server {
	t.Helper()
	url, ca := remotetest.Serve(t, handler)
	return Server{URL: url, Key: secret.New(authKey), CACertificate: ca}
}

// external returns the authority without its key.
func external(t *testing.T, authority *pki.Authority, server Server) *pki.Authority {
	t.Helper()
	issuer := must[pki.Issuer](t)(server.Issuer())
	return must[*pki.Authority](t)(pki.ParseExternal(authority.CertificatePEM(), issuer, time.Now()))
}

func newAuthority(t *testing.T, name string) *pki.Authority {
	t.Helper()
	return must[*pki.Authority](t)(pki.NewAuthority(name, pki.ECDSAP256, 10000*time.Hour, time.Now()))
}

func want(profile pki.Profile) pki.Request {
	return pki.Request{Profile: profile, CommonName: "a", Organization: []string{"etcd"}, DNSNames: []string{"a.example.com"},
		IPs: []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::11")}}
}

// request returns a request with all that is desired, as hosts make it.
func request(t *testing.T, want pki.Request) []byte {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := x509.CertificateRequest{Subject: pkix.Name{CommonName: want.CommonName, Organization: want.Organization}, DNSNames: want.DNSNames}
	for _, ip := range want.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	der := must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &template, key))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// TestSign has cfssl's own server sign certificates of every profile. Only the server has the authority's key.
func TestSign(t *testing.T) {
	ca := newAuthority(t, "etcd main clients")
	authority := external(t, ca, serve(t, cfsslHandler(t, ca, nil)))
	for _, profile := range []pki.Profile{pki.Peer, pki.Server, pki.Client} {
		want := want(profile)
		signed, err := authority.Sign(t.Context(), request(t, want), want, time.Now())
		if err != nil {
			t.Errorf("%s: %v", profile, err)
			continue
		}
		if err := pki.Verify(signed, ca.CertificatePEM(), profile, time.Now()); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
		leaf, err := authority.NewLeaf(t.Context(), want, pki.ECDSAP256, time.Now())
		if err != nil {
			t.Errorf("%s: %v", profile, err)
		} else if err := pki.Verify(leaf.CertificatePEM(), ca.CertificatePEM(), profile, time.Now()); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
	}
	if key, err := authority.PrivateKeyPEM(); err == nil {
		t.Errorf("an authority without a key gave %d bytes of one", len(key))
	}
}

// TestSignByAnIntermediate has a server sign by an intermediate. The server returns the leaf alone; the provider adds
// the chain that the configuration gives.
func TestSignByAnIntermediate(t *testing.T) {
	c := pkitest.New(t, time.Now(), nil)
	ca := must[*pki.Authority](t)(pki.ParseAuthority([]byte(c.Signs.PEM(c.Middle, c.Root)), []byte(c.Signs.KeyPEM(t)), time.Now()))
	sibling := must[*pki.Authority](t)(pki.ParseAuthority([]byte(c.Sibling.PEM(c.Middle, c.Root)), []byte(c.Sibling.KeyPEM(t)), time.Now()))
	want := want(pki.Server)
	signed, err := external(t, ca, serve(t, cfsslHandler(t, ca, nil))).Sign(t.Context(), request(t, want), want, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, trusted := range map[string]pkitest.CA{"the root": c.Root, "the authority": c.Signs} {
		if err := pki.Verify(signed, []byte(trusted.PEM()), pki.Server, time.Now()); err != nil {
			t.Errorf("by %s: %v", name, err)
		}
	}
	// A server that signs by another authority of the same company is found out, although the root verifies what it
	// signs.
	if _, err := external(t, ca, serve(t, cfsslHandler(t, sibling, nil))).Sign(t.Context(), request(t, want), want, time.Now()); err == nil || !strings.Contains(err.Error(), "was discarded") {
		t.Errorf("a sibling's: %v", err)
	}
}

// TestRefusals holds that each fault of server and configuration is named, and that nothing is accepted then.
func TestRefusals(t *testing.T) {
	ca, other := newAuthority(t, "etcd main peers"), newAuthority(t, "etcd main peers")
	for name, test := range map[string]struct {
		handler http.Handler
		edit    func(*Server)
		says    string
	}{
		"another key":                       {cfsslHandler(t, ca, nil), func(s *Server) { s.Key = secret.New("ff" + authKey[2:]) }, `"invalid token"`},
		"a profile that is not":             {cfsslHandler(t, ca, nil), func(s *Server) { s.Profiles = map[pki.Profile]string{pki.Peer: "client"} }, "its usages are not those of profile peer"},
		"a profile without a key":           {cfsslHandler(t, ca, func(c *config.Signing) { c.Profiles["peer"].Provider = nil }), nil, `"no authentication provider"`},
		"another authority":                 {cfsslHandler(t, other, nil), nil, "and was discarded: verify the peer certificate"},
		"a profile that adds a CA":          {cfsslHandler(t, ca, func(c *config.Signing) { c.Profiles["peer"].CAConstraint.IsCA = true }), nil, "was discarded"},
		"a profile that allows other names": {cfsslHandler(t, ca, func(c *config.Signing) { c.Profiles["peer"].NameWhitelist = regexp.MustCompile("^b$") }), nil, "it refused"},
		"an expiry of a minute":             {cfsslHandler(t, ca, func(c *config.Signing) { c.Profiles["peer"].Expiry = time.Minute }), nil, "was discarded"},
		"no cfssl":                          {http.NotFoundHandler(), nil, "404 Not Found, and not as cfssl does"},
		"a page":                            {answer200("<html>welcome</html>"), nil, "200 OK, and not as cfssl does"},
		"nothing":                           {answer200(""), nil, "200 OK, and not as cfssl does"},
		"half an answer":                    {answer200(`{"success": true, "result": {"certif`), nil, "not as cfssl does"},
		"success with nothing":              {answer200(`{"success": true, "result": {}, "errors": []}`), nil, "without a certificate"},
		"nonsense for a certificate": {answer200(`{"success": true, "result": {"certificate": "MIIB"}, "errors": []}`), nil,
			"was discarded"},
		"the authority's own certificate": {answer200(fmt.Sprintf(`{"success": true, "result": {"certificate": %q}}`, ca.CertificatePEM())), nil, "was discarded"},
		"another place":                   {http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect), nil, "307 Temporary Redirect"},
		"a server that is not trusted":    {cfsslHandler(t, ca, nil), func(s *Server) { s.CACertificate = string(ca.CertificatePEM()) }, "certificate"},
		"an endless answer":               {http.HandlerFunc(endless), nil, "not as cfssl does"},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, test.handler)
			if test.edit != nil {
				test.edit(&server)
			}
			want := want(pki.Peer)
			signed, err := external(t, ca, server).Sign(t.Context(), request(t, want), want, time.Now())
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), server.URL) || signed != nil {
				t.Errorf("the error is %v, want one that says %s and names the server; signed: %s", err, test.says, signed)
			}
			if err != nil && (strings.Contains(err.Error(), authKey) || strings.Contains(err.Error(), authKey[2:])) {
				t.Errorf("the error holds the key: %v", err)
			}
		})
	}
}

func answer200(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
}

func endless(w http.ResponseWriter, _ *http.Request) {
	for range 100 {
		if _, err := w.Write([]byte(strings.Repeat("{", 1<<16))); err != nil {
			return
		}
	}
}

// TestNoLongerThanAskedFor holds that a certificate is discarded if the server's profile makes it valid for longer than
// ordered, and that a shorter one is accepted.
func TestNoLongerThanAskedFor(t *testing.T) {
	ca := newAuthority(t, "etcd main clients")
	authority := external(t, ca, serve(t, cfsslHandler(t, ca, nil)))
	for lifetime, takes := range map[time.Duration]bool{0: true, 8000 * time.Hour: false, 8760 * time.Hour: true, 9000 * time.Hour: true} {
		want := want(pki.Client)
		want.Lifetime = lifetime
		_, err := authority.Sign(t.Context(), request(t, want), want, time.Now())
		if takes != (err == nil) || err != nil && !strings.Contains(err.Error(), "no longer than 8000h0m0s") {
			t.Errorf("%s: %v", lifetime, err)
		}
	}
}

// TestTriedAgain holds that a server that is unreachable for two calls gets a third one, and that a server that refuses
// gets one.
func TestTriedAgain(t *testing.T) {
	ca := newAuthority(t, "etcd main peers")
	cfssl := cfsslHandler(t, ca, nil)
	for name, test := range map[string]struct {
		status int
		edit   func(*Server)
		calls  int32
		signs  bool
	}{
		"a proxy without a server": {status: http.StatusBadGateway, calls: 3, signs: true},
		"too many calls":           {status: http.StatusTooManyRequests, calls: 3, signs: true},
		"one that is being mended": {status: http.StatusServiceUnavailable, calls: 3, signs: true},
		"a refusal":                {edit: func(s *Server) { s.Key = secret.New("ff" + authKey[2:]) }, calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n := calls.Add(1); test.status != 0 && n < 3 {
					w.Header().Set("Retry-After", "86400") // nobody waits for a day
					w.WriteHeader(test.status)
					return
				}
				cfssl.ServeHTTP(w, r)
			}))
			if test.edit != nil {
				test.edit(&server)
			}
			want := want(pki.Peer)
			_, err := external(t, ca, server).Sign(t.Context(), request(t, want), want, time.Now())
			if (err == nil) != test.signs || calls.Load() != test.calls {
				t.Errorf("after %d calls: %v", calls.Load(), err)
			}
		})
	}
}

// TestEndsWithTheRun holds that a call to a server that does not answer ends with its context, and that the error says
// so.
func TestEndsWithTheRun(t *testing.T) {
	ca := newAuthority(t, "etcd main peers")
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices only then that its caller is gone
		cancel()
		<-r.Context().Done()
	}))
	want := want(pki.Peer)
	_, err := external(t, ca, server).Sign(ctx, request(t, want), want, time.Now())
	if err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("the error is %v", err)
	}
}

// TestServersThatCannotBeAsked holds that the error names each attribute at fault, and no secret.
func TestServersThatCannotBeAsked(t *testing.T) {
	good := Server{URL: "https://signer.example.com:8888", Key: secret.New(authKey)}
	for name, test := range map[string]struct {
		edit func(*Server)
		says string
	}{
		"good":              {func(*Server) {}, ""},
		"behind a path":     {func(s *Server) { s.URL += "/pki/" }, ""},
		"no TLS":            {func(s *Server) { s.URL = "http://signer.example.com:8888" }, "url: "},
		"no scheme":         {func(s *Server) { s.URL = "signer.example.com:8888" }, "url: "},
		"a password in it":  {func(s *Server) { s.URL = "https://me:hunter2@signer.example.com" }, "url: it holds a user"},
		"a query":           {func(s *Server) { s.URL += "/?a=b" }, "url: "},
		"no key":            {func(s *Server) { s.Key = secret.Text{} }, "auth_key: it has 0 bytes"},
		"a short key":       {func(s *Server) { s.Key = secret.New("0011") }, "auth_key: it has 2 bytes"},
		"a key from a file": {func(s *Server) { s.Key = secret.New("file:/etc/shadow") }, "auth_key: it must be hexadecimal"},
		"a key from the environment": {func(s *Server) { s.Key = secret.New("env:HOME") },
			"auth_key: it must be hexadecimal"},
		"no certificate": {func(s *Server) { s.CACertificate = "hunter2" }, "ca_certificate: "},
		"all of it": {func(s *Server) { s.URL, s.Key, s.CACertificate = "http://a", secret.New("0011"), "hunter2" },
			"url: \"http://a\" must begin with https://: certificates are ordered over TLS only\n" +
				"auth_key: it has 2 bytes, and must have at least 16, which are 32 hexadecimal digits\nca_certificate: "},
	} {
		server := good
		test.edit(&server)
		_, err := server.Issuer()
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.HasPrefix(err.Error(), test.says)) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds a secret: %v", name, err)
		}
	}
}

// TestProxies holds that a plan uses the proxy of its environment, and a host none.
func TestProxies(t *testing.T) {
	for _, direct := range []bool{false, true} {
		made, err := Server{URL: "https://signer.example.com:8888", Key: secret.New(authKey), Direct: direct}.Issuer()
		if err != nil {
			t.Fatal(err)
		}
		if proxied := made.(issuer).client.HTTPClient.Transport.(*http.Transport).Proxy != nil; proxied == direct {
			t.Errorf("direct %t: by a proxy: %t", direct, proxied)
		}
	}
}
