package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// issue orders a certificate from the authority's issuer, and checks the certificate before it returns it. What stands behind it is
// not of the certificate's own.
func (a *Authority) issue(ctx context.Context, requestDER []byte, public crypto.PublicKey, want Request, now time.Time) (*x509.Certificate, error) {
	notAfter, err := a.notAfter(want.lifetime(), now)
	if err != nil {
		return nil, err
	}
	signed, err := a.issuer.Issue(ctx, Order{
		Request: want,
		// Encoded again, so that the issuer reads exactly the bytes that were checked.
		RequestPEM: pem.EncodeToMemory(&pem.Block{Type: pemRequest, Bytes: requestDER}),
		NotBefore:  now.Add(-cert.Backdate),
		NotAfter:   notAfter,
	})
	if err != nil {
		return nil, err
	}
	certificate, err := cert.ParseOne(signed)
	if err == nil {
		err = a.conforms(certificate, public, want, now)
	}
	if err != nil {
		return nil, fmt.Errorf("the signed certificate is not what was requested, and was discarded: %w", err)
	}
	return certificate, nil
}

// notAfter returns the end of a lifetime that begins now, or that of the authority and its chain if that is earlier.
func (a *Authority) notAfter(lifetime time.Duration, now time.Time) (time.Time, error) {
	if err := a.check(now); err != nil {
		return time.Time{}, err
	}
	end := a.Ends()
	if left := end.Sub(now); left < MinimumLifetime {
		return time.Time{}, fmt.Errorf("the authority expires in %s, and nothing that is valid for less than %s is signed; make a new authority",
			left.Round(time.Second), MinimumLifetime)
	}
	if desired := now.Add(lifetime); desired.Before(end) {
		return desired, nil
	}
	return end, nil
}

// conforms checks that a certificate says exactly what was requested, is for this key, and is valid now for those who
// trust the authority. An imported authority may have limits of its own, on names or usages, that show only here.
func (a *Authority) conforms(certificate *x509.Certificate, public crypto.PublicKey, want Request, now time.Time) error {
	claims, err := cert.Claims(certificate)
	if err != nil {
		return err
	}
	if extra, missing := cert.CompareClaims(want.claims(), claims); len(extra)+len(missing) > 0 {
		return fmt.Errorf("it adds [%s] and lacks [%s]", list(extra), list(missing))
	}
	usages, err := want.Profile.extKeyUsages()
	if err != nil {
		return err
	}
	switch {
	case !cert.IsFor(certificate, public):
		return errors.New("it is for another key")
	case certificate.IsCA:
		return errors.New("it is an authority's")
	case certificate.KeyUsage&^a.tolerated != keyUsage || !slices.Equal(certificate.ExtKeyUsage, usages) || len(certificate.UnknownExtKeyUsage) > 0:
		return fmt.Errorf("its usages are not those of profile %s", want.Profile)
	// A signing server decides by its own profile. One that signs for longer would have the certificate renewed again and again.
	case want.Lifetime > 0 && certificate.NotAfter.After(now.Add(want.Lifetime+time.Second)):
		return fmt.Errorf("it is valid until %s, and it was to be valid for no longer than %s: give the signer's profile a shorter expiry, or ask for a longer validity",
			certificate.NotAfter.UTC().Format(time.RFC3339), want.Lifetime)
	}
	if err := verify([]*x509.Certificate{certificate}, []*x509.Certificate{a.certificate}, want.Profile, now); err != nil || len(a.above) == 0 {
		return err
	}
	// And for those who know only the end of its chain.
	return verify(append([]*x509.Certificate{certificate}, a.chain()...), a.above[len(a.above)-1:], want.Profile, now)
}
