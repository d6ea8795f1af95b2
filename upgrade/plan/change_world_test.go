package plan_test

import (
	"errors"
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

	leader    string // ID
	serves    bool   // the members that run have found each other
	seen      bool   // and that could be seen before the step that is taken
	version   string // line that the members have agreed on, which their storage follows
	downgrade string // line
	restless  bool   // a downgrade that is under way goes on by itself, not only while a step waits for it
	full      bool
	vain      bool // the run has waited in vain, and has ended
	ids       int

	saved  bool              // a snapshot was taken by this run
	staged map[string]string // version by address, of this run

	certified map[string]bool // addresses, of this run
}

// entry is one of etcd's member list.
type entry struct {
	id, address, name string
	learner, started  bool
	moved             bool // the list has the address that it is to have; else, where its machine runs by another, that one
	ours              bool // recorded as a learner that we have added
}

// again is the text of the configuration that members are to be built anew by.
const again = "again"

// machine is a host.
type machine struct {
	silent, unmounted, taken bool

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
	built    string // the text that its data was begun with
	settled  string // the voters that its configuration names
	from     string // the peer URL that its member runs by, where that is not the one of its address
	gone     bool   // its host does not have that address any more
	unheard  bool   // nobody answers there
	logged   uint64 // the last entry of its log
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

// breathe is what the cluster does by itself between two looks at it.
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
	p := membership.ClusterStatus{Full: e.full, Saved: e.saved, ClusterVersion: e.version, Downgrade: e.downgrade, Lowered: e.downgrade != "" && e.version == e.downgrade}
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
	if s.Desired && slices.Contains(e.want.Rebuild, m.Name) && (h.silent || h.marker && !h.taken && h.built != again) {
		s.Rebuild = again
	}
	switch s.State {
	case membership.Unreachable, membership.Foreign, membership.Missing, membership.Lost:
		return s
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
	if h.expired && s.From == "" {
		s.Invalid = "its certificates have expired"
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

// stays tells whether a member that runs is to come up where it is: one that is to be re-addressed only where the others
// cannot be a quorum without it.
func (e *etcd) stays(m *entry) bool {
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
	c.staged, c.certified = maps.Clone(e.staged), maps.Clone(e.certified)
	return &c
}

// forget is what the end of a run forgets.
func (e *etcd) forget() {
	e.saved, e.staged, e.certified = false, map[string]string{}, map[string]bool{}
}

// do takes a step. An error says what etcd or the design forbids of it.
func (e *etcd) do(step membership.Step) error {
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
	return nil
}

// checks is what etcd and the design ask of each kind of step.
var checks = map[membership.Kind]func(*etcd, membership.Step, *machine, *entry) error{
	membership.Stage:             func(*etcd, membership.Step, *machine, *entry) error { return nil },
	membership.RenewCertificates: (*etcd).checkRenewCertificates,
	membership.Snapshot:          (*etcd).checkSnapshot,
	membership.Stop:              (*etcd).checkStop,
	membership.Configure:         (*etcd).checkConfigure,
	membership.Start:             (*etcd).checkStart,
	membership.Agree:             (*etcd).checkAgree,
	membership.SyncConfiguration: (*etcd).checkServing,
	membership.Cancel:            (*etcd).checkServing,
	membership.Disarm:            (*etcd).checkServing,
	membership.MoveLeader:        (*etcd).checkMoveLeader,
	membership.AddLearner:        (*etcd).checkAdd,
	membership.Join:              (*etcd).checkJoin,
	membership.Promote:           (*etcd).checkPromote,
	membership.Remove:            (*etcd).checkRemove,
	membership.SetAside:          (*etcd).checkClear,
	membership.Retire:            (*etcd).checkClear,
	membership.Roll:              (*etcd).checkRoll,
	membership.Readdress:         (*etcd).checkReaddress,
	membership.Downgrade:         (*etcd).checkDowngrade,
	membership.Recover:           (*etcd).checkRecover,
}

// changing are the steps that want a cluster that serves, and a snapshot of it.
var changing = []membership.Kind{membership.AddLearner, membership.Promote, membership.Remove, membership.Roll, membership.Downgrade, membership.MoveLeader}

func (e *etcd) check(step membership.Step) error {
	check := checks[step.Kind]
	if check == nil {
		return errors.New("what is that?")
	}
	h := e.at(step.At)
	if step.Member != "" && step.Kind != membership.Remove {
		switch {
		case h.silent:
			return errors.New("its host cannot be reached")
		case h.taken:
			return errors.New("its host is another's")
		}
	}
	if slices.Contains(changing, step.Kind) {
		if err := e.checkServing(step, nil, nil); err != nil {
			return err
		}
		if !e.saved {
			return errors.New("no snapshot was taken")
		}
	}
	return check(e, step, h, e.entry(step.At))
}

func (e *etcd) checkServing(membership.Step, *machine, *entry) error {
	if !e.serves {
		return errors.New("nobody serves")
	}
	return nil
}

func (e *etcd) checkRenewCertificates(_ membership.Step, h *machine, m *entry) error {
	if m == nil || !h.marker || !h.expired || h.from != "" {
		return errors.New("nothing of it has expired")
	}
	return nil
}

func (e *etcd) checkSnapshot(_ membership.Step, _ *machine, m *entry) error {
	if m == nil || m.learner || !e.healthy(m) {
		return errors.New("it is no healthy voter")
	}
	return nil
}

func (e *etcd) checkStop(_ membership.Step, h *machine, m *entry) error {
	n, running := len(e.voters()), 0
	for _, v := range e.voters() {
		if h := e.at(v.address); h.running && h.data == v.id && !h.silent {
			running++
		}
	}
	switch {
	case m == nil || m.learner || h.data != m.id:
		return errors.New("it is no voter")
	case e.healthy(m):
		return errors.New("it serves")
	case h.ready && e.countHealthy() < quorum(n) && n > 1 && running-1 < quorum(n):
		return fmt.Errorf("it has served, and of %d that run %d would be left of %d", running, running-1, n)
	case e.staged[m.address] == "":
		return errors.New("nothing was staged on it")
	case e.serves && !e.saved:
		return errors.New("no snapshot was taken")
	}
	return nil
}

func (e *etcd) checkConfigure(step membership.Step, h *machine, _ *entry) error {
	switch {
	case h.running:
		return errors.New("it runs")
	case h.from != "" && !e.entry(step.At).moved:
		return errors.New("it would be configured for an address that it does not have in the list")
	case e.staged[step.At] != e.want.Version:
		return fmt.Errorf("etcd %s is not staged: %q is", e.want.Version, e.staged[step.At])
	case membership.Minor(e.want.Version) < e.version:
		return fmt.Errorf("etcd %s does not start in a cluster of %s", e.want.Version, e.version)
	case e.serves && !e.saved:
		return errors.New("no snapshot was taken")
	case !e.serves && membership.Minor(e.want.Version) > membership.Minor(h.version):
		return fmt.Errorf("etcd %s -> %s, and no snapshot can be taken", h.version, e.want.Version)
	}
	return nil
}

func (e *etcd) checkStart(_ membership.Step, h *machine, m *entry) error {
	switch {
	case m == nil || h.unmounted || h.data != m.id:
		return errors.New("the guard does not let it start")
	case membership.Minor(h.version) < e.version:
		return fmt.Errorf("etcd %s does not start in a cluster of %s", h.version, e.version)
	}
	return nil
}

func (e *etcd) checkAgree(membership.Step, *machine, *entry) error {
	able := 0
	for _, m := range e.voters() {
		switch h := e.at(m.address); {
		case !h.running || h.data != m.id || h.unmounted || e.apart(m):
		case !h.broken:
			able++
		case e.certified[m.address] && !e.seen:
			able++ // it is waited for first, in vain, and that ends the run: the next one configures it
		case e.stays(m) && (e.awaited(m.address) || !e.seen && e.desired(m.address)) && !h.silent && !h.taken:
			return fmt.Errorf("%s does not come up by its configuration", m.address)
		}
	}
	if able < quorum(len(e.voters())) {
		return fmt.Errorf("%d of %d run", able, len(e.voters()))
	}
	return nil
}

func (e *etcd) checkMoveLeader(step membership.Step, _ *machine, m *entry) error {
	to := e.byText(step.To)
	switch {
	case m == nil || m.id != e.leader:
		return errors.New("it does not lead")
	case to == nil || to == m || to.learner || !e.healthy(to):
		return fmt.Errorf("%s is no other healthy voter", step.To)
	}
	for _, s := range e.status().Members {
		if e.at(step.At).from != "" {
			if s.From != "" && s.Role == membership.Voter && s.ID != e.leader {
				return fmt.Errorf("it leads, and %s was not re-addressed yet", s)
			}
			continue
		}
		if e.desired(step.At) && s.Role == membership.Voter && s.ID != e.leader && len(s.Outdated) > 0 {
			return fmt.Errorf("it leads, and %s was not rolled yet", s)
		}
	}
	return nil
}

// byText is the member that a step names in its text.
func (e *etcd) byText(text string) *entry {
	for _, m := range e.list {
		if strings.HasSuffix(text, " ("+m.address+")") {
			return m
		}
	}
	return nil
}

// checkAdd is mayAddMember of etcd, and the gates.
func (e *etcd) checkAdd(step membership.Step, h *machine, m *entry) error {
	n, healthy := len(e.voters()), e.countHealthy()
	switch {
	case len(e.learners()) > 0:
		return errors.New("too many learner members in cluster")
	case m != nil:
		return errors.New("peer URL exists")
	case n > 1 && e.active() < quorum(n+1):
		return fmt.Errorf("unhealthy cluster: %d of %d are active", e.active(), n)
	case n%2 == 1 && healthy < n:
		return fmt.Errorf("%d of %d are healthy", healthy, n)
	case h.unmounted || h.data != "" || h.running:
		return errors.New("its host is not empty")
	case e.staged[step.At] == "":
		return errors.New("nothing was staged on its host")
	case !e.desired(step.At):
		return errors.New("nobody wants it")
	}
	return nil
}

func (e *etcd) checkJoin(step membership.Step, h *machine, m *entry) error {
	switch {
	case m == nil || !m.learner:
		return errors.New("it is no learner")
	case h.unmounted || h.data != "" && h.data != m.id || h.data == "" && m.started:
		return errors.New("it would start on the wrong data")
	case e.staged[step.At] != step.To:
		return fmt.Errorf("etcd %s is not staged: %q is", step.To, e.staged[step.At])
	case membership.Minor(step.To) < e.version:
		return fmt.Errorf("etcd %s cannot join a cluster of %s", step.To, e.version)
	}
	return nil
}

func (e *etcd) checkPromote(_ membership.Step, _ *machine, m *entry) error {
	n, healthy := len(e.voters()), e.countHealthy()
	switch {
	case m == nil || !m.learner || !e.healthy(m):
		return errors.New("it is no learner that follows")
	case healthy < n && healthy < quorum(n+1):
		return fmt.Errorf("%d of %d would be healthy without it", healthy, n+1)
	}
	return nil
}

// checkRemove is mayRemoveMember of etcd, and the gates.
func (e *etcd) checkRemove(step membership.Step, _ *machine, m *entry) error {
	n, healthy := len(e.voters()), e.countHealthy()
	if step.To != "" {
		i := slices.IndexFunc(e.list, func(m *entry) bool { return m.id == step.To })
		if i < 0 || !e.list[i].ours || !e.list[i].learner {
			return errors.New("it is no learner that we have added")
		}
		return nil
	}
	if m == nil {
		return errors.New("it is no member")
	}
	s := e.member(membership.Member{Name: step.Member, Address: step.At})
	gone := s.State == membership.Lost || s.State == membership.Foreign && m.learner || s.State == membership.Missing && (!m.learner || m.started)
	rebuilt := s.Rebuild != "" && (s.State == membership.Healthy || s.State == membership.Unhealthy || s.State == membership.Stopped)
	if s.Desired && !gone && !rebuilt {
		return fmt.Errorf("it is wanted, and %s", s.State)
	}
	if m.learner {
		return nil
	}
	started := 0
	for _, v := range e.voters() {
		if v != m && v.started {
			started++
		}
	}
	switch {
	case started < quorum(n-1):
		return errors.New("not enough started members")
	case e.up(m) && e.active()-1 < 1+(n-1)/2:
		return fmt.Errorf("unhealthy cluster: %d of %d are active", e.active(), n)
	case s.State != membership.Healthy && (healthy < quorum(n) || healthy < quorum(n-1)):
		return fmt.Errorf("%d of %d are healthy", healthy, n)
	case s.State != membership.Healthy:
		return nil
	case healthy < n:
		return fmt.Errorf("it is healthy, and %d of %d are", healthy, n)
	case m.id == e.leader:
		return errors.New("it leads")
	case n != len(e.want.Members) && rebuilt, len(e.learners()) > 0:
		return fmt.Errorf("it is healthy, there are %d voters and %d learners", n, len(e.learners()))
	case n <= len(e.want.Members) && !rebuilt, n == 1:
		return fmt.Errorf("it is healthy, and %d voters are wanted", len(e.want.Members))
	}
	return nil
}

func (e *etcd) checkClear(step membership.Step, h *machine, m *entry) error {
	switch {
	case m != nil:
		return errors.New("it is a member")
	case h.unmounted:
		return errors.New("its data is not mounted")
	case e.desired(step.At) != (step.Kind == membership.SetAside):
		return fmt.Errorf("wanted: %t", e.desired(step.At))
	}
	return nil
}

func (e *etcd) checkRoll(step membership.Step, h *machine, m *entry) error {
	n, healthy := len(e.voters()), e.countHealthy()
	switch {
	case m == nil || m.learner || !e.healthy(m):
		return errors.New("it is no healthy voter")
	case healthy < n || len(e.learners()) > 0:
		return fmt.Errorf("%d of %d are healthy, and there are %d learners", healthy, n, len(e.learners()))
	case n > 1 && m.id == e.leader:
		return errors.New("it leads")
	case n > 1 && healthy-1 < quorum(n):
		return fmt.Errorf("%d of %d would be healthy", healthy-1, n)
	case h.from != "":
		return errors.New("it would be configured for an address that it does not have in the list")
	case h.version == e.want.Version && h.current:
		return errors.New("it runs by what is wanted")
	case membership.Minor(e.want.Version) < e.version:
		return fmt.Errorf("etcd %s does not start on storage of %s", e.want.Version, e.version)
	}
	for _, s := range e.status().Members {
		if s.Desired && s.Role == membership.Voter && len(s.Outdated) > 0 && s.Staged != e.want.Version {
			return fmt.Errorf("%s is not staged", s)
		}
	}
	for _, other := range e.list {
		if apart := membership.MinorsApart(e.want.Version, e.at(other.address).version); apart > 1 {
			return fmt.Errorf("it would be %d minors from %s", apart, other.address)
		}
	}
	return nil
}

// isNewer tells whether a member runs a newer line of etcd than is desired, and none can be swapped for the older one as it is:
// all run the newer one, or their storage has not come down.
func (e *etcd) isNewer() bool {
	minor, p := membership.Minor(e.want.Version), e.status()
	newer, older := false, false
	for _, s := range p.Members {
		newer = newer || s.Role != membership.Absent && membership.Minor(s.Version) > minor
		left := s.State == membership.Lost || s.State == membership.Missing || s.State == membership.Foreign
		older = older || s.Role == membership.Voter && !left && s.Version != "" && membership.Minor(s.Version) <= minor
	}
	if p.Downgrade != "" {
		return newer && !(p.Downgrade == minor && p.Lowered)
	}
	return newer && !(older && p.ClusterVersion != "" && p.ClusterVersion <= minor)
}

// rewritten tells whether a member that is re-addressed is given all that is desired: its store was put there for that.
func (e *etcd) rewritten(m *entry) bool {
	h := e.at(m.address)
	if newer := h.version < e.want.Version; newer && h.current && membership.Minor(h.version) >= e.version {
		return false // for a newer etcd alone it is rolled
	}
	if membership.Minor(h.version) >= e.version && e.isNewer() {
		return false // on the way to an older etcd it is rolled too, the last of all
	}
	return !e.healthy(m) && e.awaited(m.address) && e.staged[m.address] == e.want.Version && (h.version != e.want.Version || !h.current)
}

func (e *etcd) checkReaddress(_ membership.Step, h *machine, m *entry) error {
	n, healthy := len(e.voters()), e.countHealthy()
	switch {
	case m == nil || m.learner || h.data != m.id || h.unmounted:
		return errors.New("it is no voter with its data")
	case h.from == "":
		return errors.New("it is at its address")
	case !m.moved && !e.serves && n > 1:
		return errors.New("nobody serves who could change the list")
	case healthy > 0 && !e.saved:
		return errors.New("no snapshot was taken")
	case membership.Minor(h.version) < e.version && !e.rewritten(m):
		return fmt.Errorf("etcd %s does not start in a cluster of %s", h.version, e.version)
	case h.broken && !e.rewritten(m):
		return errors.New("it does not come up by what it is configured with")
	case !e.healthy(m):
		return nil
	case healthy < n || len(e.learners()) > 0:
		return fmt.Errorf("%d of %d are healthy, and there are %d learners", healthy, n, len(e.learners()))
	case n > 1 && m.id == e.leader:
		return errors.New("it leads")
	case n > 1 && healthy-1 < quorum(n):
		return fmt.Errorf("%d of %d would be healthy", healthy-1, n)
	}
	return nil
}

// checkRecover holds what a cluster that was renumbered as a whole is recovered by: the log of each voter, none of which
// ends later, and none of whose members can be a quorum.
func (e *etcd) checkRecover(step membership.Step, h *machine, m *entry) error {
	if m == nil || m.learner || h.broken && e.staged[step.At] != e.want.Version {
		return errors.New("it is no voter that comes up")
	}
	together := 0
	for _, v := range e.voters() {
		other := e.at(v.address)
		switch {
		case other.silent, other.taken, other.unmounted, other.data != v.id:
			return fmt.Errorf("what %s has cannot be known", v.address)
		case other.logged > h.logged:
			return fmt.Errorf("%s has come further", v.address)
		case e.healthy(v):
			return fmt.Errorf("%s serves", v.address)
		case !e.apart(v) && !other.broken:
			together++
		}
	}
	if together >= quorum(len(e.voters())) {
		return fmt.Errorf("%d can be a quorum", together)
	}
	return nil
}

func (e *etcd) checkDowngrade(step membership.Step, _ *machine, _ *entry) error {
	n, healthy := len(e.voters()), e.countHealthy()
	switch {
	case healthy < n || len(e.learners()) > 0:
		return fmt.Errorf("%d of %d are healthy, %d learners: it would come to no end", healthy, n, len(e.learners()))
	case e.downgrade != "" && e.downgrade != step.To:
		return fmt.Errorf("one to %s is under way", e.downgrade)
	}
	return nil
}

// take is what a step does, where it goes well.
func (e *etcd) take(step membership.Step) {
	h, m := e.at(step.At), e.entry(step.At)
	configure := func(version string) {
		h.version, h.current, h.expired, h.broken = version, true, false, false
	}
	switch step.Kind {
	case membership.Stage:
		e.staged[step.At] = step.To
	case membership.Snapshot:
		e.saved = true
	case membership.RenewCertificates:
		h.expired, e.certified[step.At] = false, true
		if h.running && e.seen {
			h.ready = true
		}
	case membership.Stop:
		h.running, h.ready = false, false
	case membership.Configure:
		configure(e.want.Version)
		if h.from != "" {
			h.from, h.gone, m.moved, h.settled = "", false, false, e.names()
		}
	case membership.Start:
		h.disabled, h.running = false, true
	case membership.Agree:
		var come []*entry
		for _, v := range e.voters() {
			if e.stays(v) {
				come = append(come, v)
			} else if !e.at(v.address).silent {
				e.at(v.address).ready = false // nobody waits for it: let it not come by itself either
			}
		}
		for _, v := range come {
			e.vain = e.vain || e.at(v.address).broken && e.certified[v.address]
			// Beside a quorum, one that is not desired is waited for by nobody: let it never come.
			if h := e.at(v.address); h.running && h.data == v.id && (e.awaited(v.address) || !e.seen) {
				h.gone = false // its list has its new address
				h.ready = true
			}
		}
		e.serves = true
	case membership.SyncConfiguration:
		for _, v := range e.voters() {
			if e.desired(v.address) && e.healthy(v) && e.at(v.address).from == "" {
				e.at(v.address).settled, e.at(v.address).voted = e.names(), true
			}
		}
	case membership.MoveLeader:
		e.leader = e.byText(step.To).id
	case membership.AddLearner:
		e.ids++
		e.list = append(e.list, &entry{id: fmt.Sprintf("added %d", e.ids), address: step.At, learner: true, ours: true})
	case membership.Join:
		configure(step.To)
		h.marker, h.data, h.running, h.ready, h.disabled, h.built = true, m.id, true, true, false, again
		m.name, m.started = step.Member, true
	case membership.Promote:
		m.learner, h.voted = false, true
		h.settled = e.names() // what it was told before it voted
	case membership.Remove:
		e.list = slices.DeleteFunc(e.list, func(v *entry) bool {
			return step.To == "" && v.address == step.At || step.To != "" && v.id == step.To
		})
		h.running, h.ready = false, false // a member that was removed ends by itself
	case membership.SetAside, membership.Retire:
		*h = machine{}
	case membership.Readdress:
		if e.rewritten(m) {
			configure(e.want.Version)
		}
		h.from, h.gone, h.expired, m.moved = "", false, false, false
		h.running, h.ready, h.disabled, h.settled = true, !h.broken, false, e.names()
		e.serves = e.serves || e.active() >= quorum(len(e.voters()))
	case membership.Recover:
		if e.staged[step.At] == e.want.Version && (h.version != e.want.Version || !h.current) {
			configure(e.want.Version)
		}
		for _, v := range e.list {
			if other := e.at(v.address); v != m {
				other.running, other.ready, other.from, other.gone = false, false, "", false
			}
		}
		e.list = []*entry{m}
		h.from, h.gone, h.expired, m.moved = "", false, false, false
		h.running, h.ready, h.disabled, h.settled = true, true, false, "others"
		e.serves, e.leader = true, m.id
	case membership.Roll:
		configure(step.To)
	case membership.Cancel:
		e.downgrade = ""
	case membership.Downgrade:
		e.downgrade, e.version = step.To, step.To
	case membership.Disarm:
		e.full = false
	}
}

// cut is a step that the run did not live to see the end of; way says how far it came. 0 is not at all, and
// more than a step has ways is to its very end.
func (e *etcd) cut(step membership.Step, way int) {
	h, m := e.at(step.At), e.entry(step.At)
	switch is := func(kind membership.Kind, at int) bool { return step.Kind == kind && way == at }; {
	case way == 0:
	case is(membership.Join, 1): // prepared, and not started
		h.marker, h.version, h.built = true, step.To, again
	case is(membership.Join, 2): // started, and not heard of
		h.built = again
		h.marker, h.version, h.current, h.data, h.running = true, step.To, true, m.id, true
	case is(membership.Roll, 1): // stopped
		h.running, h.ready = false, false
	case is(membership.Roll, 2): // stopped and configured
		h.running, h.ready, h.version, h.current = false, false, step.To, true
	case is(membership.Readdress, 1): // in the list, and not restarted
		m.moved = true
	case is(membership.Readdress, 2): // stopped
		m.moved, h.running, h.ready = true, false, false
	case is(membership.Recover, 1): // the others were stopped
		for _, v := range e.voters() {
			if v != m {
				e.at(v.address).running, e.at(v.address).ready = false, false
			}
		}
	case is(membership.Recover, 2): // alone, and its list has the old address
		from, gone := h.from, h.gone
		e.take(step)
		h.from, h.gone = from, gone
	case is(membership.SetAside, 1), is(membership.Retire, 1): // stopped
		h.running, h.ready, h.disabled = false, false, true
	case is(membership.Retire, 2): // the marker goes last
		h.running, h.ready, h.data = false, false, ""
	case is(membership.Promote, 1): // told that it votes, and not promoted
		h.voted = true
	case is(membership.Downgrade, 1): // enabled, and nothing has come down
		e.downgrade = step.To
	case is(membership.SyncConfiguration, 1): // of several, one was told
		e.at(e.voters()[0].address).settled = e.names()
	default:
		e.take(step)
	}
	e.heartbeat()
	e.forget()
}

// unmet says what of the configuration is not met; nil: all is.
func (e *etcd) unmet() []string {
	var left []string
	for _, m := range e.want.Members {
		switch h, in := e.at(m.Address), e.entry(m.Address); {
		case in == nil || in.learner:
			left = append(left, m.Name+" does not vote")
		case !e.healthy(in):
			left = append(left, m.Name+" is not healthy")
		case h.version != e.want.Version || !h.current || h.expired || h.disabled || h.settled != e.names():
			left = append(left, fmt.Sprintf("%s is not as wanted: %+v", m.Name, *h))
		}
	}
	for _, m := range e.want.Members {
		if slices.Contains(e.want.Rebuild, m.Name) && e.at(m.Address).built != again {
			left = append(left, m.Name+" was not built anew")
		}
	}
	for _, m := range e.list {
		if !e.desired(m.address) {
			left = append(left, m.address+" is still in the list")
		}
	}
	for _, m := range e.known {
		if h := e.at(m.Address); !e.desired(m.Address) && h.marker && !h.silent && !h.taken {
			left = append(left, m.Address+" still carries the cluster")
		}
	}
	if e.full {
		left = append(left, "it is full")
	}
	if e.downgrade != "" && e.downgrade != membership.Minor(e.want.Version) {
		left = append(left, "a downgrade is under way")
	}
	return left
}
