// Package pkitest makes the authorities of a company for tests: a root, one below it, and two below that.
package pkitest

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

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// CA is an authority with its key.
type CA struct {
	*x509.Certificate
	Key *ecdsa.PrivateKey
}

// Company has authorities on three levels. Signs may sign only leaves; Sibling is an authority like Signs that somebody
// else in the company has.
type Company struct{ Root, Middle, Signs, Sibling CA }

// lifetime is how long all of a company's authorities are valid.
const lifetime = 10 * 365 * 24 * time.Hour

// New makes a company's authorities, valid from an hour before now. change may change the certificate of Signs; nil
// changes nothing.
func New(t testing.TB, now time.Time, change func(*x509.Certificate)) Company {
	t.Helper()
	root := Certify(t, "company root", nil, now, nil)
	middle := Certify(t, "company middle", &root, now, nil)
	signs := Certify(t, "company etcd", &middle, now, func(template *x509.Certificate) {
		template.MaxPathLen, template.MaxPathLenZero = 0, true
		if change != nil {
			change(template)
		}
	})
	return Company{root, middle, signs, Certify(t, "company others", &middle, now, nil)}
}

// Certify makes an authority that by certifies, or a self-signed one if by is nil.
func Certify(t testing.TB, name string, by *CA, now time.Time, change func(*x509.Certificate)) CA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Again(t, CA{&x509.Certificate{Subject: pkix.Name{CommonName: name}}, key}, by, now, change)
}

// Again certifies an authority anew, with the same key and name.
func Again(t testing.TB, of CA, by *CA, now time.Time, change func(*x509.Certificate)) CA {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: of.Subject.CommonName}, IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime),
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, of.Key
	if by != nil {
		parent, signer = by.Certificate, by.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, of.Key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return CA{made, of.Key}
}

// PEM returns the authority's certificate, followed by those above it.
func (c CA) PEM(above ...CA) string {
	all := []*x509.Certificate{c.Certificate}
	for _, one := range above {
		all = append(all, one.Certificate)
	}
	return cert.Encode(all...)
}

// KeyPEM returns the authority's private key.
func (c CA) KeyPEM(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
