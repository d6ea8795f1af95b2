package bootstrap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// An address leads to a machine, and is not the machine. Before any rule applies, this file finds out which machine,
// and which member on it, each address leads to: two addresses may lead to one machine, a route may lead to another
// member's machine, and a cloned machine says that it is its original.

// identity is the machine and member that an address leads to, as the host itself says.
type identity struct {
	machine, boot string
	carries       string   // the name of the member that it carries; empty: none of this cluster
	id            string   // that member's ID; empty: it has none yet
	known         []string // the peer URLs at which its cluster knows that member; none: it knows no such member
	runs          string   // the peer URL that it runs by, or would; empty: not known
}

// oneMachine tells whether two addresses lead to one machine. Machine IDs alone do not tell, since machines cloned from
// one image may share theirs. The ID of a boot is random.
func (i identity) oneMachine(other identity) bool {
	return i.boot != "" && i.boot == other.boot && i.machine == other.machine
}

// cloneOf tells whether two addresses lead to two machines that both say that they carry the same member.
func (i identity) cloneOf(other identity) bool {
	return i.id != "" && i.id == other.id && other.boot != "" && i.boot != other.boot
}

// identify finds where a member's address leads; false: its host could not be asked.
func (c Cluster) identify(report Report, list memberList, owner string) (identity, bool) {
	if report.Err != nil {
		return identity{}, false
	}
	i := identity{machine: report.Machine(), boot: report.boot()}
	marker := report.Marker()
	if marker == nil || marker.Owner != owner || marker.Cluster != c.Name && marker.Cluster != "" {
		return i, i.boot != ""
	}
	i.carries, i.id = marker.Member, marker.MemberID
	if o := report.Observation; o != nil {
		if putAside(*o) {
			i.carries, i.id = "", ""
			return i, true
		}
		i.id = cmp.Or(o.Member.MemberID, i.id) // the running member knows its ID best
		i.runs = runsBy(*o)
	}
	if !list.known {
		i.known = ownURL(*marker)
		return i, true
	}
	for _, entry := range list.entries {
		if i.id != "" && entry.ID == i.id {
			i.known = entry.PeerURLs
		}
	}
	return i, true
}

// putAside tells whether a host is in the condition that moving a member's data aside leaves.
func putAside(o api.Observation) bool {
	return !o.Data.HasMember && o.Unit.ActiveState != "active" && o.Unit.ActiveState != "activating" && o.Flags == nil
}

// ownURL is the peer URL that a member's own configuration has for it.
func ownURL(marker api.Marker) []string {
	for entry := range strings.SplitSeq(marker.InitialCluster, ",") {
		if name, url, _ := strings.Cut(entry, "="); name == marker.Member {
			return []string{url}
		}
	}
	return nil
}

// Machine is the machine ID of the host; empty: not known.
func (r Report) Machine() string {
	if r.Observation != nil && r.Observation.Facts.MachineID != "" {
		return r.Observation.Facts.MachineID
	}
	return r.Contact.MachineID
}

// Machines are the IDs of the members' machines, where they are known.
func (s Reports) Machines() map[membership.Member]string {
	machines := map[membership.Member]string{}
	for m, report := range s {
		if id := report.Machine(); id != "" && report.Err == nil {
			machines[m] = id
		}
	}
	return machines
}

// OneMachine tells whether two reports are of one machine.
func (r Report) OneMachine(other Report) bool {
	return identity{machine: r.Machine(), boot: r.boot()}.oneMachine(identity{machine: other.Machine(), boot: other.boot()})
}

func (r Report) boot() string {
	if r.Observation != nil && r.Observation.Facts.BootID != "" {
		return r.Observation.Facts.BootID
	}
	return r.Contact.BootID
}

// ways holds where the addresses of all members lead.
type ways struct {
	Cluster
	members []membership.Member
	to      map[membership.Member]identity
	list    memberList
	reports Reports
	fixed   bool // no member is given another address now
}

// waysTo finds out where the addresses of these members lead.
func (c Cluster) waysTo(members []membership.Member, list memberList, owner string, reports Reports) ways {
	w := ways{Cluster: c, members: members, to: map[membership.Member]identity{}, list: list, reports: reports}
	for _, m := range members {
		if report, seen := reports[m]; seen {
			if i, told := c.identify(report, list, owner); told {
				w.to[m] = i
			}
		}
	}
	return w
}

// astray tells whether a member's address leads to a member that the cluster knows at another address.
func (w ways) astray(m membership.Member) bool {
	i, told := w.to[m]
	if !slices.Contains(w.Members, m) && atAny(m, i.known) {
		return false // the configuration no longer has it, so no step changes its port
	}
	return told && len(i.known) > 0 && !slices.Contains(i.known, w.PeerURL(m))
}

// at is the member at one of these peer URLs; false: there is none.
func (w ways) at(urls []string) (membership.Member, bool) {
	for _, m := range w.members {
		if atAny(m, urls) {
			return m, true
		}
	}
	return membership.Member{}, false
}

// detour tells whether an address is only a second way to a machine whose member the cluster knows at another address,
// and the configuration does not have the member there. It is then no member of its own, and no step uses that address.
func (w ways) detour(m membership.Member) bool {
	return w.astray(m) && !slices.Contains(w.Members, m)
}

// misled is the summary of all mistakes.
const misled = "An address leads to the wrong machine or member"

// mistakes are the addresses that lead to the wrong machine or member. While there is any, no step changes any host,
// since nobody knows which address is right.
func (w ways) mistakes() (all []membership.Refusal) {
	for n, m := range w.members {
		if w.detour(m) || w.old(m) {
			continue
		}
		if why, remedy := w.mistake(m); why != "" {
			all = append(all, membership.Refusal{Summary: misled, Member: m.Name, At: m.Address, Rule: why, Remedy: remedy})
			continue
		}
		for _, other := range w.members[:n] {
			if other.Name != m.Name && !w.astray(other) && !w.old(other) && w.to[m].oneMachine(w.to[other]) && w.isOne(m, other) {
				refusal := onOneMachine(m, other)
				refusal.Member, refusal.At = m.Name, m.Address
				all = append(all, refusal)
			}
		}
	}
	return all
}

// onOneMachine refuses two members on one machine.
func onOneMachine(m, other membership.Member) membership.Refusal {
	return membership.Refusal{Summary: misled, Rule: fmt.Sprintf("its address leads to the same machine as that of %s: two members on one machine fail together", other),
		Remedy: fmt.Sprintf("check address and ssh_address of %s and %s, and give each a machine of its own", m.Name, other.Name)}
}

// isOne tells whether two members on one machine are a mistake: both are desired, or the undesired one is still on its
// host.
func (w ways) isOne(m, other membership.Member) bool {
	for _, one := range []membership.Member{m, other} {
		if !slices.Contains(w.Members, one) && w.to[one].carries == "" {
			return false // it has left
		}
	}
	return true
}

// mistake says what is wrong with the address of a member, and what to do; empty: nothing.
func (w ways) mistake(m membership.Member) (why, remedy string) {
	i := w.to[m]
	if move, moves := w.elsewhere(m); moves {
		if twin, cloned := w.clone(m); cloned {
			return isClone(i, twin)
		}
		if not := notThere(m, w.reports[m]); not != "" {
			return not, fmt.Sprintf("give its host that address, and plan again; it is re-addressed from %s then", membership.HostOf(move.From))
		}
		return "", ""
	}
	if !w.astray(m) {
		if i.carries != "" && i.carries != m.Name && len(i.known) > 0 {
			return fmt.Sprintf("its host carries member %s, which its cluster knows at this very address", i.carries),
				fmt.Sprintf("check the addresses of %s and %s; a member cannot be given another name", m.Name, i.carries)
		}
		if i.carries != "" && i.carries != m.Name && w.list.has(m) {
			return fmt.Sprintf("its address leads to a machine that carries member %s, which its cluster does not know any more, while %s is in the member list", i.carries, m.Name),
				fmt.Sprintf("check address, ssh_address and ssh_port of %s; where this is its machine, move away what %s has left there (/etc/etcd/%s and its data directory), and plan again", m.Name, i.carries, w.Name)
		}
		return "", ""
	}
	host := strings.Join(i.known, ", ")
	right, there := w.at(i.known)
	switch {
	case there && i.cloneOf(w.to[right]):
		return isClone(i, right)
	case i.carries != m.Name:
		return fmt.Sprintf("its address leads to the machine of member %s, which its cluster knows at %s", i.carries, host),
			fmt.Sprintf("check address, ssh_address and ssh_port of %s and %s, which may have been swapped", m.Name, i.carries)
	}
	return fmt.Sprintf("this is another address of the machine that carries %s already, and its cluster knows it at %s", i.carries, host),
		"put the address back: it is not given another one before it has joined, or while a snapshot is restored"
}
