package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// now is the time of all tests.
var now = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

// key makes a key as a host does, without cfssl. RSA keys are made once, since they are slow to make.
func key(t testing.TB, algorithm Algorithm) crypto.Signer {
	t.Helper()
	var made crypto.Signer
	var err error
	switch algorithm {
	case ECDSAP256:
		made, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		made, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		made, err = rsaKeys[algorithm]()
	}
	if err != nil {
		t.Fatal(err)
	}
	return made
}

var rsaKeys = map[Algorithm]func() (crypto.Signer, error){
	RSA2048: rsaKey(2048), RSA3072: rsaKey(3072), RSA4096: rsaKey(4096),
}

func rsaKey(bits int) func() (crypto.Signer, error) {
	return sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) })
}

// template returns the certificate request that a well-behaved host makes.
func template(want Request) x509.CertificateRequest {
	request := x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: want.CommonName, Organization: want.Organization},
		DNSNames: want.DNSNames,
	}
	for _, ip := range want.IPs {
		request.IPAddresses = append(request.IPAddresses, net.IP(ip.AsSlice()))
	}
	return request
}

func requestPEM(t testing.TB, template x509.CertificateRequest, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func authority(t testing.TB, name string) *Authority {
	t.Helper()
	made, err := NewAuthority(name, ECDSAP256, DefaultAuthorityLifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func privateKeyPEM(t testing.TB, pair KeyPair) []byte {
	t.Helper()
	text, err := pair.PrivateKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// member returns what the server certificate of a member says.
func member() Request {
	return Request{
		Profile:      Server,
		CommonName:   "a",
		Organization: []string{"etcd", "platform"},
		DNSNames:     []string{"a.example.com", "localhost"},
		IPs:          []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::11")},
	}
}
