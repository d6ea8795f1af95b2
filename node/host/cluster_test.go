package host

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// markerOf returns the marker of member a of a cluster that is being formed.
func markerOf(cluster string) api.Marker {
	return api.Marker{
		Cluster: cluster, Owner: "owner-of-" + cluster, Member: "a", Phase: api.PhaseForming, Token: "token-of-" + cluster,
		InitialCluster: "a=https://192.0.2.11:2380", DataDir: "/var/lib/etcd/" + cluster, ClientPort: 2379, PeerPort: 2380, MetricsPort: 2381,
	}
}

func keysOf(algorithm string) []api.KeyRequest {
	return []api.KeyRequest{
		{Name: api.KeyPeer, Algorithm: algorithm, CommonName: "a", IPs: []string{"192.0.2.11"}},
		{Name: api.KeyServer, Algorithm: algorithm, CommonName: "a", DNSNames: []string{"localhost"}, IPs: []string{"192.0.2.11", "127.0.0.1", "::1"}},
		{Name: api.KeyAdmin, Algorithm: algorithm, CommonName: "root", Organization: []string{"etcd"}},
	}
}

func prepareOf(cluster string) api.PrepareRequest {
	return api.PrepareRequest{Marker: markerOf(cluster), Keys: keysOf("ecdsa-p256")}
}

// prepared prepares a machine, which must succeed.
func prepared(t *testing.T, m *Machine, r api.PrepareRequest) api.Prepared {
	t.Helper()
	p, err := m.Prepare(t.Context(), r.Marker.Cluster, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// configureOf returns the request that configures a prepared machine.
func configureOf(t *testing.T, r api.PrepareRequest, p api.Prepared, ca *authority) api.ConfigureRequest {
	t.Helper()
	c := api.ConfigureRequest{
		Marker: r.Marker, Store: storeA, PeerCA: ca.pem, ClientCA: ca.pem, Unit: "[Service]\n", Certificates: map[string]string{},
		Flags: []string{"--data-dir=" + r.Marker.DataDir, "--initial-cluster-state=new", "--name=a"},
	}
	for name, request := range p.Requests {
		c.Certificates[name] = ca.sign(t, request)
	}
	return c
}

// configured prepares and configures a machine, which must succeed.
func configured(t *testing.T, m *Machine, r api.PrepareRequest) api.ConfigureRequest {
	t.Helper()
	c := configureOf(t, r, prepared(t, m, r), newAuthority(t))
	if err := m.Configure(t.Context(), r.Marker.Cluster, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// authority signs whatever it is asked to.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key, encode("CERTIFICATE", der)}
}

func (a *authority) sign(t *testing.T, request string) string {
	t.Helper()
	csr := parseRequest(t, request)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: csr.Subject, DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.certificate, csr.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return encode("CERTIFICATE", der)
}

func parseRequest(t *testing.T, text string) *x509.CertificateRequest {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("no PEM: %q", text)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Fatal(err)
	}
	return csr
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
