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

// Of are the two authorities of a cluster as Terraform has them.
func Of(authorities pki.Authorities) (Model, error) {
	peer, err := KeyPairOf(authorities.Peers)
	if err != nil {
		return Model{}, err
	}
	client, err := KeyPairOf(authorities.Clients)
	return Model{Peer: peer, Client: client}, err
}

// TrustedOf are authorities that are trusted beside others as Terraform has them, nil where there are none.
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

// KeyPairOf is an authority as Terraform has it.
func KeyPairOf(authority *pki.Authority) (KeyPair, error) {
	key, err := authority.PrivateKeyPEM()
	return KeyPair{Certificate: types.StringValue(string(authority.CertificatePEM())), PrivateKey: sensitive.Of(string(key))}, err
}

// Parse reads the authorities, and refuses those that could not sign at now.
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

// Check refuses authorities that could never sign, each as far as it is known. It reads no clock, since a
// plan does not: it takes the authorities at a time at which they hold.
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

// check reads an authority, which stands at a place of the configuration; nil: it is not known.
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

// known tells whether all of an authority is known.
func (k KeyPair) known() bool {
	return !k.Certificate.IsUnknown() && !k.PrivateKey.IsUnknown() && (k.Remote == nil || k.Remote.known())
}

// Signs tells whether the configuration gives the authority's key, or a server that has it.
func (k KeyPair) Signs() bool { return !k.PrivateKey.IsNull() || k.Remote != nil }

// Check refuses an authority for clients that could never sign, and one beside it that is none, as far as they are known. It reads
// no clock either.
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

// HoldsFrom is when the authority begins to hold, with all of its chain; the zero time where its certificate cannot be read.
func (k KeyPair) HoldsFrom() (from time.Time) {
	chain, _ := cert.Parse([]byte(k.Certificate.ValueString()))
	for _, certificate := range chain {
		if certificate.NotBefore.After(from) {
			from = certificate.NotBefore
		}
	}
	return from
}

// checkTrusted returns why an authority cannot be trusted beside the one that signs, or nil. One that is trusted alone may have been
// made in any way.
func (k KeyPair) checkTrusted() error {
	chain, err := cert.Parse([]byte(k.Certificate.ValueString()))
	if err == nil && (k.Signs() || len(chain) > 1) {
		_, err = k.Parse(k.HoldsFrom())
	}
	return err
}

// Parse reads the authority, and refuses one that could not sign at now, for any other reason than that its key is left out.
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

// Algorithm is the algorithm of an authority's key, which the keys of members are to have too.
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
