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

// Encode is certificates as PEM, one behind the other.
func Encode(certificates ...*x509.Certificate) string {
	var text bytes.Buffer
	for _, certificate := range certificates {
		_ = pem.Encode(&text, &pem.Block{Type: BlockType, Bytes: certificate.Raw}) // a buffer takes everything
	}
	return text.String()
}

// First is the first certificate of a text, PEM, as it is given where it is the only one. What holds none stays as it
// is.
func First(text string) string {
	if all, err := Parse([]byte(text)); err == nil && len(all) > 1 {
		return Encode(all[0])
	}
	return text
}

// Following are the certificates that follow the first one of a text, PEM: behind a leaf, those of the intermediates
// that verify it.
func Following(text string) []*x509.Certificate {
	all, err := Parse([]byte(text))
	if err != nil {
		return nil
	}
	return all[1:]
}

// Behind are the intermediates that stand behind each certificate that an authority signs: out of the authority's own
// certificate and those above it, all but a root. So whoever knows only the root can verify what is signed. Nothing
// stands behind what a root signs.
func Behind(chain []*x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(chain), IsRoot)
}

// FirstToEnd is the one of certificates that expires first. There has to be one.
func FirstToEnd(certificates []*x509.Certificate) *x509.Certificate {
	return slices.MinFunc(certificates, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// FirstEnd is when the first of certificates expires.
func FirstEnd(certificates []*x509.Certificate) time.Time { return FirstToEnd(certificates).NotAfter }
