package authority

import (
	"context"
	"errors"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// absent is the issuer of an authority whose key the configuration leaves out. Plans that would sign by it have been
// refused already.
type absent struct{}

// Issue fails.
func (absent) Issue(context.Context, pki.Order) ([]byte, error) {
	return nil, errors.New("pki has no private_key of this authority")
}

// KeysLeftOut returns the attributes of signing keys that the configuration leaves out.
func (a Model) KeysLeftOut() (attributes []string) {
	for _, key := range []string{api.KeyServer, api.KeyPeer} {
		if !a.of(key)[0].Signs() {
			attributes = append(attributes, keyAttribute(key))
		}
	}
	return attributes
}

// Keyless returns the signing authorities whose keys the configuration leaves out: by each authority's name, the
// attribute that its key would have.
func (a Model) Keyless() map[string]string {
	keyless := map[string]string{}
	for _, key := range []string{api.KeyServer, api.KeyPeer} {
		signs := a.of(key)[0]
		if certificate, err := cert.ParseLeaf([]byte(signs.Certificate.ValueString())); err == nil && !signs.Signs() {
			keyless[cert.Name(certificate)] = keyAttribute(key)
		}
	}
	return keyless
}

// keyAttribute returns the attribute with the key of the authority that certifies this key of members.
func keyAttribute(key string) string {
	return api.ForKey(key, "pki.peer", "pki.client") + ".private_key"
}
