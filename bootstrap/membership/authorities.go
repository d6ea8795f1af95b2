package membership

import (
	"slices"
	"strings"
)

// Authorities are certificate authorities by what they vouch for. A comparable value, as the steps that hold it are.
type Authorities struct {
	Peers   AuthorityNames // for members among themselves
	Clients AuthorityNames // for clients and servers
}

// AuthorityNames is a set of authorities, each by the beginning of its certificate's SHA-256: sorted, with spaces
// between.
type AuthorityNames string

// NamesOf returns the set of these authorities.
func NamesOf(names ...string) AuthorityNames {
	return AuthorityNames(strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), " "))
}

// All returns the names in the set.
func (n AuthorityNames) All() []string { return strings.Fields(string(n)) }

// Has tells whether an authority is in the set.
func (n AuthorityNames) Has(name string) bool { return slices.Contains(n.All(), name) }

// With returns the union of two sets.
func (n AuthorityNames) With(other AuthorityNames) AuthorityNames {
	return NamesOf(append(n.All(), other.All()...)...)
}

// Without returns the names that are not in another set.
func (n AuthorityNames) Without(other AuthorityNames) AuthorityNames {
	return NamesOf(slices.DeleteFunc(n.All(), other.Has)...)
}

// With returns the unions of both sets with the other ones.
func (a Authorities) With(b Authorities) Authorities {
	return Authorities{Peers: a.Peers.With(b.Peers), Clients: a.Clients.With(b.Clients)}
}

// Without returns the authorities that are not in the other sets.
func (a Authorities) Without(b Authorities) Authorities {
	return Authorities{Peers: a.Peers.Without(b.Peers), Clients: a.Clients.Without(b.Clients)}
}

// String lists both sets in words.
func (a Authorities) String() string {
	var parts []string
	if a.Peers != "" {
		parts = append(parts, strings.Join(a.Peers.All(), " and ")+" for peers")
	}
	if a.Clients != "" {
		parts = append(parts, strings.Join(a.Clients.All(), " and ")+" for clients")
	}
	return strings.Join(parts, ", ")
}

// Signers are the authorities whose keys are available, the one that signs first.
type Signers struct{ Peers, Clients []string }

// First returns the authorities that sign.
func (s Signers) First() Authorities {
	first := func(names []string) AuthorityNames {
		if len(names) == 0 {
			return ""
		}
		return AuthorityNames(names[0])
	}
	return Authorities{Peers: first(s.Peers), Clients: first(s.Clients)}
}
