package pki

import (
	"slices"

	"github.com/cloudflare/cfssl/config"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// Types by which certificates are ordered. Hosts use them too.
type (
	Profile = order.Profile
	Request = order.Request
	Order   = order.Order
	Issuer  = order.Issuer
)

// Profiles.
const (
	Peer   = order.Peer
	Server = order.Server
	Client = order.Client
)

// usages returns the extended key usages of a profile by cfssl's names.
func usages(p Profile) ([]string, error) {
	wanted, err := p.ExtKeyUsages()
	var names []string
	for _, name := range []string{"server auth", "client auth"} {
		if slices.Contains(wanted, config.ExtKeyUsage[name]) {
			names = append(names, name)
		}
	}
	return names, err
}
