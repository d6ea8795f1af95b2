package authority

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// Signer signs what the hosts of members request. It implements upgrade.Signer.
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
	profile, known := profiles[want.Name]
	if !known {
		return "", fmt.Errorf("it is not known what key %q is for", want.Name)
	}
	desired := pki.Request{Profile: profile, CommonName: want.CommonName, Organization: want.Organization, DNSNames: want.DNSNames, Lifetime: s.validity}
	for _, text := range want.IPs {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return "", err
		}
		desired.IPs = append(desired.IPs, ip)
	}
	for _, authority := range s.authorities[profile] {
		if by == "" || by == authority.Name() {
			certificate, err := authority.Sign(ctx, []byte(request), desired, s.now())
			return string(certificate), err
		}
	}
	return "", fmt.Errorf("authority %s cannot sign: its key is not in pki, or it has expired", by)
}
