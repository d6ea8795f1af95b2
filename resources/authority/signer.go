package authority

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// Signer signs what the hosts of members request. It implements upgrade.Signer and upgrade.Prober.
type Signer struct {
	authorities map[pki.Profile][]*pki.Authority // those whose keys are at hand; the one that is to sign first
	now         func() time.Time
	validity    time.Duration // of what it signs; 0: the default
}

// Signer signs by these authorities, and by those that are trusted beside them where one of these is named. It fails where the
// authorities could not sign now. What it signs is valid for so long, or by default where validity is 0, and never longer than its
// authority.
func (a Model) Signer(now func() time.Time, validity time.Duration) (Signer, error) {
	authorities, err := a.Parse(now())
	if err != nil {
		return Signer{}, err
	}
	signer := Signer{map[pki.Profile][]*pki.Authority{}, now, validity}
	for key, profile := range profiles {
		signer.authorities[profile] = []*pki.Authority{authorities.For(profile)}
		for _, pair := range a.of(key)[1:] {
			// One that has expired signs nothing any more.
			if trusted, err := pair.Parse(now()); err == nil {
				signer.authorities[profile] = append(signer.authorities[profile], trusted)
			}
		}
	}
	return signer, nil
}

// profiles are what the certificates of a member's keys may be used for.
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

// Probe has a server that keeps the key sign what is desired, for a key that is thrown away. It implements upgrade.Prober.
func (s Signer) Probe(ctx context.Context, by string, want api.KeyRequest) error {
	authority, desired, err := s.order(by, want)
	if err != nil || !authority.External() {
		return nil // Sign says what is wrong
	}
	_, err = authority.NewLeaf(ctx, desired, pki.Algorithm(want.Algorithm), s.now())
	return err
}

// order returns who is to sign for a key of a member, and what.
func (s Signer) order(by string, want api.KeyRequest) (*pki.Authority, pki.Request, error) {
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

// requestOf is what a certificate for a key of a member is to say.
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
