package host

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// revoking returns a list of revoked certificates that ended an hour ago.
func (a *authority) revoking(t *testing.T, serials ...int64) string {
	t.Helper()
	issuer := *a.certificate
	issuer.KeyUsage, issuer.SubjectKeyId = x509.KeyUsageCRLSign, []byte{1}
	list := &x509.RevocationList{Number: big.NewInt(int64(len(serials)) + 1), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour)}
	for _, serial := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, &issuer, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return cert.EncodeRevocationList(der)
}

// tlsOf returns the TLS configuration of a client whose certificate has this serial number.
func (a *authority) tlsOf(t *testing.T, serial int64) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "client"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// isServed tells whether a client is served by a connection of its own. One that is refused hears nothing after the
// handshake.
func (f *fleetMember) isServed(t *testing.T, ca *authority, serial int64) bool {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: ca.tlsOf(t, serial), DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Get(f.clientURL() + "/version")
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// TestRevokedClients has a real etcd of each version refuse clients whose certificates are revoked from the next
// handshake on, with no restart, and refuse everybody while it cannot read the list. What a list says of its own end
// counts for nothing.
func TestRevokedClients(t *testing.T) {
	ca := newAuthority(t)
	f := fleetOf(t, ca, "a")[0]
	f.config.ClientCRL = ca.revoking(t)
	f.config.Flags = append(f.config.Flags, "--client-crl-file="+api.ClientCRLFile("main"))
	f.apply(t)
	mustHave(t, f.Machine, api.ClientCRLFile("main"), files.Owner{UID: 0, GID: etcdOwner.GID}, 0o640)
	if err := f.Restart(t.Context(), "main", api.RestartRequest{Owner: fleetOwner}); err != nil {
		t.Fatal(err)
	}
	ready := func() api.Observation { return f.await(t, api.AwaitRequest{Members: 1}) }
	if o := ready(); o.ClientCRL != f.config.ClientCRL {
		t.Errorf("the host reports the list %q", o.ClientCRL)
	}
	long, err := clientv3.New(clientv3.Config{Endpoints: []string{f.clientURL()}, Context: t.Context(), TLS: ca.tlsOf(t, 100)})
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	if _, err := long.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	mustServe := func(when string, serials ...int64) {
		t.Helper()
		for _, serial := range []int64{100, 101} {
			if served := f.isServed(t, ca, serial); served != slices.Contains(serials, serial) {
				t.Errorf("%s, client %d is served: %t", when, serial, served)
			}
		}
	}
	mustServe("with nobody revoked", 100, 101)

	f.config.ClientCRL = ca.revoking(t, 100)
	f.apply(t)
	mustServe("with one revoked", 101)
	if _, err := long.Get(t.Context(), "a"); err != nil {
		t.Errorf("a connection that was there: %v", err) // docs say so
	}
	if o := ready(); !o.Member.Healthy {
		t.Errorf("the store itself: %+v", o.Member)
	}
	// A call that knows of no list leaves the one that is there.
	f.config.ClientCRL = ""
	f.apply(t)
	mustServe("by a call that does not name it", 101)

	for name, spoil := range map[string]func(path string) error{
		"gone":      os.Remove,
		"PEM":       func(path string) error { return os.WriteFile(path, []byte(ca.revoking(t)), 0o640) },
		"cut short": func(path string) error { return os.Truncate(path, 20) },
	} {
		f.config.ClientCRL = ca.revoking(t, 100)
		f.apply(t)
		if err := spoil(f.path(api.ClientCRLFile("main"))); err != nil {
			t.Fatal(err)
		}
		if crl := f.clientCRL(); crl != "" {
			t.Errorf("%s, the host reports %q", name, crl)
		}
		mustServe("while the list is " + name)
	}
	f.config.ClientCRL = ca.revoking(t, 101)
	f.apply(t)
	mustServe("with another one revoked", 100)

	for name, bad := range map[string]string{"no list": "garbage", "a certificate": ca.pem} {
		before := tree(t, f.Machine, "/etc")
		f.config.ClientCRL = bad
		f.config.Marker = f.marker
		mustRefuse(t, f.Configure(t.Context(), "main", f.config), "the list of revoked certificates")
		if now := tree(t, f.Machine, "/etc"); len(now) != len(before) || now[api.ClientCRLFile("main")] != before[api.ClientCRLFile("main")] {
			t.Errorf("%s has changed the host", name)
		}
	}
}
