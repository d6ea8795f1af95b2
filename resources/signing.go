package resources

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// authorityOf are the two authorities of a cluster as Terraform has them.
func authorityOf(authorities pki.Authorities) (authorityModel, error) {
	peer, err := keyPairFrom(authorities.Peers)
	if err != nil {
		return authorityModel{}, err
	}
	client, err := keyPairFrom(authorities.Clients)
	return authorityModel{Peer: peer, Client: client}, err
}

func keyPairFrom(authority *pki.Authority) (keyPairModel, error) {
	key, err := authority.PrivateKeyPEM()
	return keyPairModel{Certificate: types.StringValue(string(authority.CertificatePEM())), PrivateKey: sensitive.Of(string(key))}, err
}

// parse reads the authorities, and refuses those that could not sign at now.
func (a authorityModel) parse(now time.Time) (pki.Authorities, error) {
	peers, err := a.Peer.parse(now)
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("pki.peer: %w", err)
	}
	clients, err := a.Client.parse(now)
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("pki.client: %w", err)
	}
	authorities := pki.Authorities{Peers: peers, Clients: clients}
	return authorities, authorities.Check()
}

// check refuses authorities that could never sign, as far as they are known. It reads no clock, since a
// plan does not: it takes the authorities at a time at which they hold.
func (a authorityModel) check() (diags diag.Diagnostics) {
	if !a.Peer.known() || !a.Client.known() {
		return nil
	}
	peer, errPeer := a.Peer.parse(a.Peer.notBefore())
	client, errClient := a.Client.parse(a.Client.notBefore())
	err := errors.Join(errPeer, errClient)
	if err == nil {
		err = pki.Authorities{Peers: peer, Clients: client}.Check()
	}
	if err != nil {
		diags.AddAttributeError(path.Root("pki"), "These authorities cannot be used", err.Error())
	}
	return diags
}

// known tells whether all of an authority is known.
func (k keyPairModel) known() bool { return !k.Certificate.IsUnknown() && !k.PrivateKey.IsUnknown() }

// check refuses an authority for clients that could never sign, as far as it is known. It reads no clock either.
func (k keyPairModel) check() (diags diag.Diagnostics) {
	if !k.known() {
		return nil
	}
	if _, err := k.parse(k.notBefore()); err != nil {
		diags.AddAttributeError(path.Root("pki"), "This authority cannot be used", fmt.Sprintf("pki.client: %s", err))
	}
	return diags
}

// notBefore is when the authority begins to hold; the zero time where its certificate cannot be read.
func (k keyPairModel) notBefore() time.Time {
	info, _ := cert.Inspect([]byte(k.Certificate.ValueString()))
	return info.NotBefore
}

func (k keyPairModel) parse(now time.Time) (*pki.Authority, error) {
	return pki.ParseAuthority([]byte(k.Certificate.ValueString()), []byte(k.PrivateKey.Reveal()), now)
}

// memberSigner signs what the hosts of members request. It implements upgrade.Signer.
type memberSigner struct {
	authorities pki.Authorities
	now         func() time.Time
}

// profiles are what the certificates of a member's keys may be used for.
var profiles = map[string]pki.Profile{api.KeyPeer: pki.Peer, api.KeyServer: pki.Server, api.KeyAdmin: pki.Client}

// Sign signs a request that holds exactly what is desired.
func (s memberSigner) Sign(_ context.Context, want api.KeyRequest, request string) (string, error) {
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
	certificate, err := s.authorities.For(profile).Sign([]byte(request), desired, s.now())
	return string(certificate), err
}

// keyAlgorithm is the algorithm of an authority's key, which the keys of members are to have too.
func keyAlgorithm(certificate string) (pki.Algorithm, error) {
	parsed, err := cert.ParseLeaf([]byte(certificate))
	if err != nil {
		return "", fmt.Errorf("read the authority's certificate: %w", err)
	}
	algorithm, err := pki.AlgorithmOf(parsed.PublicKey)
	if err != nil {
		return "", fmt.Errorf("the authority %q: %w", parsed.Subject.CommonName, err)
	}
	return algorithm, nil
}
