// Package cert reads certificates and signs none. Hosts, planners and Terraform's resources use it for certificates of
// package pki or of others.
package cert

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// BlockType is the type of a certificate's PEM block.
const BlockType = "CERTIFICATE"

// Backdate is how long before its signing a certificate becomes valid, as in cfssl: hosts' clocks differ.
const Backdate = 5 * time.Minute

// DecodeOne returns the bytes of the only PEM block in text, which must have one of these types. Text before the block
// is ignored, as openssl writes some; text after it is refused.
func DecodeOne(text []byte, types ...string) ([]byte, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, fmt.Errorf("it holds no PEM block %q", types[0])
	case !slices.Contains(types, block.Type):
		return nil, fmt.Errorf("it is a PEM block %.80q where %q is wanted", block.Type, strings.Join(types, `" or "`))
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("something follows its PEM block %q; it must be the only one", block.Type)
	}
	return block.Bytes, nil
}

// ParseOne parses the only certificate in text, PEM.
func ParseOne(text []byte) (*x509.Certificate, error) {
	der, err := DecodeOne(text, BlockType)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Parse parses all certificates in text, PEM, at least one: a chain that begins with its leaf, or a bundle of
// authorities. Unlike x509.CertPool it skips none silently. It ignores text around them, but refuses the remains of a
// private key: whoever takes the text for certificates stores it where others read it.
func Parse(text []byte) ([]*x509.Certificate, error) {
	if bytes.Contains(text, []byte("PRIVATE KEY")) {
		return nil, errors.New(`it holds a private key (PEM "PRIVATE KEY") where certificates alone belong`)
	}
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		switch {
		case block == nil && bytes.Contains(text, []byte("-----BEGIN ")):
			return nil, errors.New("it holds a PEM block that cannot be read")
		case block == nil && len(all) == 0:
			return nil, errors.New("it holds no certificate")
		case block == nil:
			return all, nil
		case bytes.Count(text[:len(text)-len(rest)], []byte("-----BEGIN ")) > 1: // Decode skips broken blocks
			return nil, errors.New("it holds a PEM block that cannot be read")
		case block.Type != BlockType:
			return nil, fmt.Errorf("it holds a PEM block %.80q where a certificate should be", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all, text = append(all, certificate), rest
	}
}

// ParseLeaf parses text, PEM, and returns its first certificate.
func ParseLeaf(text []byte) (*x509.Certificate, error) {
	all, err := Parse(text)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// IsFor tells whether a certificate is for the private key that a public key belongs to.
func IsFor(certificate *x509.Certificate, key crypto.PublicKey) bool {
	public, comparable := key.(interface{ Equal(crypto.PublicKey) bool })
	return comparable && public.Equal(certificate.PublicKey)
}

// IsOf tells whether a certificate is an authority's own, or signed by the authority.
func IsOf(certificate, authority *x509.Certificate) bool {
	return certificate.Equal(authority) || certificate.CheckSignatureFrom(authority) == nil
}

// Name returns the name by which authorities are compared: the first 12 digits of the certificate's SHA-256.
func Name(authority *x509.Certificate) string {
	sum := sha256.Sum256(authority.Raw)
	return hex.EncodeToString(sum[:6])
}

// NeedsRenewal tells whether a certificate is due for renewal: when renewBefore is left of its lifetime, or a third of
// the lifetime if renewBefore is not positive. The third also counts if renewBefore is no shorter than the whole
// lifetime. Otherwise a certificate that is cut short by the end of its authority would be renewed for ever.
func NeedsRenewal(info Info, now time.Time, renewBefore time.Duration) bool {
	return !now.Before(info.NotAfter.Add(-DueFor(info.NotAfter.Sub(info.NotBefore), renewBefore)))
}

// DueFor returns how long before its end a certificate of that lifetime becomes due, as NeedsRenewal decides.
func DueFor(lifetime, renewBefore time.Duration) time.Duration {
	if renewBefore <= 0 || renewBefore >= lifetime-Backdate {
		return lifetime / 3
	}
	return renewBefore
}

// Same tells whether two texts, PEM, hold the same certificates in the same order, whatever is around these, however
// their lines break, and even if one is repeated. Texts without certificates are the same if they are equal.
func Same(a, b string) bool {
	ofA, errA := Parse([]byte(a))
	ofB, errB := Parse([]byte(b))
	if errA != nil || errB != nil {
		return a == b
	}
	return slices.EqualFunc(distinct(ofA), distinct(ofB), (*x509.Certificate).Equal)
}

// distinct returns the certificates without repetitions.
func distinct(all []*x509.Certificate) (first []*x509.Certificate) {
	for _, certificate := range all {
		if !slices.ContainsFunc(first, certificate.Equal) {
			first = append(first, certificate)
		}
	}
	return first
}

// Issued returns when a certificate was signed, as far as that is known: authorities backdate.
func Issued(certificate *x509.Certificate) time.Time { return certificate.NotBefore.Add(Backdate) }

// Verify returns why verifiers that trust the authorities would refuse a certificate at now, for any of the usages.
func Verify(certificate *x509.Certificate, authorities []*x509.Certificate, now time.Time, usages ...x509.ExtKeyUsage) error {
	return VerifyChain([]*x509.Certificate{certificate}, authorities, now, usages...)
}

// VerifyChain does what Verify does for a certificate that intermediates follow.
func VerifyChain(chain, authorities []*x509.Certificate, now time.Time, usages ...x509.ExtKeyUsage) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, authority := range authorities {
		roots.AddCert(authority)
	}
	for _, intermediate := range chain[1:] {
		intermediates.AddCert(intermediate)
	}
	for _, usage := range usages { // one by one: crypto/x509 accepts any of a list
		options := x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := chain[0].Verify(options); err != nil {
			return err
		}
	}
	return nil
}

// IPs returns the addresses in a certificate.
func IPs(certificate *x509.Certificate) []netip.Addr {
	var all []netip.Addr
	for _, slice := range certificate.IPAddresses {
		if ip, ok := netip.AddrFromSlice(slice); ok {
			all = append(all, ip.Unmap())
		}
	}
	return all
}

// PublicKeySHA256 returns the hash of a certificate's public key, as SubjectPublicKeyInfo, in lower-case hexadecimal.
func PublicKeySHA256(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Info is the content of a certificate. Numbers and hashes are lower-case hexadecimal.
type Info struct {
	CommonName      string
	Organization    []string // in the certificate's order, which may differ from the request's
	DNSNames        []string
	IPs             []netip.Addr
	NotBefore       time.Time
	NotAfter        time.Time
	SerialNumber    string
	IssuerKeyID     string // the authority's SubjectKeyID; empty: not given
	SubjectKeyID    string // empty: not given
	SHA256          string // of the certificate: its fingerprint
	PublicKeySHA256 string // of the public key, as SubjectPublicKeyInfo
	IsCA            bool
}

// Inspect parses the first certificate of a text, PEM: a leaf, or the authority of a chain that signs.
func Inspect(text []byte) (Info, error) {
	c, err := ParseLeaf(text)
	if err != nil {
		return Info{}, fmt.Errorf("read the certificate: %w", err)
	}
	return InfoOf(c), nil
}

// InfoOf returns the content of a certificate.
func InfoOf(c *x509.Certificate) Info {
	fingerprint := sha256.Sum256(c.Raw)
	return Info{
		CommonName:      c.Subject.CommonName,
		Organization:    c.Subject.Organization,
		DNSNames:        c.DNSNames,
		IPs:             IPs(c),
		NotBefore:       c.NotBefore,
		NotAfter:        c.NotAfter,
		SerialNumber:    hex.EncodeToString(c.SerialNumber.Bytes()),
		IssuerKeyID:     hex.EncodeToString(c.AuthorityKeyId),
		SubjectKeyID:    hex.EncodeToString(c.SubjectKeyId),
		SHA256:          hex.EncodeToString(fingerprint[:]),
		PublicKeySHA256: PublicKeySHA256(c),
		IsCA:            c.IsCA,
	}
}
