package bootstrap

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// A member may get another address on its machine: its network was renumbered, it moves to another network card, or a
// name replaces an address. It keeps its data and its ID.

// moveOf returns what a member is to be re-addressed from, if it is.
func (w routes) moveOf(m membership.Member) (membership.Move, bool) {
	found, is := w.rawMoveOf(m)
	if _, cloned := w.clone(m); cloned {
		return membership.Move{}, false
	}
	return found, is
}

// rawMoveOf is moveOf without regard to clones: the machine at a member's desired address carries that very member
// under another peer URL.
func (w routes) rawMoveOf(m membership.Member) (membership.Move, bool) {
	i := w.to[m]
	if w.fixed || !slices.Contains(w.Members, m) || i.carries != m.Name || i.id == "" || len(i.known) == 0 {
		return membership.Move{}, false
	}
	switch {
	case w.leadsElsewhere(m): // There: a run was interrupted between the restart and the update of the list
		return membership.Move{From: i.known[0], There: i.runs == w.PeerURL(m)}, true
	case i.runs != "" && i.runs != w.PeerURL(m): // a run was interrupted between the update of the list and the restart
		return membership.Move{From: i.runs, Moved: true}, true
	}
	return membership.Move{}, false
}

// clone returns the member of the same name at another address whose machine reports the same member.
func (w routes) clone(m membership.Member) (membership.Member, bool) {
	for _, other := range w.members {
		o, told := w.to[other]
		if told && other != m && other.Name == m.Name && w.to[m].cloneOf(o) {
			return other, true
		}
	}
	return membership.Member{}, false
}

func cloneMistake(i identity, of membership.Member) (why, remedy string) {
	return fmt.Sprintf("its machine reports that it carries member %s, as does %s: one is a clone of the other, with its data and its keys", i.carries, of),
		"if a machine was rebooted meanwhile, plan again with a refresh; if one is a clone, take it off the network before its member is started, and plan again"
}

// isOldAddress tells whether an address is one that its member has left. That is so if the member is re-addressed from
// it; if it is a second address of a desired member's machine and the cluster lists nobody there; or if the member has
// moved on and another member is to have the address.
func (w routes) isOldAddress(m membership.Member) bool {
	if slices.Contains(w.Members, m) {
		return false
	}
	for _, other := range w.members {
		if move, moves := w.moveOf(other); moves && other.Name == m.Name && at(m, move.From) {
			return true
		}
		if other.Name != m.Name || !slices.Contains(w.Members, other) || !w.list.known {
			continue
		}
		if !w.list.has(m) && w.to[m].oneMachine(w.to[other]) || w.addressTaken(m) && !w.list.names(m) && w.to[other].carries == m.Name && w.to[m].carries != m.Name {
			return true
		}
	}
	return false
}

// addressTaken tells whether another member is desired at a member's address.
func (w routes) addressTaken(m membership.Member) bool {
	return slices.ContainsFunc(w.Members, func(other membership.Member) bool { return other.Name != m.Name && other.Address == m.Address })
}

// vacated tells whether another member is re-addressed from a member's address, so that this one is new there.
func (w routes) vacated(m membership.Member) bool {
	return slices.ContainsFunc(w.members, func(other membership.Member) bool {
		move, moves := w.moveOf(other)
		return moves && other.Name != m.Name && at(m, move.From)
	})
}

// has tells whether the list has an entry at a member's address, with its name or with none.
func (l memberList) has(m membership.Member) bool {
	return l.hasOne(m, "") || l.names(m)
}

// names tells whether the list has an entry at a member's address with its name.
func (l memberList) names(m membership.Member) bool { return l.hasOne(m, m.Name) }

// mayName tells whether the list has a member at its address with its name, or may have it: hosts know of one there.
func (l memberList) mayName(m membership.Member) bool {
	return l.names(m) || !l.known && hasAddress(m, slices.Collect(maps.Keys(l.named)))
}

func (l memberList) hasOne(m membership.Member, name string) bool {
	return slices.ContainsFunc(l.entries, func(entry api.ListedMember) bool { return entry.Name == name && hasAddress(m, entry.PeerURLs) })
}

// unseen returns the peer URLs that hosts name and that belong to no known member, if nobody can be asked for the
// list.
func (l memberList) unseen(members []membership.MemberStatus) (urls []string) {
	if l.known {
		return nil
	}
	for _, url := range slices.Sorted(maps.Keys(l.named)) {
		if !slices.ContainsFunc(members, func(s membership.MemberStatus) bool {
			return s.Role != membership.Absent && (url == s.From || at(s.Member, url))
		}) {
			urls = append(urls, url)
		}
	}
	return urls
}

// unheard tells whether nobody could be observed at the address that a member is re-addressed from. If only its port
// changes, its own host answers there.
func (w routes) unheard(m membership.Member, of membership.Move, reports Reports) bool {
	if membership.HostOf(of.From) == m.Address {
		return false
	}
	at, seen := w.at([]string{of.From})
	return !seen || reports[at].Err != nil
}

// lostAddress tells whether a member's machine has lost the address that the member is re-addressed from. It is false
// for a DNS name.
func lostAddress(of membership.Move, report Report) bool {
	return addressMissing(membership.Member{Address: membership.HostOf(of.From)}, report) != ""
}

// runsBy returns the peer URL that a member runs by, or would.
func runsBy(o api.Observation) string {
	if o.Unit.Process != nil {
		return api.FlagValue(o.Unit.Process.Flags, "initial-advertise-peer-urls")
	}
	return api.FlagValue(o.Flags, "initial-advertise-peer-urls")
}

// At returns the cluster in which a member has its desired address instead of the one that it is re-addressed from.
func (c Cluster) At(m membership.Member) Cluster {
	c.listedAt = maps.Clone(c.listedAt)
	delete(c.listedAt, m)
	return c
}

// Readdressed returns a member's flags after its re-address: those that follow from members' addresses are new, and
// all others stay.
func (c Cluster) Readdressed(m membership.Member, flags []string, marker api.Marker) []string {
	c.ClientPort, c.MetricsPort = marker.ClientPort, marker.MetricsPort
	desired := c.At(m).Flags(m, Formation{Owner: marker.Owner, Token: marker.Token}, StateExisting)
	follows := func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return isStartFlag(line) || slices.Contains(byAddress, name)
	}
	moved := slices.DeleteFunc(slices.Clone(flags), follows)
	for _, line := range desired {
		if follows(line) {
			moved = append(moved, line)
		}
	}
	return sorted(moved)
}

// byAddress are the flags of every start that follow from a member's address.
var byAddress = []string{"--advertise-client-urls", "--listen-client-urls", "--listen-peer-urls", "--feature-gates", "--peer-skip-client-san-verification"}

// BothNames returns the keys of a member that is being re-addressed, with certificates that also name its old address:
// meanwhile, peers reach it at either.
func (c Cluster) BothNames(m membership.Member, from string) []api.KeyRequest {
	keys := c.Keys(m)
	for i := range keys {
		if keys[i].Name == api.KeyAdmin {
			continue
		}
		name := membership.HostOf(from)
		if ip, err := netip.ParseAddr(name); err == nil {
			keys[i].IPs = appendNew(keys[i].IPs, ip.Unmap().String())
		} else {
			keys[i].DNSNames = appendNew(keys[i].DNSNames, name)
		}
	}
	return keys
}

func appendNew(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(slices.Clone(names), name)
}
