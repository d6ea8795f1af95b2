package pki

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/cloudflare/cfssl/csr"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// Sign signs a certificate request, PEM, that a host has made for this purpose. The request has to prove possession of
// a key of one of the Algorithms, and hold exactly the desired subject, names and addresses: Sign refuses a request
// that lacks any or adds anything, including extensions. Only the public key is taken from it into the certificate.
//
// The certificate, PEM, followed by its intermediates, is valid from 5 minutes before now until its lifetime after now,
// but never longer than the authority and its chain. So a cluster stays manageable in the last year of its authority.
// Sign refuses only if less than MinimumLifetime is left.
func (a *Authority) Sign(ctx context.Context, requestPEM []byte, want Request, now time.Time) ([]byte, error) {
	return a.sign(ctx, requestPEM, want, now, true)
}

// SignRequest is Sign for a user's request whose subject and names the configuration decides: it may omit what is
// desired, but not add anything.
func (a *Authority) SignRequest(ctx context.Context, requestPEM []byte, want Request, now time.Time) ([]byte, error) {
	return a.sign(ctx, requestPEM, want, now, false)
}

// NewLeaf generates a key and signs a certificate for it.
func (a *Authority) NewLeaf(ctx context.Context, want Request, algorithm Algorithm, now time.Time) (KeyPair, error) {
	leaf, err := a.newLeaf(ctx, want, algorithm, now)
	if err != nil {
		return KeyPair{}, a.failed(want, err)
	}
	return leaf, nil
}

func (a *Authority) newLeaf(ctx context.Context, want Request, algorithm Algorithm, now time.Time) (KeyPair, error) {
	if err := want.Check(); err != nil {
		return KeyPair{}, err
	}
	key, err := algorithm.generate()
	if err != nil {
		return KeyPair{}, err
	}
	der, err := csr.GenerateDER(key, &csr.CertificateRequest{})
	if err != nil {
		return KeyPair{}, plain(err)
	}
	certificate, err := a.issue(ctx, der, key.Public(), want, now)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{certificate, a.behind(), key}, nil
}

func (a *Authority) sign(ctx context.Context, requestPEM []byte, want Request, now time.Time, complete bool) ([]byte, error) {
	if err := want.Check(); err != nil {
		return nil, a.failed(want, err)
	}
	request, err := parseRequest(requestPEM)
	if err != nil {
		return nil, a.failed(want, fmt.Errorf("the certificate request is not acceptable: %w", err))
	}
	if err := checkRequest(request, want, complete); err != nil {
		return nil, a.failed(want, err)
	}
	certificate, err := a.issue(ctx, request.Raw, request.PublicKey, want, now)
	if err != nil {
		return nil, a.failed(want, err)
	}
	return KeyPair{certificate: certificate, behind: a.behind()}.CertificatePEM(), nil
}

func (a *Authority) failed(want Request, err error) error {
	return fmt.Errorf("sign the %s certificate of %.80q by the authority %s: %w", want.Profile, want.CommonName, a, err)
}

// Types of PEM blocks with a certificate request.
const (
	pemRequest    = "CERTIFICATE REQUEST"
	pemOldRequest = "NEW CERTIFICATE REQUEST" // as older tools write it
)

// parseRequest parses a request and checks that it proves possession of its key. It checks the kind of key first:
// verifying the signature of a key of any size could take any time.
func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	der, err := cert.DecodeOne(data, pemRequest, pemOldRequest)
	if err != nil {
		return nil, err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	if _, err := AlgorithmOf(request.PublicKey); err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("it is not signed by its own key, or was changed on the way: %w", err)
	}
	return request, nil
}

// checkRequest refuses a request that holds more than is desired or, if complete is set, less.
func checkRequest(request *x509.CertificateRequest, want Request, complete bool) error {
	claims, err := cert.RequestClaims(request)
	if err != nil {
		return fmt.Errorf("the certificate request is not acceptable: %w", err)
	}
	extra, missing := cert.CompareClaims(want.Claims(), claims)
	switch {
	case len(extra) > 0:
		return fmt.Errorf("the certificate request holds what was not requested: %s; make a new request without it", order.List(extra))
	case complete && len(missing) > 0:
		return fmt.Errorf("the certificate request lacks what was requested: %s; make a new request with it", order.List(missing))
	}
	return nil
}
