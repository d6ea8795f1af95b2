package resources

import (
	"cmp"
	"maps"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// routes are the hosts that an operation asks, by the members on them, and the way to each.
type routes map[membership.Member]Reach

// routesTo are the ways to the hosts of members.
func routesTo(members map[string]memberModel) routes {
	r := routes{}
	for name, m := range members {
		r[m.member(name)] = m.reach()
	}
	return r
}

// and are both, where the other says last how a host is reached.
func (r routes) and(other routes) routes {
	both := maps.Clone(r)
	maps.Copy(both, other)
	return both
}

// members are the members, sorted.
func (r routes) members() []membership.Member {
	return slices.SortedFunc(maps.Keys(r), func(a, b membership.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
}
