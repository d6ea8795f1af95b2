package pki

import (
	"context"
	"time"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"
)

// Issuer signs for an authority, with a key that it holds or reaches. Nothing that it returns is trusted: the authority
// compares each certificate with what was ordered.
type Issuer interface {
	Issue(context.Context, Order) (certificatePEM []byte, err error)
}

// Order is a certificate that an Issuer is to make. The request has been checked: it proves possession of its key.
type Order struct {
	Request             // what the certificate is to say
	RequestPEM          []byte
	NotBefore, NotAfter time.Time
}

// Hosts returns all names and addresses of the certificate. It is never nil, which cfssl would take as permission to
// copy those of the certificate request.
func (o Order) Hosts() []string { return o.hosts() }

// embedded signs with a key that this process holds.
type embedded struct{ KeyPair }

// Issue has cfssl sign.
func (e embedded) Issue(_ context.Context, order Order) ([]byte, error) {
	usages, err := order.Profile.usages()
	if err != nil {
		return nil, err
	}
	ca, err := local.NewSigner(e.key, e.certificate, signer.DefaultSigAlgo(e.key), &config.Signing{
		Default: &config.SigningProfile{
			Usage:  append([]string{"digital signature"}, usages...),
			Expiry: order.lifetime(), // cfssl requires one; NotAfter below decides
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
		Subject:   order.subject(),
		NotBefore: order.NotBefore,
		NotAfter:  order.NotAfter,
	})
	if err != nil {
		return nil, plain(err)
	}
	return signed, nil
}
