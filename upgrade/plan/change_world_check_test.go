package plan_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// checks is what etcd and the design ask of each kind of step.
var checks = map[membership.Kind]func(*etcd, membership.Step, *machine, *entry) error{
	membership.Stage:             func(*etcd, membership.Step, *machine, *entry) error { return nil },
	membership.RenewCertificates: (*etcd).checkRenewCertificates,
	membership.Firewall:          func(*etcd, membership.Step, *machine, *entry) error { return nil },
	membership.Snapshot:          (*etcd).checkSnapshot,
	membership.Stop:              (*etcd).checkStop,
	membership.Configure:         (*etcd).checkConfigure,
	membership.Start:             (*etcd).checkStart,
	membership.Agree:             (*etcd).checkAgree,
	membership.SyncConfiguration: (*etcd).checkServing,
	membership.Cancel:            (*etcd).checkServing,
	membership.Disarm:            (*etcd).checkDisarm,
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
	if keeping := []membership.Kind{membership.Configure, membership.RenewCertificates, membership.Recover}; step.Keeps && !slices.Contains(keeping, step.Kind) {
		return errors.New("it is done with certificates that are signed")
	}
	if err := e.checkSigners(step); err != nil {
		return err
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

func (e *etcd) checkDisarm(membership.Step, *machine, *entry) error {
	if !slices.ContainsFunc(e.full, e.disarms) {
		return fmt.Errorf("of the alarms of %v it disarms none", e.full)
	}
	return e.checkServing(membership.Step{}, nil, nil)
}

// disarms tells whether the alarm of the member of this ID can be disarmed: by itself, or by anybody once it is gone.
func (e *etcd) disarms(id string) bool {
	at := slices.IndexFunc(e.list, func(m *entry) bool { return m.id == id })
	return at < 0 || !e.list[at].learner && e.healthy(e.list[at])
}

func (e *etcd) checkRenewCertificates(step membership.Step, h *machine, m *entry) error {
	if m == nil || !h.marker || !h.expired && h.beside == "" && h.issued.By == e.signers.First() && h.issued.Files == h.issued.Trusts && h.peering.Named == cmp.Or(step.Named, step.Member) || h.from != "" {
		return errors.New("nothing of it has expired, it is of the right authority, and trusts what its files say")
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
	case step.Keeps && h.expired:
		return errors.New("it keeps certificates that do not hold")
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
		case !h.running || h.data != m.id || h.unmounted || e.apart(m) || e.left[m.address] && !e.healthy(m):
		case !h.broken:
			able++
		case e.certified[m.address] && !e.seen:
			able++ // it is waited for first, in vain, and that ends the run: the next one configures it
		case e.stays(m) && (e.awaited(m.address) || !e.seen && e.desired(m.address)) && !h.silent && !h.taken:
			return fmt.Errorf("%s does not come up by its configuration", m.address)
		}
	}
	if err := e.estranged(); err != nil {
		return err
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
	return e.mustLetIn(step.At)
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
	if s.Barred != "" && !m.learner {
		return errors.New("its host answers, and nobody knows whether it serves")
	}
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
		return fmt.Errorf("it is healthy, and %d voters are desired", len(e.want.Members))
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
	case h.version == e.want.Version && h.current && h.peering.Demands == step.Demands && h.peering.Written == step.Demands && h.issued.Trusts == e.trusts && step.Trusts == (membership.Authorities{}) && h.serves == (membership.Authorities{}):
		return errors.New("it runs by what is wanted")
	case membership.Minor(e.want.Version) < e.version:
		return fmt.Errorf("etcd %s does not start on storage of %s", e.want.Version, e.version)
	case e.staged[step.At] != e.want.Version:
		return errors.New("it is not staged")
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

// isNewer tells whether a member runs a newer minor version of etcd than is desired, and none can be swapped for the
// older one as it is: all run the newer one, or their storage has not come down.
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

// checkRecover holds what a cluster that was renumbered as a whole is recovered by: the log of each voter, none of
// which ends later, and none of whose members can be a quorum.
func (e *etcd) checkRecover(step membership.Step, h *machine, m *entry) error {
	if m == nil || m.learner || h.broken && e.staged[step.At] != e.want.Version {
		return errors.New("it is no voter that comes up")
	}
	if signs := e.mustSign(step.At); signs == step.Keeps {
		return fmt.Errorf("it says that certificates are signed: %t, and they are: %t", !step.Keeps, signs)
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
