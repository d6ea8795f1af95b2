package authority

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// Signer signs the requests of members' hosts. It implements upgrade.Signer and upgrade.Prober.
type Signer struct {
	authorities map[pki.Profile][]*pki.Authority // those whose keys are at hand; the one that is to sign first
	now         func() time.Time
	validity    time.Duration // of what it signs; 0: the default
	refuses     error         // why it signs nothing; nil: it signs
}

// Signer returns a signer with these authorities, and with the trusted ones whose keys are given, for requests that
// name them. It fails if the authorities could not sign now, nor trusted ones in their place, with a signer that
// refuses every request. Certificates are valid for validity, or by default if it is 0, and never longer than their
// authority.
func (a Model) Signer(now func() time.Time, validity time.Duration) (Signer, error) {
	a = a.able(now())
	authorities, err := a.Parse(now())
	if err != nil {
		return Signer{refuses: err}, err
	}
	signer := Signer{map[pki.Profile][]*pki.Authority{}, now, validity, nil}
	for key, profile := range profiles {
		signer.authorities[profile] = []*pki.Authority{authorities.For(profile)}
		for _, pair := range a.of(key)[1:] {
			// A trusted authority that has expired signs nothing any more.
			if trusted, err := pair.Parse(now()); err == nil {
				signer.authorities[profile] = append(signer.authorities[profile], trusted)
			}
		}
	}
	return signer, nil
}

// profiles says what the certificate of each key of a member may be used for.
var profiles = map[string]pki.Profile{api.KeyPeer: pki.Peer, api.KeyServer: pki.Server, api.KeyAdmin: pki.Client}

// Sign signs a request that holds exactly what is desired.
func (s Signer) Sign(ctx context.Context, by string, want api.KeyRequest, request string) (string, error) {
	authority, desired, err := s.order(by, want)
	if err != nil {
		return "", err
	}
	certificate, err := authority.Sign(ctx, []byte(request), desired, s.now())
	return string(certificate), err
}

// Probe has the server that keeps the key sign a certificate for a throwaway key. It implements upgrade.Prober.
func (s Signer) Probe(ctx context.Context, by string, want api.KeyRequest) error {
	authority, desired, err := s.order(by, want)
	if err != nil || !authority.External() {
		return nil // Sign says what is wrong
	}
	_, err = authority.NewLeaf(ctx, desired, pki.Algorithm(want.Algorithm), s.now())
	return err
}

// order returns the authority that is to sign for a member's key, and the request.
func (s Signer) order(by string, want api.KeyRequest) (*pki.Authority, pki.Request, error) {
	if s.refuses != nil {
		return nil, pki.Request{}, s.refuses
	}
	desired, err := requestOf(want)
	if err != nil {
		return nil, pki.Request{}, err
	}
	desired.Lifetime = s.validity
	for _, authority := range s.authorities[desired.Profile] {
		if by == "" || by == authority.Name() {
			return authority, desired, nil
		}
	}
	return nil, pki.Request{}, fmt.Errorf("authority %s cannot sign: its key is not in pki, or it has expired", by)
}

// requestOf returns what the certificate of a member's key is to say.
func requestOf(want api.KeyRequest) (pki.Request, error) {
	profile, known := profiles[want.Name]
	if !known {
		return pki.Request{}, fmt.Errorf("it is not known what key %q is for", want.Name)
	}
	desired := pki.Request{Profile: profile, CommonName: want.CommonName, Organization: want.Organization, DNSNames: want.DNSNames}
	for _, text := range want.IPs {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return pki.Request{}, err
		}
		desired.IPs = append(desired.IPs, ip)
	}
	return desired, nil
}
