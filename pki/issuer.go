package pki

import (
	"context"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/csr"
	"github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"
)

// embedded signs with a key that this process holds.
type embedded struct{ KeyPair }

// Issue has cfssl sign.
func (e embedded) Issue(_ context.Context, order Order) ([]byte, error) {
	names, err := usages(order.Profile)
	if err != nil {
		return nil, err
	}
	ca, err := local.NewSigner(e.key, e.certificate, signer.DefaultSigAlgo(e.key), &config.Signing{
		Default: &config.SigningProfile{
			Usage:  append([]string{"digital signature"}, names...),
			Expiry: order.LifetimeOrDefault(), // cfssl requires one; NotAfter below decides
			// Nothing that is not listed here is taken from the request.
			CSRWhitelist: &config.CSRWhitelist{PublicKey: true, PublicKeyAlgorithm: true, SignatureAlgorithm: true},
		},
	})
	if err != nil {
		return nil, plain(err)
	}
	signed, err := ca.Sign(signer.SignRequest{
		Request:   string(order.RequestPEM),
		Hosts:     order.Hosts(),
		Subject:   subject(order.Request),
		NotBefore: order.NotBefore,
		NotAfter:  order.NotAfter,
	})
	if err != nil {
		return nil, plain(err)
	}
	return signed, nil
}

func subject(r Request) *signer.Subject {
	subject := &signer.Subject{CN: r.CommonName}
	for _, o := range r.Organization {
		subject.Names = append(subject.Names, csr.Name{O: o})
	}
	return subject
}
