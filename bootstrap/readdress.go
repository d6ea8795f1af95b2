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

// move tells whether a wanted seat's member is to be re-addressed to it.
func (w ways) move(m membership.Member) (membership.Move, bool) {
	found, is := w.elsewhere(m)
	if _, cloned := w.clone(m); cloned {
		return membership.Move{}, false
	}
	return found, is
}

// elsewhere tells whether the machine at a wanted seat carries that very member, at another peer URL than the seat's.
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

// clone is another seat of a member's name whose way leads to another machine that says it is the same member.
func (w ways) clone(m membership.Member) (membership.Member, bool) {
	for _, other := range w.seats {
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

// old tells whether a seat is the one that a member is re-addressed from: its machine is that of the new seat, or nobody
// answers there, or whoever does carries nothing of the member. So is a second way to the machine of a wanted seat by which
// the cluster knows nobody: what is done there is done by the first; and an address that the member has left, and that is to be
// another member's.
func (w ways) old(m membership.Member) bool {
	if slices.Contains(w.Members, m) {
		return false
	}
	for _, other := range w.seats {
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

// another tells whether a member of another name is wanted at the address of a seat.
func (w ways) another(m membership.Member) bool {
	return slices.ContainsFunc(w.Members, func(other membership.Member) bool { return other.Name != m.Name && other.Address == m.Address })
}

// vacated tells whether a seat's address is one that a member of another name is re-addressed from: who is at the seat is new.
func (w ways) vacated(m membership.Member) bool {
	return slices.ContainsFunc(w.seats, func(other membership.Member) bool {
		move, moves := w.move(other)
		return moves && other.Name != m.Name && at(m, move.From)
	})
}

// has tells whether a member is in the list by the address of a seat.
func (l memberList) has(m membership.Member) bool {
	return l.hasOne(m, "") || l.calls(m)
}

// calls tells whether a member is in the list by the address and the name of a seat.
func (l memberList) calls(m membership.Member) bool { return l.hasOne(m, m.Name) }

func (l memberList) hasOne(m membership.Member, name string) bool {
	return slices.ContainsFunc(l.entries, func(entry api.ListedMember) bool { return entry.Name == name && atAny(m, entry.PeerURLs) })
}

// unseen are the peer URLs of members that hosts name, and that no seat explains, where nobody can be asked for the list.
func (l memberList) unseen(seats []membership.Seat) (urls []string) {
	for _, url := range slices.Sorted(maps.Keys(l.named)) {
		if !slices.ContainsFunc(seats, func(s membership.Seat) bool {
			return s.Role != membership.Absent && (url == s.From || at(s.Member, url))
		}) {
			urls = append(urls, url)
		}
	}
	return urls
}

// unheard tells whether nobody could be asked at the address that a member is re-addressed from. Where its port alone
// changes, it is asked there itself.
func (w ways) unheard(m membership.Member, of membership.Move, sight Sight) bool {
	if membership.HostOf(of.From) == m.Address {
		return false
	}
	at, seen := w.at([]string{of.From})
	return !seen || sight[at].Err != nil
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
	wanted := c.At(m).Flags(m, Formation{Owner: marker.Owner, Token: marker.Token}, StateExisting)
	follows := func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return isBirthFlag(line) || slices.Contains(byAddress, name)
	}
	moved := slices.DeleteFunc(slices.Clone(flags), follows)
	for _, line := range wanted {
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
