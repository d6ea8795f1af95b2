package plan_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// etcd is a cluster as etcd and its hosts would have it, to try plans on. It knows nothing of how the planner
// models the effect of a step: do takes a step by etcd's rules (its check of reconfigurations, one
// learner at a time, which versions live together) and by the gates of the design, and fails on what either
// forbids.
type etcd struct {
	want  membership.Spec
	known []membership.Member // members that are looked at, besides the desired ones
	hosts map[string]*machine // by address
	list  []*entry

	leader    string                 // ID
	serves    bool                   // the members that run have found each other
	seen      bool                   // and that could be seen before the step that is taken
	version   string                 // minor version that the members have agreed on, which their storage follows
	downgrade string                 // minor version
	restless  bool                   // a downgrade under way goes on by itself, not only while a step waits for it
	full      []string               // IDs of those whose alarm NOSPACE is raised
	peerName  string                 // of the configuration
	trusts    membership.Authorities // likewise
	signers   membership.Signers     // likewise
	ended     membership.Authorities // that have expired
	vain      bool                   // the run has waited in vain, and has ended
	did       []string               // the steps that were taken
	ids       int
	halted    bool // all members were stopped as a refusal advises

	saved  bool              // a snapshot was taken by this run
	staged map[string]string // version by address, of this run

	certified map[string]bool // addresses, of this run
	left      map[string]bool // addresses that this run leaves alone
}

// entry is one of etcd's member list.
type entry struct {
	id, address, name string
	learner, started  bool
	// moved tells that the list of members has the address that the member is to have, and not the one that its machine
	// still runs by.
	moved bool
	ours  bool // recorded as a learner that we have added
}

// again is the text of the configuration that members are to be built anew by.
const again = "again"

// machine is a host.
type machine struct {
	silent, unmounted, taken bool
	barred                   bool // silent, since it does not let the run in, and answers

	marker   bool   // it carries a part of the cluster
	voted    bool   // its marker says that the member votes
	data     string // ID of the member whose data it holds
	running  bool
	ready    bool // it has come up since it was started
	disabled bool
	version  string // that it runs, or would
	current  bool   // its settings are the desired ones
	broken   bool   // it does not come up by what it is configured with
	expired  bool
	beside   string // how the reason begins why what lies beside its certificates has to change; empty: it stays
	built    string // the text that its data was begun with
	settled  string // the voters that its configuration names
	from     string // the peer URL that its member runs by, where that is not the one of its address
	gone     bool   // its host does not have that address any more
	unheard  bool   // nobody answers there
	logged   uint64 // the last entry of its log
	issued   membership.Issued
	peering  membership.Peering
	served   string                 // common name of the peer certificate that serves.Peers stands for
	filters  bool                   // it filters who reaches its member
	admits   string                 // the peers that it lets in
	serves   membership.Authorities // of the certificates that its process goes on serving, where its files have others
}

func (e *etcd) at(address string) *machine {
	if e.hosts[address] == nil {
		e.hosts[address] = &machine{}
	}
	return e.hosts[address]
}

func (e *etcd) entry(address string) *entry {
	for _, m := range e.list {
		if m.address == address {
			return m
		}
	}
	return nil
}

func (e *etcd) voters() []*entry {
	return slices.DeleteFunc(slices.Clone(e.list), func(m *entry) bool { return m.learner })
}

func (e *etcd) learners() []*entry {
	return slices.DeleteFunc(slices.Clone(e.list), func(m *entry) bool { return !m.learner })
}

// up tells whether a member takes part in the cluster, whoever can see that.
func (e *etcd) up(m *entry) bool {
	h := e.at(m.address)
	return h.running && h.ready && !h.broken && h.data == m.id && (h.from == "" || !h.gone)
}

// active is how many voters take part.
func (e *etcd) active() int {
	n := 0
	for _, m := range e.voters() {
		if e.up(m) {
			n++
		}
	}
	return n
}

// healthy tells whether a member is seen to serve.
func (e *etcd) healthy(m *entry) bool {
	return e.serves && e.up(m) && !e.at(m.address).silent && !e.at(m.address).taken
}

func (e *etcd) countHealthy() int {
	n := 0
	for _, m := range e.voters() {
		if e.healthy(m) {
			n++
		}
	}
	return n
}

func quorum(n int) int { return n/2 + 1 }

// heartbeat does what the cluster does by itself between two looks at it.
func (e *etcd) heartbeat() {
	if e.active() < quorum(len(e.voters())) {
		e.serves, e.leader = false, ""
		for _, m := range e.learners() {
			e.at(m.address).ready = false // let it find nobody by itself again
		}
	}
	if !e.serves {
		return
	}
	if !slices.ContainsFunc(e.voters(), func(m *entry) bool { return m.id == e.leader && e.up(m) }) {
		e.elect()
	}
	lowest := ""
	for _, m := range e.list {
		if !e.up(m) {
			return // etcd decides on no version while it does not know those of all
		}
		if minor := membership.Minor(e.at(m.address).version); lowest == "" || minor < lowest {
			lowest = minor
		}
	}
	switch {
	case e.downgrade == "":
		e.version = max(e.version, lowest)
	case slices.ContainsFunc(e.list, func(m *entry) bool { return membership.Minor(e.at(m.address).version) != e.downgrade }):
		if e.restless {
			e.version = e.downgrade
		}
	case e.restless || !slices.ContainsFunc(e.list, func(m *entry) bool { return !e.healthy(m) }):
		e.downgrade = "" // it ends by itself, which nobody could foresee of members that cannot be asked
	}
}

// elect makes a voter the leader: the first one that can be reached, since it has to be some one.
func (e *etcd) elect() {
	able := e.voters()
	able = slices.DeleteFunc(able, func(m *entry) bool { return !e.up(m) })
	slices.SortFunc(able, func(a, b *entry) int {
		return strings.Compare(fmt.Sprint(!e.healthy(a))+a.name+a.address, fmt.Sprint(!e.healthy(b))+b.name+b.address)
	})
	e.leader = able[0].id
}

// status is the cluster as it would be seen.
func (e *etcd) status() membership.ClusterStatus {
	p := membership.ClusterStatus{PeerName: e.peerName, Trusts: e.trusts, Signers: e.signers, Ended: e.ended, Full: slices.Clone(e.full), Saved: e.saved, ClusterVersion: e.version, Downgrade: e.downgrade, Lowered: e.downgrade != "" && e.version == e.downgrade}
	if e.serves {
		p.Leader = e.leader
	}
	members := slices.Clone(e.want.Members)
	for _, m := range e.known {
		if !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	explained := map[string]bool{}
	for _, m := range members {
		explained[m.Address] = true
		s := e.member(m)
		if s.Desired || s.Role != membership.Absent || s.State != membership.Unreachable && s.Traces {
			p.Members = append(p.Members, s)
		}
	}
	membership.SortStatuses(p.Members)
	for _, m := range e.list {
		if !explained[m.address] {
			s := membership.UnmanagedMember{ID: m.id, Name: m.name, PeerURL: "https://" + m.address + ":2380", Role: membership.Voter, Ours: m.ours}
			if m.learner {
				s.Role = membership.Learner
			}
			p.Unmanaged = append(p.Unmanaged, s)
		}
	}
	return p
}

// member is a member as it would be seen.
func (e *etcd) member(m membership.Member) membership.MemberStatus {
	h, in := e.at(m.Address), e.entry(m.Address)
	s := membership.MemberStatus{Member: m, Desired: e.desired(m.Address), Traces: h.marker && !h.taken && !h.silent, Staged: e.staged[m.Address], Certified: e.certified[m.Address]}
	if in != nil {
		s.ID, s.Role, s.Started = in.id, membership.Voter, in.started
		if in.learner {
			s.Role = membership.Learner
		}
	}
	switch {
	case h.silent:
		s.State = membership.Unreachable
	case h.taken:
		s.State = membership.Foreign
	case !h.marker:
		s.State = membership.Missing
	case h.unmounted:
		s.State = membership.Blocked
	case !h.voted && h.data == "" && !h.running:
		s.State = membership.Missing
	case h.data == "" || in != nil && h.data != in.id:
		s.State = membership.Lost
	case !h.running:
		s.State = membership.Stopped
	case in != nil && e.healthy(in):
		s.State = membership.Healthy
	default:
		s.State = membership.Unhealthy
	}
	s.Why = reasons[s.State]
	if h.silent && h.barred {
		s.Why, s.Barred = "its host answers, and refuses the login", "set ssh.user"
	}
	if s.Desired && slices.Contains(e.want.Rebuild, m.Name) && (h.silent || h.marker && !h.taken && h.built != again) {
		s.Rebuild = again
	}
	if !h.silent && !h.taken {
		s.Unfiltered, s.Admits = e.unfiltered(h), h.admits
	}
	switch s.State {
	case membership.Unreachable, membership.Foreign, membership.Missing, membership.Lost:
		return s
	}
	s.Issued, s.Peering = h.issued, h.peering
	s.Peering.Known = true
	if h.running {
		s.Serves = membership.Served{Peers: string(h.serves.Peers), Clients: string(h.serves.Clients)}
	}
	if s.Version = h.version; s.Role == membership.Voter && s.State != membership.Healthy && s.State != membership.Blocked {
		s.Term, s.Index = 1, h.logged
	}
	if !s.Desired {
		return s
	}
	if h.version != e.want.Version {
		s.Outdated = append(s.Outdated, fmt.Sprintf("etcd %s -> %s", h.version, e.want.Version))
	}
	if !h.current {
		s.Outdated = append(s.Outdated, "settings")
	}
	if in != nil && h.from != "" && s.State != membership.Blocked {
		s.Move = membership.Move{From: h.from, Moved: in.moved, Unheard: h.unheard, Gone: h.gone}
	}
	switch {
	case s.From != "": // a re-address gives it all of that
	case h.expired:
		s.Invalid = "its certificates have expired"
	case h.beside != "":
		s.Invalid = h.beside + "what is there is not what is desired"
	}
	s.Disabled, s.Active = h.disabled, h.running && h.ready
	s.Unsynced = s.Role == membership.Voter && s.From == "" && h.settled != e.names()
	return s
}

// names are the voters, by address.
func (e *etcd) names() string {
	var all []string
	for _, m := range e.voters() {
		at := m.address
		if from := e.at(m.address).from; from != "" && !m.moved {
			at = from
		}
		all = append(all, at)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// desired tells whether an address is one of a desired member.
func (e *etcd) desired(address string) bool {
	return slices.ContainsFunc(e.want.Members, func(m membership.Member) bool { return m.Address == address })
}

// awaited tells whether the member at an address is to come up as it is, and not to be built anew.
func (e *etcd) awaited(address string) bool {
	i := slices.IndexFunc(e.want.Members, func(m membership.Member) bool { return m.Address == address })
	return i >= 0 && e.member(e.want.Members[i]).Rebuild == ""
}

// stays tells whether a member that runs is to come up where it is: one that is to be re-addressed only where the
// others cannot be a quorum without it.
func (e *etcd) stays(m *entry) bool {
	if e.left[m.address] && !e.healthy(m) {
		return false
	}
	if e.at(m.address).from == "" || e.healthy(m) || !e.desired(m.address) {
		return true
	}
	if e.apart(m) {
		return false
	}
	others := 0
	for _, v := range e.voters() {
		h := e.at(v.address)
		if h.running && h.data == v.id && !h.silent && !h.taken && !h.unmounted && (h.from == "" || e.healthy(v)) {
			others++
		}
	}
	return others < quorum(len(e.voters()))
}

// apart tells whether nobody can reach a member, since its machine has lost the address that the list has.
func (e *etcd) apart(m *entry) bool {
	h := e.at(m.address)
	return h.from != "" && h.gone && !m.moved
}

// clone is a cluster that shares nothing with the first.
func (e *etcd) clone() *etcd {
	c := *e
	c.hosts = map[string]*machine{}
	for address, h := range e.hosts {
		copied := *h
		c.hosts[address] = &copied
	}
	c.list = nil
	for _, m := range e.list {
		copied := *m
		c.list = append(c.list, &copied)
	}
	c.staged, c.certified, c.did = maps.Clone(e.staged), maps.Clone(e.certified), slices.Clone(e.did)
	c.full = slices.Clone(e.full)
	return &c
}

// forget is what the end of a run forgets.
func (e *etcd) forget() {
	e.saved, e.staged, e.certified = false, map[string]string{}, map[string]bool{}
}

// do takes a step. An error says what etcd or the design forbids of it.
func (e *etcd) do(step membership.Step) error {
	e.did = append(e.did, step.String())
	served, before := e.serves, len(e.voters())
	e.seen = e.countHealthy() >= quorum(before)
	if err := e.check(step); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	e.take(step)
	if n := len(e.voters()); (n < before-1 || n > before+1) && step.Kind != membership.Recover {
		return fmt.Errorf("%s: voters %d -> %d at once", step, before, n)
	}
	if len(e.learners()) > 1 {
		return fmt.Errorf("%s: %d learners", step, len(e.learners()))
	}
	if served && e.active() < quorum(len(e.voters())) {
		return fmt.Errorf("%s: the quorum is gone: %d of %d are active", step, e.active(), len(e.voters()))
	}
	e.heartbeat()
	if err := cmp.Or(e.refused(), e.shutOut()); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return e.estranged()
}
