package bootstrap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// An address leads to a machine, and is not the machine. Before any rule applies, this file finds out to which
// machine, and to which member on it, each address leads. Two addresses may lead to one machine, a route may lead to
// another member's machine, and a cloned machine reports the member of its original.

// identity is the machine and member at an address, as the host itself reports them.
type identity struct {
	machine, boot string
	carries       string   // name of the member that the host carries; empty: none of this cluster
	id            string   // that member's ID; empty: it has none yet
	instead       string   // what it carries if it carries nothing of this cluster; empty: it does, did, or may
	known         []string // the member's peer URLs in its cluster's list; none: it is not listed
	runs          string   // the peer URL that it runs by, or would; empty: not known
	down          bool     // the member's unit does not run there
}

// oneMachine tells whether two addresses lead to one machine. Machines cloned from one image may share a machine ID,
// so the random ID of the boot has to agree too.
func (i identity) oneMachine(other identity) bool {
	return i.boot != "" && i.boot == other.boot && i.machine == other.machine
}

// cloneOf tells whether two different machines report the same member.
func (i identity) cloneOf(other identity) bool {
	return i.id != "" && i.id == other.id && other.boot != "" && i.boot != other.boot
}

// identify returns the identity of the host at a member's address; false if the host could not be observed.
func (c Cluster) identify(report Report, list memberList, owner string) (identity, bool) {
	if report.Err != nil {
		return identity{}, false
	}
	i := identity{machine: report.Machine(), boot: report.Boot(), down: report.Observation != nil && IsDown(*report.Observation)}
	marker := report.Marker()
	if marker == nil || marker.Owner != owner || marker.Cluster != c.Name && marker.Cluster != "" {
		i.instead = insteadOf(report)
		return i, i.boot != ""
	}
	i.carries, i.id = marker.Member, marker.MemberID
	if o := report.Observation; o != nil {
		if wasSetAside(*o) {
			i.carries, i.id = "", ""
			return i, true
		}
		i.id = cmp.Or(o.Member.MemberID, i.id) // the running member's own ID takes precedence
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

// insteadOf says what the host of another cluster, or of none, carries; "" if that is not known.
func insteadOf(report Report) string {
	switch marker := report.Marker(); {
	case report.Contact.MarkerError != "":
		return ""
	case marker != nil:
		return fmt.Sprintf("member %s of a cluster %s that another state manages", marker.Member, marker.Cluster)
	case report.dataNotEmpty() || len(report.takenPorts()) > 0: // it may be the member's machine, without its marker
		return ""
	}
	return "nothing of it"
}

// wasSetAside tells whether a host looks as it does after its member's data was moved aside.
func wasSetAside(o api.Observation) bool {
	return !o.Data.HasMember && o.Unit.ActiveState != "active" && o.Unit.ActiveState != "activating" && o.Flags == nil
}

// IsDown tells whether a member's unit neither runs nor is about to.
func IsDown(o api.Observation) bool {
	return o.Unit.ActiveState == "inactive" || o.Unit.ActiveState == "failed"
}

// ownURL returns the peer URL that a member's own configuration has for it.
func ownURL(marker api.Marker) []string {
	for entry := range strings.SplitSeq(marker.InitialCluster, ",") {
		if name, url, _ := strings.Cut(entry, "="); name == marker.Member {
			return []string{url}
		}
	}
	return nil
}

// Machine returns the machine ID of the host, or "".
func (r Report) Machine() string {
	if r.Observation != nil && r.Observation.Facts.MachineID != "" {
		return r.Observation.Facts.MachineID
	}
	return r.Contact.MachineID
}

// Machines returns the IDs of the members' machines, as far as they are known.
func (s Reports) Machines() map[membership.Member]string {
	machines := map[membership.Member]string{}
	for m, report := range s {
		if id := report.Machine(); id != "" && report.Err == nil {
			machines[m] = id
		}
	}
	return machines
}

// OneMachine tells whether two reports are about one machine.
func (r Report) OneMachine(other Report) bool {
	return identity{machine: r.Machine(), boot: r.Boot()}.oneMachine(identity{machine: other.Machine(), boot: other.Boot()})
}

// Boot returns the ID of the boot in which the host was observed, or "".
func (r Report) Boot() string {
	if r.Observation != nil && r.Observation.Facts.BootID != "" {
		return r.Observation.Facts.BootID
	}
	return r.Contact.BootID
}

// routes holds the identities at the addresses of all members.
type routes struct {
	Cluster
	members []membership.Member
	to      map[membership.Member]identity
	list    memberList
	reports Reports
	fixed   bool // no member is re-addressed now
}

// routesTo finds the identities at the addresses of these members.
func (c Cluster) routesTo(members []membership.Member, list memberList, owner string, reports Reports) routes {
	w := routes{Cluster: c, members: members, to: map[membership.Member]identity{}, list: list, reports: reports}
	for _, m := range members {
		if report, seen := reports[m]; seen {
			if i, told := c.identify(report, list, owner); told {
				w.to[m] = i
			}
		}
	}
	return w
}

// leadsElsewhere tells whether a member's address leads to a member that the cluster lists at another address.
func (w routes) leadsElsewhere(m membership.Member) bool {
	i, told := w.to[m]
	if !slices.Contains(w.Members, m) && hasAddress(m, i.known) {
		return false // the configuration no longer has it, so no step changes its port
	}
	return told && len(i.known) > 0 && !slices.Contains(i.known, w.PeerURL(m))
}

// at returns the member at one of these peer URLs.
func (w routes) at(urls []string) (membership.Member, bool) {
	for _, m := range w.members {
		if hasAddress(m, urls) {
			return m, true
		}
	}
	return membership.Member{}, false
}

// isSecondAddress tells whether an undesired address is only a second one of a machine whose member the cluster lists
// at another address. It then is not a member of its own, and no step uses it. A member that is listed at the very
// address is one, and another member's machine is not its.
func (w routes) isSecondAddress(m membership.Member) bool {
	return w.leadsElsewhere(m) && !slices.Contains(w.Members, m) && (w.to[m].carries == m.Name || !w.list.mayName(m))
}

// wrongWay is the summary of all mistakes.
const wrongWay = "An address leads to the wrong machine or member"

// mistakes returns the addresses that lead to the wrong machine or member. While there is any, no step changes any
// host, since it is not known which address is right.
func (w routes) mistakes() (all []membership.Refusal) {
	for n, m := range w.members {
		if w.isSecondAddress(m) || w.isOldAddress(m) {
			continue
		}
		if why, remedy := w.mistake(m); why != "" {
			all = append(all, membership.Refusal{Summary: wrongWay, Member: m.Name, At: m.Address, Rule: why, Remedy: remedy})
			continue
		}
		for _, other := range w.members[:n] {
			if other.Name != m.Name && !w.leadsElsewhere(other) && !w.isOldAddress(other) && w.to[m].oneMachine(w.to[other]) && w.bothPresent(m, other) {
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
	return membership.Refusal{Summary: wrongWay, Rule: fmt.Sprintf("its address leads to the same machine as that of %s: two members on one machine fail together", other),
		Remedy: fmt.Sprintf("check address and ssh_address of %s and %s, and give each a machine of its own", m.Name, other.Name)}
}

// bothPresent tells whether two members on one machine are a mistake: both are desired, or the undesired one is still
// on its host.
func (w routes) bothPresent(m, other membership.Member) bool {
	for _, one := range []membership.Member{m, other} {
		if !slices.Contains(w.Members, one) && w.to[one].carries == "" {
			return false // it has left
		}
	}
	return true
}

// mistake returns what is wrong with a member's address, and what to do about it; empty if nothing is.
func (w routes) mistake(m membership.Member) (why, remedy string) {
	i := w.to[m]
	move, moves := w.rawMoveOf(m)
	if twin, cloned := w.clone(m); cloned && (moves || !w.leadsElsewhere(m) && (slices.Contains(w.Members, m) || !slices.Contains(w.Members, twin))) {
		return cloneMistake(i, twin)
	}
	if moves {
		if why, remedy := w.elsewhereMistake(m); why != "" {
			return why, remedy
		}
		if not := addressMissing(m, w.reports[m]); not != "" {
			return not, fmt.Sprintf("give its host that address, and plan again; the member is then re-addressed from %s", membership.HostOf(move.From))
		}
		return "", ""
	}
	if !w.leadsElsewhere(m) {
		if i.carries != "" && i.carries != m.Name && len(i.known) > 0 {
			return fmt.Sprintf("its host carries member %s, which its cluster knows at this very address", i.carries),
				fmt.Sprintf("check the addresses of %s and %s; a member cannot be given another name", m.Name, i.carries)
		}
		if i.carries != "" && i.carries != m.Name && w.list.has(m) {
			return fmt.Sprintf("its address leads to a machine that carries member %s, which its cluster no longer knows, while %s is in the member list", i.carries, m.Name),
				fmt.Sprintf("check address, ssh_address and ssh_port of %s; if this is its machine, move away what %s left there (/etc/etcd/%s and its data directory), and plan again", m.Name, i.carries, w.Name)
		}
		if at := w.machineElsewhere(m); at != "" {
			return fmt.Sprintf("its address leads to a machine that carries %s, while the one that carries it answers at %s", cmp.Or(i.instead, "none of its data"), at),
				fmt.Sprintf("check address, ssh_address and ssh_port of %s; if it is to be at %s, give it that address", m.Name, at)
		}
		return w.elsewhereMistake(m)
	}
	host := strings.Join(i.known, ", ")
	right, there := w.at(i.known)
	switch {
	case there && i.cloneOf(w.to[right]):
		return cloneMistake(i, right)
	case i.carries != m.Name:
		return fmt.Sprintf("its address leads to the machine of member %s, which its cluster knows at %s", i.carries, host),
			fmt.Sprintf("check address, ssh_address and ssh_port of %s and %s, which may have been swapped", m.Name, i.carries)
	}
	return fmt.Sprintf("this is another address of the machine that carries %s already, and its cluster knows it at %s", i.carries, host),
		"put the address back: a member is not re-addressed before it has joined, or while a snapshot is restored"
}

// machineElsewhere returns the address at which the machine of a listed member answers, if its own address leads to one
// that does not carry it; "" if none is known. A machine where it is down is not its own if it has connections.
func (w routes) machineElsewhere(m membership.Member) string {
	i, told := w.to[m]
	_, peers, _ := w.connectedWith(m)
	for _, other := range w.members {
		o := w.to[other]
		if told && i.carries == "" && other.Name == m.Name && o.carries == m.Name && hasAddress(m, o.known) && !(o.down && len(peers) > 0) {
			return other.Address
		}
	}
	return ""
}

// elsewhereMistake is the mistake of an address that leads past the machine where its member runs.
func (w routes) elsewhereMistake(m membership.Member) (why, remedy string) {
	why, id := w.runsElsewhere(m)
	switch {
	case why == "":
		return "", ""
	case w.to[m].down && w.to[m].instead == "":
		return why, fmt.Sprintf("if that machine is a clone of the member's, correct address, ssh_address and ssh_port of %s, and take the clone off the network; if the member was stopped, or its machine reset, just now, its connections end within a few minutes: plan again then; to give the member up, remove it on the host of another: etcdctl member remove %s", m.Name, id)
	}
	return why, fmt.Sprintf("check address, ssh_address and ssh_port of %s, and where DNS and NAT lead; to give the member up, stop it on the machine where it runs, or remove it on the host of another: etcdctl member remove %s; if its machine was replaced just now, its connections end within a few minutes: plan again then", m.Name, id)
}

// RunsElsewhere says that a member's address leads to a machine that carries nothing of it, or where it is down, while
// the member runs on another; "" if that is not known.
func (c Cluster) RunsElsewhere(owner string, reports Reports, m membership.Member) (why string) {
	w := c.routesTo(c.AllMembers(reports), c.memberList(owner, reports), owner, reports)
	for _, other := range w.members {
		if other.Name == m.Name && w.to[other].carries == m.Name && !w.to[other].down {
			return "" // it is on its way to that address
		}
	}
	why, _ = w.runsElsewhere(m)
	return why
}

// runsElsewhere says so too, with the member's ID.
func (w routes) runsElsewhere(m membership.Member) (why, id string) {
	i := w.to[m]
	id, peers, known := w.connectedWith(m)
	switch {
	case id == "":
		return "", ""
	case i.down && i.instead == "" && len(peers) > 0:
		return fmt.Sprintf("its address leads to a machine on which it does not run, while the member has connections with %s", strings.Join(peers, ", ")), id
	case i.instead == "":
		return "", ""
	case len(peers) > 0:
		return fmt.Sprintf("its address leads to a machine that carries %s, while the member has connections with %s", i.instead, strings.Join(peers, ", ")), id
	case !known:
		return fmt.Sprintf("its address leads to a machine that carries %s, and none of the others could tell in time whether it has connections with the member", i.instead), id
	}
	return "", ""
}

// connectedWith returns a member's ID in the list, and the names of the observed members that have connections with
// that one: it runs then, and peers authenticate each other. There are none if its own host has recorded that ID, and
// the member may run there. known is false if others serve, and none of them could tell.
func (w routes) connectedWith(m membership.Member) (id string, names []string, known bool) {
	report := w.reports[m]
	move, _ := w.rawMoveOf(m)
	entry, listed := w.entryOf(membership.MemberStatus{Member: m, Move: move}, w.list.entries, report, w)
	if marker := report.Marker(); !listed || marker != nil && marker.MemberID == entry.ID && !w.to[m].down {
		return "", nil, true
	}
	told, untold := false, false
	for _, other := range w.members {
		name, o := w.to[other].carries, w.reports[other].Observation
		if name != "" && o != nil && o.Member.Healthy {
			told, untold = told || !o.Member.ConnectionsUnknown, untold || o.Member.ConnectionsUnknown
		}
		if name != "" && o != nil && slices.Contains(o.Member.Connected, entry.ID) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return entry.ID, names, told || !untold
}
