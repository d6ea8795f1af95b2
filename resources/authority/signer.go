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
	Authorities pki.Authorities
	Now         func() time.Time
}

// profiles are what the certificates of a member's keys may be used for.
var profiles = map[string]pki.Profile{api.KeyPeer: pki.Peer, api.KeyServer: pki.Server, api.KeyAdmin: pki.Client}

// Sign signs a request that holds exactly what is desired.
func (s Signer) Sign(_ context.Context, want api.KeyRequest, request string) (string, error) {
	profile, known := profiles[want.Name]
	if !known {
		return "", fmt.Errorf("it is not known what key %q is for", want.Name)
	}
	desired := pki.Request{Profile: profile, CommonName: want.CommonName, Organization: want.Organization, DNSNames: want.DNSNames}
	for _, text := range want.IPs {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return "", err
		}
		desired.IPs = append(desired.IPs, ip)
	}
	certificate, err := s.Authorities.For(profile).Sign([]byte(request), desired, s.Now())
	return string(certificate), err
}
