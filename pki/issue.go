package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// issue orders a certificate from the authority's issuer, and checks the certificate before it returns it. The result
// has no chain.
func (a *Authority) issue(ctx context.Context, requestDER []byte, public crypto.PublicKey, want Request, now time.Time) (*x509.Certificate, error) {
	notAfter, err := a.notAfter(want.LifetimeOrDefault(), now)
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
		err = order.Check(certificate, a.chain(), public, want, a.tolerated, now)
	}
	if err != nil {
		return nil, order.Discarded(a.issuer, err)
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
