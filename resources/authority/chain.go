package authority

import (
	"crypto/x509"
	"fmt"

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
		authority, err := pki.ParseExternal([]byte(signs.Certificate.ValueString()), absent{}, signs.HoldsFrom())
		if err == nil {
			err = authority.Permits(desired)
		}
		if err != nil {
			return fmt.Errorf("its %s certificate, by %s: %w", want.Name, api.ForKey(want.Name, "pki.peer", "pki.client"), err)
		}
	}
	return nil
}
