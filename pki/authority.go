// Package pki makes the certificates of a cluster: its two authorities, and the certificates that they sign for
// members and clients. cfssl, which only this package imports, does the signing; this package decides what is signed,
// for how long, and what is refused.
//
// The caller provides the current time. Randomness is crypto/rand's, as cfssl uses it.
package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/cloudflare/cfssl/csr"
	"github.com/cloudflare/cfssl/helpers"
	"github.com/cloudflare/cfssl/initca"
	"github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// Authority signs certificates. It is safe for concurrent use, and prints its name, never its key.
type Authority struct {
	KeyPair                       // the key is missing if only the issuer has it
	above     []*x509.Certificate // authorities above an intermediate, each of which has signed the one before
	issuer    Issuer
	tolerated x509.KeyUsage // key usages that the issuer may allow a leaf beside those that TLS requires
}

func newEmbedded(pair KeyPair) *Authority { return &Authority{KeyPair: pair, issuer: embedded{pair}} }

// NewAuthority generates a self-signed authority that may sign leaves but no further authorities. It is valid from 5
// minutes before now until lifetime after now.
func NewAuthority(commonName string, algorithm Algorithm, lifetime time.Duration, now time.Time) (*Authority, error) {
	authority, err := newAuthority(commonName, algorithm, lifetime, now)
	if err != nil {
		return nil, fmt.Errorf("make the authority %.80q: %w", commonName, err)
	}
	return authority, nil
}

func newAuthority(commonName string, algorithm Algorithm, lifetime time.Duration, now time.Time) (*Authority, error) {
	if err := order.CheckSubject("common name", commonName); err != nil {
		return nil, err
	}
	if err := order.CheckLifetime(lifetime); err != nil {
		return nil, err
	}
	key, err := algorithm.generate()
	if err != nil {
		return nil, err
	}
	request, err := csr.Generate(key, &csr.CertificateRequest{CN: commonName, CA: &csr.CAConfig{PathLenZero: true}})
	if err != nil {
		return nil, plain(err)
	}
	// These are the steps of initca.New, which would use its own clock.
	policy := initca.CAPolicy()
	policy.Default.CAConstraint.MaxPathLenZero = true
	ca, err := local.NewSigner(key, nil, signer.DefaultSigAlgo(key), policy)
	if err != nil {
		return nil, plain(err)
	}
	signed, err := ca.Sign(signer.SignRequest{Request: string(request), NotBefore: now.Add(-cert.Backdate), NotAfter: now.Add(lifetime)})
	if err != nil {
		return nil, plain(err)
	}
	certificate, err := cert.ParseOne(signed)
	if err != nil {
		return nil, err
	}
	return newEmbedded(KeyPair{certificate: certificate, key: key}), nil
}

// ParseAuthority parses an existing authority, self-signed or intermediate, and its chain if the chain follows. The key
// may be PKCS #8, PKCS #1 or SEC 1, and must not be encrypted. ParseAuthority refuses an authority that could not sign,
// or whose certificates nothing would trust at now.
func ParseAuthority(certificatePEM, keyPEM []byte, now time.Time) (*Authority, error) {
	certificate, above, err := parseChain(certificatePEM)
	if err != nil {
		return nil, err
	}
	key, err := helpers.ParsePrivateKeyPEM(keyPEM)
	if err != nil {
		// cfssl's own message would not help, and no text that is close to the key may get into an error.
		return nil, fmt.Errorf("read the private key of the authority %q: it must be PEM (PKCS #8, PKCS #1 or SEC 1) and not encrypted",
			certificate.Subject.CommonName)
	}
	authority := newEmbedded(KeyPair{certificate: certificate, key: key})
	authority.above = above
	if err := authority.check(now); err != nil {
		return nil, fmt.Errorf("the authority %s cannot be used: %w", authority, err)
	}
	return authority, nil
}

// ParseExternal parses the certificate of an authority whose key only the issuer has. It refuses what ParseAuthority
// refuses, as far as the certificate tells. An issuer has policies of its own: it may sign for another lifetime than
// ordered, and allow a key to encipher keys, as most profiles of cfssl do.
func ParseExternal(certificatePEM []byte, issuer Issuer, now time.Time) (*Authority, error) {
	certificate, above, err := parseChain(certificatePEM)
	if err != nil {
		return nil, err
	}
	authority := &Authority{KeyPair: KeyPair{certificate: certificate}, above: above, issuer: issuer, tolerated: x509.KeyUsageKeyEncipherment}
	if err := authority.check(now); err != nil {
		return nil, fmt.Errorf("the authority %s cannot be used: %w", authority, err)
	}
	return authority, nil
}

// Name returns the name by which authorities are compared.
func (a *Authority) Name() string { return cert.Name(a.certificate) }

// External tells whether another process signs for the authority, and so may be out of reach.
func (a *Authority) External() bool { return a.key == nil }

// check returns why an authority cannot sign, or nil.
func (a *Authority) check(now time.Time) error {
	c := a.certificate
	if _, err := AlgorithmOf(c.PublicKey); err != nil {
		return err
	}
	switch {
	case a.key != nil && !cert.IsFor(c, a.key.Public()):
		return errors.New("the private key belongs to another certificate")
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("its certificate is not an authority's: basic constraints do not say CA")
	// Without this extension, which openssl req omits, every usage is allowed.
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("its certificate may not sign others: the key usage lacks certificate signing")
	case now.Before(c.NotBefore):
		return fmt.Errorf("it is valid from %s, and it is %s now; is the clock right?", c.NotBefore.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case !now.Before(c.NotAfter):
		return fmt.Errorf("it expired at %s; make a new authority", c.NotAfter.Format(time.RFC3339))
	}
	if err := checkVerifier(c); err != nil {
		return fmt.Errorf("its certificate %w", err)
	}
	return a.checkAbove(now)
}
