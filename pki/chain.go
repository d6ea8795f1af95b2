package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// parseChain parses an authority's certificate, PEM, and those of the authorities above it, each of which has signed
// the one before. The root may be left out.
func parseChain(certificatePEM []byte) (signs *x509.Certificate, above []*x509.Certificate, err error) {
	all, err := cert.Parse(certificatePEM)
	if err != nil {
		return nil, nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	return all[0], all[1:], nil
}

// chain returns the authority's certificate and all known certificates above it.
func (a *Authority) chain() []*x509.Certificate {
	return append([]*x509.Certificate{a.certificate}, a.above...)
}

// CertificatePEM returns the authority's certificate, and its chain after it if the chain was given.
func (a *Authority) CertificatePEM() []byte { return []byte(cert.Encode(a.chain()...)) }

// behind returns the certificates that follow each certificate that the authority signs.
func (a *Authority) behind() []*x509.Certificate { return cert.Behind(a.chain()) }

// Ends returns when the authority or the first of those above it expires: verifiers then refuse what it has signed.
func (a *Authority) Ends() time.Time { return cert.FirstEnd(a.chain()) }

// checkAbove returns why verifiers that know only the end of the authority's chain would refuse what it signs, or nil.
func (a *Authority) checkAbove(now time.Time) error {
	for i, c := range a.above {
		below, is := a.chain()[i], fmt.Sprintf("certificate %d of its chain, %.80q,", i+2, c.Subject.CommonName)
		switch {
		case cert.IsRoot(below):
			return fmt.Errorf("%q has signed itself, so that nothing stands above it, and %s follows: take that out, or, if members are to trust it too, give it as pki.trusted",
				below.Subject.CommonName, is)
		case !bytes.Equal(below.RawIssuer, c.RawSubject) || below.CheckSignatureFrom(c) != nil:
			return fmt.Errorf("%s has not signed the one before it, %q (issued by %q): give first the certificate that signs, then that of its issuer, and so on; the root may be left out",
				is, below.Subject.CommonName, below.Issuer.CommonName)
		case c.MaxPathLen >= 0 && c.MaxPathLen < i+1:
			return fmt.Errorf("%s allows %d authorities below it (pathlen), and has %d: have the one that signs certified by an authority that allows it", is, c.MaxPathLen, i+1)
		case now.Before(c.NotBefore):
			return fmt.Errorf("%s is valid from %s, and it is %s now; is the clock right?", is, c.NotBefore.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		case !now.Before(c.NotAfter):
			return fmt.Errorf("%s expired at %s; give the chain that it was renewed to", is, c.NotAfter.Format(time.RFC3339))
		case cert.IsRoot(c) && c.NotAfter.Before(cert.FirstEnd(a.chain()[:i+1])):
			return fmt.Errorf("%s is a root that expires at %s, before those below it: leave it out, so that those who trust it decide", is, c.NotAfter.Format(time.RFC3339))
		}
		if err := checkVerifier(c); err != nil {
			return fmt.Errorf("%s %w", is, err)
		}
	}
	return nil
}

// checkVerifier returns what Go's and other verifiers refuse in an authority's certificate, whatever the authority
// signs, or nil.
func checkVerifier(c *x509.Certificate) error {
	if len(c.UnhandledCriticalExtensions) > 0 {
		return fmt.Errorf("has a critical extension that etcd does not know (%s), such as name constraints on other names than those of hosts: take an authority without it", c.UnhandledCriticalExtensions[0])
	}
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if !slices.Contains(c.ExtKeyUsage, usage) {
				return errors.New("limits what is signed to some extended key usages: members need server and client authentication, so take an authority that allows both")
			}
		}
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		const least, most = 2048, 8192 // TLS in Go refuses to read larger ones
		if bits := key.N.BitLen(); bits < least || bits > most {
			return fmt.Errorf("has an RSA key of %d bits, and TLS takes %d to %d: take an authority with another key", bits, least, most)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return fmt.Errorf("has a key of a kind that TLS does not take (%T): take an authority with another key", c.PublicKey)
	}
	return nil
}
