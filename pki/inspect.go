package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"
)

// Info is what a certificate says. Numbers and hashes are lower-case hexadecimal.
type Info struct {
	CommonName      string
	Organization    []string // in the certificate's order, which need not be that of the Request
	DNSNames        []string
	IPs             []netip.Addr
	NotBefore       time.Time
	NotAfter        time.Time
	SerialNumber    string
	IssuerKeyID     string // the authority's SubjectKeyID; empty: not told
	SubjectKeyID    string // empty: not told
	SHA256          string // of the certificate: its fingerprint
	PublicKeySHA256 string // of the public key, as SubjectPublicKeyInfo
	IsCA            bool
}

// Inspect reads one certificate, PEM.
func Inspect(certificatePEM []byte) (Info, error) {
	c, err := parseCertificate(certificatePEM)
	if err != nil {
		return Info{}, fmt.Errorf("read the certificate: %w", err)
	}
	fingerprint := sha256.Sum256(c.Raw)
	info := Info{
		CommonName:      c.Subject.CommonName,
		Organization:    c.Subject.Organization,
		DNSNames:        c.DNSNames,
		NotBefore:       c.NotBefore,
		NotAfter:        c.NotAfter,
		SerialNumber:    hex.EncodeToString(c.SerialNumber.Bytes()),
		IssuerKeyID:     hex.EncodeToString(c.AuthorityKeyId),
		SubjectKeyID:    hex.EncodeToString(c.SubjectKeyId),
		SHA256:          hex.EncodeToString(fingerprint[:]),
		PublicKeySHA256: publicKeySHA256(c),
		IsCA:            c.IsCA,
	}
	for _, slice := range c.IPAddresses {
		if ip, ok := netip.AddrFromSlice(slice); ok {
			info.IPs = append(info.IPs, ip.Unmap())
		}
	}
	return info, nil
}

func publicKeySHA256(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Verify tells why a certificate, PEM, would be refused at now for any of the usages of its profile
// by those who trust the authorities in bundle, PEM: one, or an old and a new one while they change.
func Verify(certificatePEM, bundlePEM []byte, profile Profile, now time.Time) error {
	certificate, err := parseCertificate(certificatePEM)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	authorities, err := parseBundle(bundlePEM)
	if err != nil {
		return fmt.Errorf("read the authorities that %q is verified by: %w", certificate.Subject.CommonName, err)
	}
	return verify(certificate, authorities, profile, now)
}

func verify(certificate *x509.Certificate, authorities []*x509.Certificate, profile Profile, now time.Time) error {
	usages, err := profile.extKeyUsages()
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	for _, authority := range authorities {
		roots.AddCert(authority)
	}
	for _, usage := range usages { // one by one: crypto/x509 is content with any of a list
		options := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := certificate.Verify(options); err != nil {
			return fmt.Errorf("verify the %s certificate of %q: %w", profile, certificate.Subject.CommonName, err)
		}
	}
	return nil
}
