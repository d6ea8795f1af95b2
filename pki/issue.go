package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// issue has cfssl sign, and looks at the result before it lets it go.
func (a *Authority) issue(requestDER []byte, public crypto.PublicKey, want Request, now time.Time) (*x509.Certificate, error) {
	notAfter, err := a.notAfter(want.lifetime(), now)
	if err != nil {
		return nil, err
	}
	usages, err := want.Profile.usages()
	if err != nil {
		return nil, err
	}
	ca, err := local.NewSigner(a.key, a.certificate, signer.DefaultSigAlgo(a.key), &config.Signing{
		Default: &config.SigningProfile{
			Usage:  append([]string{"digital signature"}, usages...),
			Expiry: want.lifetime(), // cfssl insists on one; NotAfter below decides
			// What is not listed here is not taken from the request, whatever it holds.
			CSRWhitelist: &config.CSRWhitelist{PublicKey: true, PublicKeyAlgorithm: true, SignatureAlgorithm: true},
		},
	})
	if err != nil {
		return nil, plain(err)
	}
	signed, err := ca.Sign(signer.SignRequest{
		// Encoded anew, so that cfssl reads the very bytes that were checked.
		Request:   string(pem.EncodeToMemory(&pem.Block{Type: pemRequest, Bytes: requestDER})),
		Hosts:     want.hosts(),
		Subject:   want.subject(),
		NotBefore: now.Add(-cert.Backdate),
		NotAfter:  notAfter,
	})
	if err != nil {
		return nil, plain(err)
	}
	certificate, err := cert.ParseOne(signed)
	if err != nil {
		return nil, err
	}
	if err := a.conforms(certificate, public, want, now); err != nil {
		return nil, fmt.Errorf("what was signed is not what was asked for, and was thrown away: %w", err)
	}
	return certificate, nil
}

// notAfter is the end of a lifetime that begins now, or the authority's own end where that is sooner.
func (a *Authority) notAfter(lifetime time.Duration, now time.Time) (time.Time, error) {
	if err := a.check(now); err != nil {
		return time.Time{}, err
	}
	end := a.certificate.NotAfter
	if left := end.Sub(now); left < MinimumLifetime {
		return time.Time{}, fmt.Errorf("the authority expires in %s, and nothing that holds for less than %s is signed; make a new authority",
			left.Round(time.Second), MinimumLifetime)
	}
	if desired := now.Add(lifetime); desired.Before(end) {
		return desired, nil
	}
	return end, nil
}

// conforms tells whether a certificate says exactly what is desired, is for this key, and holds now
// for whoever trusts the authority. An authority from elsewhere may have limits of its own, on names
// or usages, that only show here.
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
		return errors.New("it is one of an authority")
	case certificate.KeyUsage != keyUsage || !slices.Equal(certificate.ExtKeyUsage, usages) || len(certificate.UnknownExtKeyUsage) > 0:
		return fmt.Errorf("its usages are not those of profile %s", want.Profile)
	}
	return verify(certificate, []*x509.Certificate{a.certificate}, want.Profile, now)
}
