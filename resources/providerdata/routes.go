package providerdata

import (
	"cmp"
	"maps"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Routes says how an operation reaches each host that it asks, by the member on the host.
type Routes map[membership.Member]SSHTarget

// And returns the routes of both; for a member in both, those of other.
func (r Routes) And(other Routes) Routes {
	both := maps.Clone(r)
	maps.Copy(both, other)
	return both
}

// Members returns the members, sorted.
func (r Routes) Members() []membership.Member {
	return slices.SortedFunc(maps.Keys(r), func(a, b membership.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
}
