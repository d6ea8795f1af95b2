package providerdata

import (
	"cmp"
	"maps"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Routes are the hosts that an operation asks, by the members on them, and the way to each.
type Routes map[membership.Member]SSHTarget

// And are both, where the other says last how a host is reached.
func (r Routes) And(other Routes) Routes {
	both := maps.Clone(r)
	maps.Copy(both, other)
	return both
}

// Members are the members, sorted.
func (r Routes) Members() []membership.Member {
	return slices.SortedFunc(maps.Keys(r), func(a, b membership.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
}
