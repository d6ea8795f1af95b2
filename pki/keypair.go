package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// KeyPair is a certificate with its private key. No verb of fmt, no slog handler and no JSON encoder prints the key;
// only PrivateKeyPEM returns it.
//
// All fields are pointers or lists of these because fmt calls no methods on values in unexported fields of other
// structs; there it prints addresses instead of the key.
type KeyPair struct {
	certificate *x509.Certificate
	behind      []*x509.Certificate // of a leaf: the intermediates that follow it
	key         crypto.Signer
}

// CertificatePEM returns the certificate, followed by its intermediates.
func (k KeyPair) CertificatePEM() []byte {
	return []byte(cert.Encode(append([]*x509.Certificate{k.certificate}, k.behind...)...))
}

// PrivateKeyPEM returns the private key, PKCS #8 and not encrypted, for the one place that has to keep it.
func (k KeyPair) PrivateKeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, fmt.Errorf("encode the private key of %s: %w", k, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// String names the certificate, and nothing of the key.
func (k KeyPair) String() string {
	if k.certificate == nil {
		return "(no certificate)"
	}
	return fmt.Sprintf("%q (valid until %s)", k.certificate.Subject.CommonName, k.certificate.NotAfter.Format(time.RFC3339))
}

// Format prints String for every verb.
func (k KeyPair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }
