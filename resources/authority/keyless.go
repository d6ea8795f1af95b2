package authority

import (
	"context"
	"errors"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// absent stands for the key that a configuration leaves out. Plans that would sign by it are refused before.
type absent struct{}

// Issue refuses.
func (absent) Issue(context.Context, pki.Order) ([]byte, error) {
	return nil, errors.New("pki has no private_key of this authority")
}

// KeysLeftOut are the attributes of the keys that the configuration leaves out, of the authorities that are to sign.
func (a Model) KeysLeftOut() (attributes []string) {
	for _, key := range []string{api.KeyServer, api.KeyPeer} {
		if !a.of(key)[0].Signs() {
			attributes = append(attributes, keyAttribute(key))
		}
	}
	return attributes
}

// Keyless are the authorities that are to sign, and whose keys the configuration leaves out: the attribute of each by its name.
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

// keyAttribute is where the key of the authority stands that certifies one of members' keys.
func keyAttribute(key string) string {
	return api.ForKey(key, "pki.peer", "pki.client") + ".private_key"
}
