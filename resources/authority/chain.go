package authority

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Chains returns the intermediates that follow what each authority signs, PEM, by the authority's name. Only the
// configuration knows them. Nothing follows what a root signs.
func (a Model) Chains() map[string]string {
	chains := map[string]string{}
	for _, key := range []string{api.KeyServer, api.KeyPeer} {
		for _, authority := range a.of(key) {
			if chain := authority.chain(); len(chain) > 0 {
				chains[cert.Name(chain[0])] = cert.Encode(cert.Behind(chain)...)
			}
		}
	}
	return chains
}

// chain returns the authority's certificate and those above it, or nothing if the certificate is unknown.
func (k KeyPair) chain() []*x509.Certificate {
	chain, _ := cert.Parse([]byte(k.Certificate.ValueString()))
	return chain
}

// Rechain puts a chain, PEM, above those authorities for one of members' keys that its first certificate has signed.
// That authority's own certificate may stand before the chain. Rechain fails if there is no such authority, or if the
// authority could not sign below the chain. Authorities that are unknown are passed over.
func (a Model) Rechain(key, chain string) (Model, error) {
	given, err := cert.ParseOnly([]byte(chain))
	if err != nil {
		return a, err
	}
	var present []string
	found := false
	rechained := func(k KeyPair) (KeyPair, error) {
		signs, err := cert.ParseLeaf([]byte(k.Certificate.ValueString()))
		if err != nil {
			return k, nil
		}
		present = append(present, fmt.Sprintf("%q (%s)", signs.Subject.CommonName, cert.Name(signs)))
		above := given
		if above[0].Equal(signs) {
			above = above[1:]
		} else if cert.IsRoot(signs) || signs.CheckSignatureFrom(above[0]) != nil {
			return k, nil
		}
		found = true
		if next := types.StringValue(cert.Encode(append([]*x509.Certificate{signs}, above...)...)); !Same(next, k.Certificate) {
			k.Certificate = next
		}
		_, err = k.check("the authority " + present[len(present)-1])
		return k, err
	}
	var trusted *KeyPair
	if all := a.of(key); len(all) > 1 {
		next, errTrusted := rechained(all[1])
		trusted, err = &next, errTrusted
	}
	next, errSigns := rechained(a.of(key)[0])
	if err := errors.Join(errSigns, err); err != nil {
		return a, err
	}
	if !found {
		return a, fmt.Errorf("its first certificate, %q (%s), has signed none of the authorities that are there, %s, and is none of them: give the certificate of the authority that has signed the intermediate first, "+
			"or take the chain out. An intermediate that has a new certificate of its own is another authority, and is exchanged or imported", given[0].Subject.CommonName, cert.Name(given[0]), strings.Join(present, " and "))
	}
	var beside Trusted
	if a.Trusted != nil {
		beside = *a.Trusted
	}
	if key == api.KeyPeer {
		a.Peer, beside.Peer = next, trusted
	} else {
		a.Client, beside.Client = next, trusted
	}
	if a.Trusted != nil {
		a.Trusted = &beside
	}
	return a, nil
}

// Follow returns a client's certificate, PEM, with the intermediates behind it that the configuration has for the
// authority that signed it. If none of the configured authorities did, Follow returns the certificate as it is.
func (c ClientModel) Follow(certificate types.String) types.String {
	leaf, err := cert.ParseLeaf([]byte(certificate.ValueString()))
	if err != nil {
		return certificate
	}
	authorities := []KeyPair{c.Client}
	if c.Trusted != nil && c.Trusted.Client != nil {
		authorities = append(authorities, KeyPair{Certificate: c.Trusted.Client.Certificate})
	}
	for _, authority := range authorities {
		chain := authority.chain()
		if len(chain) == 0 || leaf.CheckSignatureFrom(chain[0]) != nil {
			continue
		}
		if follows := types.StringValue(cert.Encode(append([]*x509.Certificate{leaf}, cert.Behind(chain)...)...)); !Same(follows, certificate) {
			return follows
		}
		return certificate
	}
	return certificate
}

// Permits returns why name constraints keep the authorities that sign, or those above them, from certifying the names
// of a member's keys, or nil. It passes over authorities that are unknown.
func (a Model) Permits(keys []api.KeyRequest) error {
	for _, want := range keys {
		signs := a.of(want.Name)[0]
		if signs.Certificate.IsUnknown() {
			continue
		}
		desired, err := requestOf(want)
		if err != nil {
			return err
		}
		if err := signs.permits(desired); err != nil {
			return fmt.Errorf("its %s certificate, by %s: %w", want.Name, api.ForKey(want.Name, "pki.peer", "pki.client"), err)
		}
	}
	return nil
}

// Permits returns why name constraints keep the authority, or those above it, from certifying the names of a request,
// or nil. An unknown authority permits all.
func (c ClientModel) Permits(want pki.Request) error {
	if c.Client.Certificate.IsUnknown() {
		return nil
	}
	return c.Client.permits(want)
}

// permits returns why name constraints keep an authority from certifying the names of a request, or nil.
func (k KeyPair) permits(want pki.Request) error {
	authority, err := pki.ParseExternal([]byte(k.Certificate.ValueString()), absent{}, k.HoldsFrom())
	if err != nil {
		return err
	}
	return authority.Permits(want)
}
