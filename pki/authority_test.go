package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestNewAuthority(t *testing.T) {
	for _, algorithm := range Algorithms() {
		t.Run(string(algorithm), func(t *testing.T) {
			made, err := NewAuthority("etcd prod peers", algorithm, DefaultAuthorityLifetime, now)
			if err != nil {
				t.Fatal(err)
			}
			c := made.certificate
			if got, _ := AlgorithmOf(c.PublicKey); got != algorithm {
				t.Errorf("its key is %s", got)
			}
			if c.Subject.String() != "CN=etcd prod peers" || c.Issuer.String() != c.Subject.String() {
				t.Errorf("subject %q, issuer %q", c.Subject, c.Issuer)
			}
			if !c.IsCA || c.MaxPathLen != 0 || !c.MaxPathLenZero {
				t.Errorf("CA %t, path length %d (zero %t)", c.IsCA, c.MaxPathLen, c.MaxPathLenZero)
			}
			if c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(c.ExtKeyUsage) != 0 {
				t.Errorf("key usage %b, extended %v", c.KeyUsage, c.ExtKeyUsage)
			}
			if !c.NotBefore.Equal(now.Add(-5*time.Minute)) || !c.NotAfter.Equal(now.Add(87600*time.Hour)) {
				t.Errorf("it holds from %s to %s", c.NotBefore, c.NotAfter)
			}
			if err := c.CheckSignatureFrom(c); err != nil {
				t.Error(err)
			}
			again, err := ParseAuthority(made.CertificatePEM(), privateKeyPEM(t, made.KeyPair), now)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(privateKeyPEM(t, again.KeyPair), privateKeyPEM(t, made.KeyPair)) || !bytes.Equal(again.CertificatePEM(), made.CertificatePEM()) {
				t.Error("it reads back as another")
			}
		})
	}
}

func TestNewAuthorityRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		commonName string
		algorithm  Algorithm
		lifetime   time.Duration
		says       string
	}{
		"no name":        {"", ECDSAP256, time.Hour, "common name is empty"},
		"a long name":    {strings.Repeat("x", 65), ECDSAP256, time.Hour, "may have 64"},
		"a control name": {"a\x00b", ECDSAP256, time.Hour, "cannot be printed"},
		"an algorithm":   {"a", "ecdsa-p521", time.Hour, "ecdsa-p384, rsa-2048"},
		"no lifetime":    {"a", ECDSAP256, 0, "at least 10m0s"},
	} {
		if _, err := NewAuthority(c.commonName, c.algorithm, c.lifetime, now); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
}

// homemade returns the certificate of an authority that edit has changed.
func homemade(t *testing.T, key crypto.Signer, edit func(*x509.Certificate)) []byte {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "homemade"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	edit(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func pemOf(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestParseAuthorityTakesEveryFormOfKey(t *testing.T) {
	good := func(*x509.Certificate) {}
	ec, rsa := key(t, ECDSAP384).(*ecdsa.PrivateKey), key(t, RSA2048)
	sec1, err := x509.MarshalECPrivateKey(ec)
	sec1PEM := pemOf(t, "EC PRIVATE KEY", sec1, err)
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 5, 43, 129, 4, 0, 34}})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(rsa)
	for name, c := range map[string]struct {
		key crypto.Signer
		pem []byte
	}{
		"SEC 1":                         {ec, sec1PEM},
		"SEC 1 as openssl ecparam does": {ec, append(parameters, sec1PEM...)},
		"PKCS #8":                       {rsa, pemOf(t, "PRIVATE KEY", pkcs8, err)},
	} {
		if _, err := ParseAuthority(homemade(t, c.key, good), c.pem, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestParseAuthorityWithoutKeyUsage holds that an authority without this extension is accepted: openssl req makes such
// authorities, and clients trust what they sign.
func TestParseAuthorityWithoutKeyUsage(t *testing.T) {
	own := key(t, ECDSAP256)
	certificate := homemade(t, own, func(c *x509.Certificate) { c.KeyUsage = 0 })
	der, err := x509.MarshalPKCS8PrivateKey(own)
	authority, err := ParseAuthority(certificate, pemOf(t, "PRIVATE KEY", der, err), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, profile := range []Profile{Peer, Server, Client} {
		want := member()
		want.Profile, want.Lifetime = profile, 30*time.Minute
		if _, err := authority.Sign(t.Context(), requestPEM(t, template(want), key(t, ECDSAP256)), want, now); err != nil {
			t.Errorf("%v: %v", profile, err)
		}
	}
}

func TestParseAuthorityRefuses(t *testing.T) {
	good := func(*x509.Certificate) {}
	own := key(t, ECDSAP256)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key crypto.Signer) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pemOf(t, "PRIVATE KEY", der, err)
	}
	certificate := homemade(t, own, good)
	for name, c := range map[string]struct {
		certificate, key []byte
		says             string
	}{
		"empty certificate":  {nil, pkcs8(own), "it holds no certificate"},
		"swapped":            {pkcs8(own), certificate, "it holds a private key"},
		"two certificates":   {append(bytes.Clone(certificate), certificate...), pkcs8(own), "nothing stands above it"},
		"rubbish":            {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("?")}), pkcs8(own), "malformed certificate"},
		"no key":             {certificate, nil, "not encrypted"},
		"an encrypted key":   {certificate, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("?")}), "not encrypted"},
		"another's key":      {certificate, pkcs8(key(t, ECDSAP256)), "belongs to another certificate"},
		"another kind's key": {certificate, pkcs8(key(t, RSA2048)), "belongs to another certificate"},
		"P-521":              {homemade(t, p521, good), pkcs8(p521), `"ecdsa-p521" is not supported`},
		"ed25519":            {homemade(t, ed, good), pkcs8(ed), "is not supported"},
		"a leaf":             {homemade(t, own, func(c *x509.Certificate) { c.IsCA = false; c.KeyUsage = x509.KeyUsageDigitalSignature }), pkcs8(own), "do not say CA"},
		"no signing":         {homemade(t, own, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), pkcs8(own), "lacks certificate signing"},
		"not yet":            {homemade(t, own, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }), pkcs8(own), "is the clock right"},
		"expired":            {homemade(t, own, func(c *x509.Certificate) { c.NotAfter = now }), pkcs8(own), "it expired at 2031-05-06T07:08:09Z"},
	} {
		if _, err := ParseAuthority(c.certificate, c.key, now); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
}

func TestAuthorities(t *testing.T) {
	made, err := NewAuthorities("prod", DefaultAlgorithm, DefaultAuthorityLifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Check(); err != nil {
		t.Error(err)
	}
	for profile, want := range map[Profile]*Authority{Peer: made.Peers, Server: made.Clients, Client: made.Clients} {
		if made.For(profile) != want {
			t.Errorf("%s certificates are signed by %s", profile, made.For(profile))
		}
	}
	// Other certificates, and even other names, of one key are still one authority.
	renewed, err := ParseAuthority(homemade(t, made.Peers.key, func(*x509.Certificate) {}), privateKeyPEM(t, made.Peers.KeyPair), now)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Authorities{Peers: made.Peers, Clients: renewed}).Check(); err == nil || !strings.Contains(err.Error(), "the same key") {
		t.Errorf("one key for both: %v", err)
	}
}
