// Package signing has the keys of simulated hosts and the authority that signs for them. Keys are really made, and
// certificates really signed.
package signing

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Authority signs the requests of hosts, with one authority for peers and one for clients and servers. It signs equal
// requests with equal certificates. Tests that run at the same time may share it.
type Authority struct {
	// Lifetime is how long the certificates that it signs are valid, from now on. New sets it to a year.
	Lifetime time.Duration

	now          time.Time
	peer, client issuer
	signed       cache[string]
}

// issuer is one of the two authorities.
type issuer struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// NewAuthority makes two authorities that are valid for ten years.
func NewAuthority(now time.Time) (*Authority, error) {
	peer, err := newIssuer("peers", now)
	if err != nil {
		return nil, err
	}
	client, err := newIssuer("clients and servers", now)
	if err != nil {
		return nil, err
	}
	return &Authority{Lifetime: 365 * 24 * time.Hour, now: now, peer: peer, client: client}, nil
}

// PeerCA returns the bundle that members trust for peers.
func (a *Authority) PeerCA() string { return a.peer.bundle() }

// ClientCA returns the bundle that is trusted for clients and servers.
func (a *Authority) ClientCA() string { return a.client.bundle() }

// Sign signs a request if it asks for exactly what is desired.
func (a *Authority) Sign(_ context.Context, _ string, want api.KeyRequest, request string) (string, error) {
	block, _ := pem.Decode([]byte(request))
	if block == nil {
		return "", fmt.Errorf("the request for key %s is no PEM", want.Name)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return "", err
	}
	if err := csr.CheckSignature(); err != nil {
		return "", err
	}
	if csr.Subject.CommonName != want.CommonName || !slices.Equal(csr.DNSNames, want.DNSNames) || !slices.EqualFunc(csr.IPAddresses, want.IPs, sameIP) {
		return "", fmt.Errorf("the request for key %s asks for %s %v %v, which is not what is wanted", want.Name, csr.Subject, csr.DNSNames, csr.IPAddresses)
	}
	from := api.ForKey(want.Name, a.peer, a.client)
	return a.signed.get(fmt.Sprint(want.Name, a.Lifetime, request), func() (string, error) {
		return from.issue(&x509.Certificate{
			SerialNumber: big.NewInt(2),
			Subject:      csr.Subject,
			DNSNames:     csr.DNSNames,
			IPAddresses:  csr.IPAddresses,
			NotBefore:    a.now.Add(-5 * time.Minute),
			NotAfter:     a.now.Add(a.Lifetime),
			ExtKeyUsage:  usages(want.Name),
		}, csr.PublicKey)
	})
}

// usages returns the extended usages of a key's certificate.
func usages(name string) []x509.ExtKeyUsage {
	if name == api.KeyAdmin {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
}

func sameIP(ip net.IP, text string) bool { return ip.Equal(net.ParseIP(text)) }

// Remade returns both authorities with the same keys, and certificates that were made later.
func (a *Authority) Remade(now time.Time) (*Authority, error) {
	peer, err := issuerOf("peers", a.peer.key, now)
	if err != nil {
		return nil, err
	}
	client, err := issuerOf("clients and servers", a.client.key, now)
	return &Authority{Lifetime: a.Lifetime, now: now, peer: peer, client: client}, err
}

// Split returns a's authority for peers with another one's for clients and servers.
func (a *Authority) Split(clients *Authority) *Authority {
	return &Authority{Lifetime: a.Lifetime, now: a.now, peer: a.peer, client: clients.client}
}

// AsOne returns a's authority for peers, which signs for clients and servers too.
func (a *Authority) AsOne() *Authority {
	return &Authority{Lifetime: a.Lifetime, now: a.now, peer: a.peer, client: a.peer}
}

func newIssuer(name string, now time.Time) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, err
	}
	return issuerOf(name, key, now)
}

func issuerOf(name string, key *ecdsa.PrivateKey, now time.Time) (issuer, error) {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.AddDate(-2, 0, 0), // it may have signed certificates that have expired since
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return issuer{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return issuer{key: key, cert: cert}, err
}

func (i issuer) bundle() string { return encodeCertificate(i.cert.Raw) }

func (i issuer) issue(template *x509.Certificate, public any) (string, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, public, i.key)
	if err != nil {
		return "", err
	}
	return encodeCertificate(der), nil
}

func encodeCertificate(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Again returns a certificate that differs from another only in its validity.
func (a *Authority) Again(name, text string, until time.Time) (string, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return "", fmt.Errorf("it is no PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	from := api.ForKey(name, a.peer, a.client)
	return from.issue(&x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: cert.Subject, DNSNames: cert.DNSNames, IPAddresses: cert.IPAddresses,
		NotBefore: until.AddDate(-1, 0, 0), NotAfter: until, ExtKeyUsage: cert.ExtKeyUsage,
	}, cert.PublicKey)
}
