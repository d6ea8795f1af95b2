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

// A member may be given another address on the machine that it is on: its network was renumbered, it is to use another
// network card, or a name takes the place of an address. It keeps its data and its ID.

// move tells whether a member is to be re-addressed, and from where.
func (w ways) move(m membership.Member) (membership.Move, bool) {
	found, is := w.elsewhere(m)
	if _, cloned := w.clone(m); cloned {
		return membership.Move{}, false
	}
	return found, is
}

// elsewhere tells whether the machine at a member's desired address carries that very member under another peer URL.
func (w ways) elsewhere(m membership.Member) (membership.Move, bool) {
	i := w.to[m]
	if w.fixed || !slices.Contains(w.Members, m) || i.carries != m.Name || i.id == "" || len(i.known) == 0 {
		return membership.Move{}, false
	}
	switch {
	case w.astray(m): // where it is there, a run was cut short between the restart and the list
		return membership.Move{From: i.known[0], There: i.runs == w.PeerURL(m)}, true
	case i.runs != "" && i.runs != w.PeerURL(m): // a run was cut short between the list and the restart
		return membership.Move{From: i.runs, Moved: true}, true
	}
	return membership.Move{}, false
}

// clone is the member of the same name at another address, where two machines say that they are the same member.
func (w ways) clone(m membership.Member) (membership.Member, bool) {
	for _, other := range w.members {
		o, told := w.to[other]
		if told && other != m && other.Name == m.Name && w.to[m].cloneOf(o) {
			return other, true
		}
	}
	return membership.Member{}, false
}

func isClone(i identity, of membership.Member) (why, remedy string) {
	return fmt.Sprintf("its machine says that it carries member %s, which %s carries: one is a clone of the other, with its data and its keys", i.carries, of),
		"where a machine was booted between two looks, plan again, with a refresh; where one really is a clone, take it off the network before its member is started, and plan again"
}

// old tells whether an address is one that its member has left. It is where the member is re-addressed from it: the machine
// is the one at the new address, or nobody answers, or whoever does carries nothing of the member. It is too where it is a
// second way to the machine of a desired member, under which the cluster knows nobody; and where the member has moved on,
// and another member is to have the address.
func (w ways) old(m membership.Member) bool {
	if slices.Contains(w.Members, m) {
		return false
	}
	for _, other := range w.members {
		if move, moves := w.move(other); moves && other.Name == m.Name && at(m, move.From) {
			return true
		}
		if other.Name != m.Name || !slices.Contains(w.Members, other) || !w.list.known {
			continue
		}
		if !w.list.has(m) && w.to[m].oneMachine(w.to[other]) || w.another(m) && !w.list.calls(m) && w.to[other].carries == m.Name && w.to[m].carries != m.Name {
			return true
		}
	}
	return false
}

// another tells whether another member is desired at a member's address.
func (w ways) another(m membership.Member) bool {
	return slices.ContainsFunc(w.Members, func(other membership.Member) bool { return other.Name != m.Name && other.Address == m.Address })
}

// vacated tells whether another member is re-addressed from a member's address, so that this one is new there.
func (w ways) vacated(m membership.Member) bool {
	return slices.ContainsFunc(w.members, func(other membership.Member) bool {
		move, moves := w.move(other)
		return moves && other.Name != m.Name && at(m, move.From)
	})
}

// has tells whether the list has a member's address, under its name or without one.
func (l memberList) has(m membership.Member) bool {
	return l.hasOne(m, "") || l.calls(m)
}

// calls tells whether the list has a member's address under its name.
func (l memberList) calls(m membership.Member) bool { return l.hasOne(m, m.Name) }

func (l memberList) hasOne(m membership.Member, name string) bool {
	return slices.ContainsFunc(l.entries, func(entry api.ListedMember) bool { return entry.Name == name && atAny(m, entry.PeerURLs) })
}

// unseen are the peer URLs that hosts name and that are no known member's, where nobody can be asked for the list.
func (l memberList) unseen(members []membership.MemberStatus) (urls []string) {
	for _, url := range slices.Sorted(maps.Keys(l.named)) {
		if !slices.ContainsFunc(members, func(s membership.MemberStatus) bool {
			return s.Role != membership.Absent && (url == s.From || at(s.Member, url))
		}) {
			urls = append(urls, url)
		}
	}
	return urls
}

// unheard tells whether nobody could be asked at the address that a member is re-addressed from. Where its port alone
// changes, it is asked there itself.
func (w ways) unheard(m membership.Member, of membership.Move, reports Reports) bool {
	if membership.HostOf(of.From) == m.Address {
		return false
	}
	at, seen := w.at([]string{of.From})
	return !seen || reports[at].Err != nil
}

// gone tells whether the machine of a member has lost the address that the member is re-addressed from. Of a name it is not known.
func gone(of membership.Move, report Report) bool {
	return notThere(membership.Member{Address: membership.HostOf(of.From)}, report) != ""
}

// runsBy is the peer URL that a member runs by, or would.
func runsBy(o api.Observation) string {
	if o.Unit.Process != nil {
		return api.FlagValue(o.Unit.Process.Flags, "initial-advertise-peer-urls")
	}
	return api.FlagValue(o.Flags, "initial-advertise-peer-urls")
}

// At is the cluster in which a member is known by its own address, and no more by the one that it is re-addressed from.
func (c Cluster) At(m membership.Member) Cluster {
	c.elsewhere = maps.Clone(c.elsewhere)
	delete(c.elsewhere, m)
	return c
}

// Readdressed are the flags of a member once it is re-addressed: those that follow from its address and from the others, and
// of all else what it has.
func (c Cluster) Readdressed(m membership.Member, flags []string, marker api.Marker) []string {
	c.ClientPort, c.MetricsPort = marker.ClientPort, marker.MetricsPort
	desired := c.At(m).Flags(m, Formation{Owner: marker.Owner, Token: marker.Token}, StateExisting)
	follows := func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return isBirthFlag(line) || slices.Contains(byAddress, name)
	}
	moved := slices.DeleteFunc(slices.Clone(flags), follows)
	for _, line := range desired {
		if follows(line) {
			moved = append(moved, line)
		}
	}
	return sorted(moved)
}

// byAddress are the flags that a member lives by and that follow from its address.
var byAddress = []string{"--advertise-client-urls", "--listen-client-urls", "--listen-peer-urls", "--feature-gates", "--peer-skip-client-san-verification"}

// BothNames are the keys of a member that is re-addressed, with certificates that name its old address too: while it lasts,
// others reach it at either.
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
