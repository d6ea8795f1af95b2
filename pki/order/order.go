// Package order describes ordered certificates, and compares each certificate that comes back with its order. The
// provider and the hosts order certificates alike. The package signs none.
package order

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Issuer signs for an authority, with a key that it holds or reaches. Nobody trusts what an issuer returns: whoever
// orders a certificate compares it with the order.
type Issuer interface {
	Issue(context.Context, Order) (certificatePEM []byte, err error)
}

// Discarded is the error of a certificate that is not what was requested of an issuer. It names one that has a name.
func Discarded(by Issuer, err error) error {
	if name, named := by.(fmt.Stringer); named {
		return fmt.Errorf("the certificate that %s has signed is not what was requested, and was discarded: %w; see by which authority and with what profile it signs", name, err)
	}
	return fmt.Errorf("the signed certificate is not what was requested, and was discarded: %w", err)
}

// Order is a certificate that an Issuer is to make. The request has been checked: it proves possession of its key.
type Order struct {
	Request             // what the certificate is to say
	RequestPEM          []byte
	NotBefore, NotAfter time.Time
}

// Check checks that a certificate says exactly what was requested, is for this key, and is valid now, both for
// verifiers that trust the authority that signs and for those that know only the end of its chain. chain begins with
// the authority, followed by the known authorities above it. An authority may have limits of its own, on names or
// usages, that show only here. tolerated are key usages that the issuer may allow beside those that TLS requires.
func Check(certificate *x509.Certificate, chain []*x509.Certificate, public crypto.PublicKey, want Request, tolerated x509.KeyUsage, now time.Time) error {
	claims, err := cert.Claims(certificate)
	if err != nil {
		return err
	}
	if extra, missing := cert.CompareClaims(want.Claims(), claims); len(extra)+len(missing) > 0 {
		return fmt.Errorf("it adds [%s] and lacks [%s]", List(extra), List(missing))
	}
	usages, err := want.Profile.ExtKeyUsages()
	if err != nil {
		return err
	}
	switch {
	case !cert.IsFor(certificate, public):
		return errors.New("it is for another key")
	case certificate.IsCA:
		return errors.New("it is an authority's")
	case certificate.KeyUsage&^tolerated != keyUsage || !slices.Equal(certificate.ExtKeyUsage, usages) || len(certificate.UnknownExtKeyUsage) > 0:
		return fmt.Errorf("its usages are not those of profile %s", want.Profile)
	case now.Before(certificate.NotBefore):
		return fmt.Errorf("it is valid from %s, and this machine's clock says %s: one of the two clocks is wrong, this one or the signer's",
			certificate.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	// A signing server decides the lifetime by its own profile. A longer one than ordered would have the certificate
	// renewed again and again.
	case want.Lifetime > 0 && certificate.NotAfter.After(now.Add(want.Lifetime+time.Second)):
		return fmt.Errorf("it is valid until %s, and it was to be valid for no longer than %s: give the signer's profile a shorter expiry, or ask for a longer validity",
			certificate.NotAfter.UTC().Format(time.RFC3339), want.Lifetime)
	}
	if err := Verify([]*x509.Certificate{certificate}, chain[:1], want.Profile, now); err != nil || len(chain) == 1 {
		return err
	}
	return Verify(append([]*x509.Certificate{certificate}, chain...), chain[len(chain)-1:], want.Profile, now)
}

// Verify returns why verifiers that trust the authorities would refuse a certificate and its intermediates at now, for
// any usage of its profile.
func Verify(chain, authorities []*x509.Certificate, profile Profile, now time.Time) error {
	usages, err := profile.ExtKeyUsages()
	if err != nil {
		return err
	}
	if err := cert.VerifyChain(chain, authorities, now, usages...); err != nil {
		return fmt.Errorf("verify the %s certificate of %q: %w", profile, chain[0].Subject.CommonName, err)
	}
	return nil
}

// List formats claims for an error. They may be hostile, so it bounds their number and length.
func List(claims []string) string {
	const most, longest = 5, 200
	var shown []string
	for _, claim := range claims[:min(most, len(claims))] {
		shown = append(shown, fmt.Sprintf("%.*s", longest, claim))
	}
	if more := len(claims) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}
