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

// NamesOf is the set of these authorities.
func NamesOf(names ...string) AuthorityNames {
	return AuthorityNames(strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), " "))
}

// All are the names of the set.
func (n AuthorityNames) All() []string { return strings.Fields(string(n)) }

// Has tells whether an authority is in the set.
func (n AuthorityNames) Has(name string) bool { return slices.Contains(n.All(), name) }

// With is the union of two sets.
func (n AuthorityNames) With(other AuthorityNames) AuthorityNames {
	return NamesOf(append(n.All(), other.All()...)...)
}

// Without are those of the set that are not in another one.
func (n AuthorityNames) Without(other AuthorityNames) AuthorityNames {
	return NamesOf(slices.DeleteFunc(n.All(), other.Has)...)
}

// With is the union of both sets.
func (a Authorities) With(b Authorities) Authorities {
	return Authorities{Peers: a.Peers.With(b.Peers), Clients: a.Clients.With(b.Clients)}
}

// Without are the authorities that are not in the other sets.
func (a Authorities) Without(b Authorities) Authorities {
	return Authorities{Peers: a.Peers.Without(b.Peers), Clients: a.Clients.Without(b.Clients)}
}

// String is what both sets hold, in words.
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

// Signers are the authorities whose keys are at hand, the one that is to sign first.
type Signers struct{ Peers, Clients []string }

// First are the authorities that are to sign.
func (s Signers) First() Authorities {
	first := func(names []string) AuthorityNames {
		if len(names) == 0 {
			return ""
		}
		return AuthorityNames(names[0])
	}
	return Authorities{Peers: first(s.Peers), Clients: first(s.Clients)}
}
