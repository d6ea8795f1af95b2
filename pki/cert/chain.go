package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"
)

// IsRoot tells whether a certificate is signed with its own key, so that nothing stands above it.
func IsRoot(certificate *x509.Certificate) bool {
	return bytes.Equal(certificate.RawIssuer, certificate.RawSubject) && certificate.CheckSignatureFrom(certificate) == nil
}

// Encode returns certificates as PEM, one after another.
func Encode(certificates ...*x509.Certificate) string {
	var text bytes.Buffer
	for _, certificate := range certificates {
		_ = pem.Encode(&text, &pem.Block{Type: BlockType, Bytes: certificate.Raw}) // a buffer takes everything
	}
	return text.String()
}

// First returns the first certificate of a text, PEM. If it is the only one, or there is none, First returns the text
// as it is.
func First(text string) string {
	if all, err := Parse([]byte(text)); err == nil && len(all) > 1 {
		return Encode(all[0])
	}
	return text
}

// Following returns the certificates after the first one of a text, PEM: after a leaf, the intermediates that verify
// it.
func Following(text string) []*x509.Certificate {
	all, err := Parse([]byte(text))
	if err != nil {
		return nil
	}
	return all[1:]
}

// Behind returns the intermediates that follow each certificate that an authority signs: the authority's own
// certificate and those above it, except for a root. So whoever knows only the root can verify what the authority
// signs. Nothing follows what a root signs.
func Behind(chain []*x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(chain), IsRoot)
}

// FirstToEnd returns the certificate that expires first. There has to be one.
func FirstToEnd(certificates []*x509.Certificate) *x509.Certificate {
	return slices.MinFunc(certificates, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// FirstEnd returns when the first of the certificates expires.
func FirstEnd(certificates []*x509.Certificate) time.Time { return FirstToEnd(certificates).NotAfter }
