package pki

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/cloudflare/cfssl/csr"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Sign signs a certificate request, PEM, that was made to order, as the hosts of members make theirs.
// It must prove the possession of a key of one of the Algorithms, and hold exactly the subject, names
// and addresses that are desired: one that lacks any, or slips in others or any further extension, is
// refused. Of what it holds, nothing but the public key gets into the certificate.
//
// The certificate, PEM, holds from 5 minutes before now until the lifetime after it, and never longer
// than the authority itself: then it is cut short, so that a cluster stays manageable in the last
// year of its authority, and only refused where less than MinimumLifetime would be left.
func (a *Authority) Sign(requestPEM []byte, want Request, now time.Time) ([]byte, error) {
	return a.sign(requestPEM, want, now, true)
}

// SignRequest is Sign for a request that somebody brings along, and whose subject and names are the
// configuration's to decide: it may leave out what is desired, and still add nothing.
func (a *Authority) SignRequest(requestPEM []byte, want Request, now time.Time) ([]byte, error) {
	return a.sign(requestPEM, want, now, false)
}

// NewLeaf makes a key, and signs a certificate for it.
func (a *Authority) NewLeaf(want Request, algorithm Algorithm, now time.Time) (KeyPair, error) {
	leaf, err := a.newLeaf(want, algorithm, now)
	if err != nil {
		return KeyPair{}, a.failed(want, err)
	}
	return leaf, nil
}

func (a *Authority) newLeaf(want Request, algorithm Algorithm, now time.Time) (KeyPair, error) {
	if err := want.check(); err != nil {
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
	certificate, err := a.issue(der, key.Public(), want, now)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{certificate, key}, nil
}

func (a *Authority) sign(requestPEM []byte, want Request, now time.Time, complete bool) ([]byte, error) {
	if err := want.check(); err != nil {
		return nil, a.failed(want, err)
	}
	request, err := parseRequest(requestPEM)
	if err != nil {
		return nil, a.failed(want, fmt.Errorf("the certificate request is not acceptable: %w", err))
	}
	if err := checkRequest(request, want, complete); err != nil {
		return nil, a.failed(want, err)
	}
	certificate, err := a.issue(request.Raw, request.PublicKey, want, now)
	if err != nil {
		return nil, a.failed(want, err)
	}
	return KeyPair{certificate: certificate}.CertificatePEM(), nil
}

func (a *Authority) failed(want Request, err error) error {
	return fmt.Errorf("sign the %s certificate of %.80q by the authority %s: %w", want.Profile, want.CommonName, a, err)
}

// Types of PEM blocks that hold a certificate request.
const (
	pemRequest    = "CERTIFICATE REQUEST"
	pemOldRequest = "NEW CERTIFICATE REQUEST" // as older tools write it
)

// parseRequest reads a request and has it prove the possession of its key. The kind of key comes
// first: to verify the signature of a key of any size could take any time.
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

// checkRequest refuses a request that holds more than is desired, or less where it is to be complete.
func checkRequest(request *x509.CertificateRequest, want Request, complete bool) error {
	claims, err := cert.RequestClaims(request)
	if err != nil {
		return fmt.Errorf("the certificate request is not acceptable: %w", err)
	}
	extra, missing := cert.CompareClaims(want.claims(), claims)
	switch {
	case len(extra) > 0:
		return fmt.Errorf("the certificate request holds what was not asked for: %s; make a new request without it", list(extra))
	case complete && len(missing) > 0:
		return fmt.Errorf("the certificate request lacks what was asked for: %s; make a new request with it", list(missing))
	}
	return nil
}
