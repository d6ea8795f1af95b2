package sshtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// NewKey makes a private key of type ssh-ed25519, ecdsa-sha2-nistp256, -384 or -521, or ssh-rsa (2048 bits).
func NewKey(t testing.TB, algorithm string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case gossh.KeyAlgoED25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case gossh.KeyAlgoECDSA256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case gossh.KeyAlgoECDSA384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case gossh.KeyAlgoECDSA521:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case gossh.KeyAlgoRSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("sshtest: no key of type %q", algorithm)
	}
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	return key
}

// Signer returns an SSH signer for a key.
func Signer(t testing.TB, key crypto.Signer) gossh.Signer {
	t.Helper()
	signer, err := gossh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	return signer
}

// NewSigner makes a key and returns its signer.
func NewSigner(t testing.TB, algorithm string) gossh.Signer {
	t.Helper()
	return Signer(t, NewKey(t, algorithm))
}

// OpenSSH returns a private key in OpenSSH's format, encrypted if there is a passphrase.
func OpenSSH(t testing.TB, key crypto.Signer, passphrase string) string {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = gossh.MarshalPrivateKey(key, "sshtest")
	} else {
		block, err = gossh.MarshalPrivateKeyWithPassphrase(key, "sshtest", []byte(passphrase))
	}
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	return string(pem.EncodeToMemory(block))
}

// PublicLine returns a public key, or a certificate, as a line of text.
func PublicLine(key gossh.PublicKey) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
}

// Certify signs a certificate for a key. The template gives type, principals and times.
func Certify(t testing.TB, authority gossh.Signer, key gossh.PublicKey, template gossh.Certificate) *gossh.Certificate {
	t.Helper()
	cert := template
	cert.Key = key
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	return &cert
}

// CertSigner returns a signer that presents a certificate together with its key.
func CertSigner(t testing.TB, cert *gossh.Certificate, key gossh.Signer) gossh.Signer {
	t.Helper()
	signer, err := gossh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	return signer
}
