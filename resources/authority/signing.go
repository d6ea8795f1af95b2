package authority

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// Of returns the Model of two authorities.
func Of(authorities pki.Authorities) (Model, error) {
	peer, err := KeyPairOf(authorities.Peers)
	if err != nil {
		return Model{}, err
	}
	client, err := KeyPairOf(authorities.Clients)
	return Model{Peer: peer, Client: client}, err
}

// TrustedOf returns the Trusted of these authorities, nil if there are none.
func TrustedOf(authorities pki.Authorities) (*Trusted, error) {
	var trusted Trusted
	for _, one := range []struct {
		of   *pki.Authority
		into **KeyPair
	}{{authorities.Peers, &trusted.Peer}, {authorities.Clients, &trusted.Client}} {
		if one.of == nil {
			continue
		}
		pair, err := KeyPairOf(one.of)
		if err != nil {
			return nil, err
		}
		*one.into = &pair
	}
	if trusted == (Trusted{}) {
		return nil, nil
	}
	return &trusted, nil
}

// KeyPairOf returns the KeyPair of an authority.
func KeyPairOf(authority *pki.Authority) (KeyPair, error) {
	key, err := authority.PrivateKeyPEM()
	return KeyPair{Certificate: types.StringValue(string(authority.CertificatePEM())), PrivateKey: sensitive.Of(string(key))}, err
}

// Parse returns the authorities that sign, and fails if they could not sign at now.
func (a Model) Parse(now time.Time) (pki.Authorities, error) {
	peers, err := a.Peer.Parse(now)
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("pki.peer: %w", err)
	}
	clients, err := a.Client.Parse(now)
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("pki.client: %w", err)
	}
	authorities := pki.Authorities{Peers: peers, Clients: clients}
	return authorities, authorities.Check()
}

// Check refuses known authorities that could never sign. It reads no clock, since plans do not, and checks each
// authority at a time at which the authority is valid.
func (a Model) Check() (diags diag.Diagnostics) {
	diags = a.checkTrusted()
	peer, errPeer := a.Peer.check("pki.peer")
	client, errClient := a.Client.check("pki.client")
	err := errors.Join(errPeer, errClient)
	if err == nil && peer != nil && client != nil {
		err = pki.Authorities{Peers: peer, Clients: client}.Check()
	}
	if err != nil {
		diags.AddAttributeError(path.Root("pki"), "These authorities cannot be used", err.Error())
	}
	return diags
}

// check returns the authority that stands at a place of the configuration, or nil if the authority is unknown.
func (k KeyPair) check(at string) (*pki.Authority, error) {
	if !k.known() {
		return nil, nil
	}
	authority, err := k.Parse(k.HoldsFrom())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return authority, nil
}

// known tells whether all of the authority is known.
func (k KeyPair) known() bool {
	return !k.Certificate.IsUnknown() && !k.PrivateKey.IsUnknown() && (k.Remote == nil || k.Remote.known())
}

// Signs tells whether the configuration gives the authority's key, or a server that keeps it.
func (k KeyPair) Signs() bool { return !k.PrivateKey.IsNull() || k.Remote != nil }

// Check refuses an authority for clients that could never sign, and a trusted certificate that is no authority's, as
// far as they are known. It reads no clock.
func (c ClientModel) Check() (diags diag.Diagnostics) {
	if c.Trusted != nil && c.Trusted.Client != nil && !c.Trusted.Client.Certificate.IsUnknown() {
		if err := (KeyPair{Certificate: c.Trusted.Client.Certificate}).checkTrusted(); err != nil {
			diags.AddAttributeError(path.Root("pki").AtName("trusted"), "A trusted authority cannot be used", err.Error())
		}
	}
	if _, err := c.Client.check("pki.client"); err != nil {
		diags.AddAttributeError(path.Root("pki"), "This authority cannot be used", err.Error())
	}
	return diags
}

// HoldsFrom returns when the authority and all above it are valid, or the zero time if the certificate cannot be read.
func (k KeyPair) HoldsFrom() (from time.Time) {
	chain, _ := cert.Parse([]byte(k.Certificate.ValueString()))
	for _, certificate := range chain {
		if certificate.NotBefore.After(from) {
			from = certificate.NotBefore
		}
	}
	return from
}

// checkTrusted returns why the authority cannot be trusted beside the one that signs, or nil. An authority that only is
// trusted may have been made in any way.
func (k KeyPair) checkTrusted() error {
	chain, err := cert.Parse([]byte(k.Certificate.ValueString()))
	if err == nil && (k.Signs() || len(chain) > 1) {
		_, err = k.Parse(k.HoldsFrom())
	}
	return err
}

// Parse returns the authority, and fails if it could not sign at now. A key that is left out is no reason to fail.
func (k KeyPair) Parse(now time.Time) (*pki.Authority, error) {
	certificate := []byte(k.Certificate.ValueString())
	switch {
	case !k.Signs():
		return pki.ParseExternal(certificate, absent{}, now)
	case k.Remote == nil:
		return pki.ParseAuthority(certificate, []byte(k.PrivateKey.Reveal()), now)
	case !k.PrivateKey.IsNull():
		return nil, errors.New("it has a private_key and a remote, and one of them has to sign: take out the other")
	}
	issuer, err := k.Remote.issuer()
	if err != nil {
		return nil, err
	}
	return pki.ParseExternal(certificate, issuer, now)
}

// Algorithm returns the algorithm of an authority's key. Members' keys have the same.
func Algorithm(certificate string) (pki.Algorithm, error) {
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
