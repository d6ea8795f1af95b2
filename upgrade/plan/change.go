// Package plan decides by which steps a cluster becomes what is desired, and what is refused or has to wait. It is
// pure: values in, values out, and the same plan each time for the same status.
//
// Change plans everything for a running cluster, Restore plans how a cluster is made from a snapshot, and Retire plans
// how it is taken off its hosts. A rule is a method of a planner that returns the next step, or why there is none.
// Each file holds the rules of one concern: heal.go brings members up, join.go and leave.go add and remove them,
// roll.go restarts them and changes versions, recover.go deals with a lost quorum, and diverged.go with members whose
// data differs. peering.go says which common name members' peers have to have. effect.go works out what a step makes of
// the cluster, so that a whole plan follows from one rule after the other.
package plan

import (
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Plan is how a cluster becomes what is desired: the steps that can be taken, in order, and what has to wait until
// somebody fixes something first.
type Plan struct {
	Steps    []membership.Step
	Deferred []*membership.Refusal
	End      membership.ClusterStatus // the cluster as it is once the steps are done

	Waiting  []membership.MemberStatus // whose certificates are due, and would be renewed if they could be signed
	Unsigned error                     // why they cannot
	// Lacking are the members that are left alone: they need certificates which cannot be signed, as Unsigned says, or
	// a step that is not safe meanwhile, and no step brings them up before that.
	Lacking []membership.Member
}

// maxSteps is more than any plan has: seven members that all move take some sixty steps.
const maxSteps = 300

// Change plans how a cluster becomes what is desired, from any state. It refuses if no step may be taken at all:
// something in the cluster is unaccounted for, or its quorum is lost.
//
// The planner chooses one step, works out what the step makes of the cluster, and chooses again. So the plan that
// Terraform shows, and the next step of a run, come from the same rules.
func Change(p membership.ClusterStatus, want membership.Spec) (Plan, error) {
	if err := want.Check(); err != nil {
		return Plan{}, err
	}
	if len(p.Mistakes) > 0 {
		return Plan{}, &p.Mistakes[0]
	}
	if err := restoring(p); err != nil {
		return Plan{}, err
	}
	p = p.Clone()
	membership.SortStatuses(p.Members)
	plan, end, err := unroll("this plan", p, want, choose, after)
	if err != nil {
		return Plan{}, err
	}
	plan.End = end
	c := newPlanner(end, want)
	if left := c.leaveUnsignable(); len(left) > 0 {
		if plan.Lacking, plan.Unsigned = left, c.deferred[0]; !end.HasQuorum() {
			plan.Steps, plan.End = nil, p // it would be waited for in vain
		}
	}
	return plan, nil
}

// Signing says whether certificates can be signed now.
type Signing struct {
	// Refuse says why certificates of the steps cannot be signed, by authorities that are valid; nil: they can be.
	Refuse func(steps []membership.Step) error
	// Asked tells whether the configuration asks for the renewal that is due; nil: it does not.
	Asked func(member membership.MemberStatus) bool
	// Mends tells that the configuration asks for no change, so that a part of the repairs is worth having.
	Mends bool

	Recovered bool // the run has begun to recover the cluster
	Begun     bool // the run has begun: that nothing more can be done is its end, and no reason to refuse it
}

// refuses tells whether a step has certificates signed that cannot be signed now.
func (s Signing) refuses(step membership.Step) bool {
	return s.Refuse([]membership.Step{step}) != nil
}

// ChangeSigning plans like Change, as far as certificates can be signed. If some cannot, those that are merely due are
// left as they are: they hold, and keep no other step from being done; and members that are down come up with those
// that they have. Beyond that, a recovery goes as far as the first member that joins, and a plan that only mends leaves
// members alone that need certificates, and does for the others what is safe beside them. It refuses what has to be
// signed all the same.
func ChangeSigning(p membership.ClusterStatus, want membership.Spec, signing Signing) (Plan, error) {
	planned, err := Change(p, want)
	if err != nil {
		return Plan{}, err
	}
	refuse := signing.Refuse
	signing.Refuse = func(steps []membership.Step) error {
		if err := refuseEnded(p, steps); err != nil {
			return err
		}
		return refuse(steps)
	}
	unsigned := signing.Refuse(planned.Steps)
	if unsigned == nil {
		return planned, nil
	}
	signing.Recovered = signing.Recovered || isRecovered(p, want)
	p, due := withoutRenewals(p, signing.Asked)
	p.Unsigned = true
	renewed := planned.Steps
	if planned, err = Change(p, want); err != nil {
		return Plan{}, err
	}
	if err := signing.Refuse(planned.Steps); err != nil {
		part, safe := beforeJoins(p, want, planned, signing)
		if !safe && signing.Mends {
			part, safe = withoutStepsThatLack(p, want, signing)
		}
		if planned = part; !safe {
			return Plan{}, err
		}
		unsigned = err
	}
	planned.Unsigned = unsigned
	planned.Waiting = slices.DeleteFunc(due, func(s membership.MemberStatus) bool {
		return !slices.ContainsFunc(renewed, func(step membership.Step) bool { return step.Signs() && step.Subject() == s.Member })
	})
	return planned, nil
}

// refuseEnded refuses steps that have certificates signed by an authority of which none holds.
func refuseEnded(p membership.ClusterStatus, steps []membership.Step) error {
	for _, step := range steps {
		by := step.Signers
		if by == (membership.Authorities{}) {
			by = p.Signers.First()
		}
		if ended := by.Without(by.Without(p.Ended)); step.Signs() && ended != (membership.Authorities{}) {
			return &membership.Refusal{Summary: "The authorities have expired", Attribute: "pki", Member: step.Member, At: step.At,
				Rule:   fmt.Sprintf("it needs a certificate, and none holds that authority %s of pki signs: it, or one above it, has expired or is not valid yet", ended),
				Remedy: "give pki another authority, or the chain that was renewed above this one, and check the clock of this machine"}
		}
	}
	return nil
}

// besideLacking are the kinds of steps that are safe beside members that lack certificates: no voter comes, goes or is
// out of service for a while by them.
var besideLacking = []membership.Kind{membership.Stage, membership.Snapshot, membership.Start, membership.Stop, membership.Configure, membership.Agree,
	membership.RenewCertificates, membership.SyncConfiguration, membership.Firewall, membership.Disarm, membership.SetAside, membership.Retire,
	membership.BackUp, membership.RenewOnHosts}

// beforeJoins cuts a plan that recovers the cluster, or goes on after that, before the first member joins: the survivor
// serves, and the members that were given up join once their certificates can be signed. In an exchange of authorities
// it cuts the plan before it renews a certificate that holds. It returns false if anything else has to be signed first.
func beforeJoins(p membership.ClusterStatus, want membership.Spec, planned Plan, signing Signing) (part Plan, is bool) {
	joins := func(step membership.Step) bool {
		return step.Kind == membership.AddLearner || step.Kind == membership.Join
	}
	recovers := func(step membership.Step) bool { return step.Kind == membership.Recover }
	signed, cut := slices.IndexFunc(planned.Steps, signing.refuses), slices.IndexFunc(planned.Steps, joins)
	if signed < 0 || cut < 0 || !joins(planned.Steps[signed]) && !exchanges(statuses(p, want, planned.Steps)[signed], planned.Steps[signed]) {
		return Plan{}, false
	}
	if cut = min(cut, signed); !signing.Recovered && !slices.ContainsFunc(planned.Steps[:cut], recovers) {
		return Plan{}, false
	}
	c := newPlanner(p, want)
	for _, step := range planned.Steps[cut:] {
		switch s := p.Member(step.Subject()); {
		case step.Kind == membership.Readdress && s != nil && !s.Lacks:
			return Plan{}, false // the configuration asks for it, and the state would say that it was done
		case step.Kind == membership.RenewOnHosts && step.To != "":
			// It names no member, and another that names none must not keep it from being said.
			c.deferred = append(c.deferred, &membership.Refusal{Summary: membership.BeforeJoins, Rule: "this waits until the members that are given up have joined again: " + step.String(),
				Remedy: "plan again once certificates can be signed"})
		case s == nil:
		case step.Kind == membership.Join && signing.refuses(step):
			s.Failed, s.Lacks = step.String(), true
			part.Lacking = append(part.Lacking, s.Member)
		case !s.Lacks && slices.Contains([]membership.Kind{membership.Roll, membership.RenewCertificates}, step.Kind):
			c.deferAs(&membership.Refusal{Summary: membership.BeforeJoins, Member: s.Name, At: s.Address,
				Rule:   fmt.Sprintf("this waits until the members that are given up have joined again, and none joins while certificates cannot be signed: %s", step),
				Remedy: "leave it out of the apply that recovers the cluster, or plan again once they can be"})
		}
	}
	c.failed()
	part.Deferred = append(planned.Deferred, c.deferred...)
	part.Steps, part.End = upTo(p, want, planned.Steps[:cut])
	for {
		survivor := newPlanner(part.End, want)
		step, found := survivor.backUp()
		if !found {
			step, found = survivor.endRenewals()
		}
		if !found {
			return part, true
		}
		part.Steps, part.End = append(part.Steps, step), after(part.End, want, step)
	}
}

// withoutStepsThatLack plans what can be done while certificates cannot be signed: it leaves out the steps that need
// some, and those that are not safe beside members that lack them. The member of such a step is brought up before it if
// the plan does so, and left alone from there on, as after a step on it has failed. It returns false if that does not
// come to a quorum, or takes what is not safe.
func withoutStepsThatLack(p membership.ClusterStatus, want membership.Spec, signing Signing) (planned Plan, mends bool) {
	p = p.Clone()
	var before []membership.Step // that bring up members of steps which are left out
	var lacking []membership.Member
	for {
		planned, err := Change(p, want)
		if err != nil {
			return Plan{}, false
		}
		along := statuses(p, want, planned.Steps)
		leaves := func(i int) bool {
			s := along[i].Member(planned.Steps[i].Subject())
			return s != nil && s.Failed == "" && !exchanges(along[i], planned.Steps[i]) // which comes later
		}
		unsafe := func(i int) bool {
			return signing.refuses(planned.Steps[i]) || !slices.Contains(besideLacking, planned.Steps[i].Kind)
		}
		i := firstStep(planned.Steps, func(i int) bool { return signing.refuses(planned.Steps[i]) && leaves(i) })
		if i < 0 {
			i = firstStep(planned.Steps, unsafe)
		}
		if i < 0 {
			planned.Steps, planned.Lacking = append(before, planned.Steps...), append(planned.Lacking, lacking...)
			return planned, planned.End.HasQuorum()
		}
		step := planned.Steps[i]
		if !leaves(i) {
			planned, mends = beforeExchange(p, want, planned, i, signing)
			planned.Steps, planned.Lacking = append(before, planned.Steps...), lacking
			return planned, mends || (len(before)+len(lacking) > 0 || signing.Begun) && planned.End.HasQuorum()
		}
		safe := i
		if first := firstStep(planned.Steps[:i], unsafe); first >= 0 {
			safe = first
		}
		n := broughtUp(step.Subject(), along[:safe+1], planned.Steps[:safe])
		if before, p = append(before, planned.Steps[:n]...), along[n]; n == 0 {
			lacking = append(lacking, step.Subject())
		}
		s := p.Member(step.Subject())
		s.Failed, s.Lacks, s.Waits = step.String(), signing.refuses(step), !signing.refuses(step)
	}
}

// exchanges tells whether a step renews certificates that hold, of a member that serves: it comes of an exchange of
// authorities.
func exchanges(p membership.ClusterStatus, step membership.Step) bool {
	s := p.Member(step.Subject())
	return step.Kind == membership.RenewCertificates && s != nil && s.State == membership.Healthy && !s.NeedsCertificates()
}

// beforeExchange cuts a plan before the first certificate that it only renews since authorities are exchanged: the
// present ones hold, and members are brought up with them. It returns false if nothing is left to do before that.
func beforeExchange(p membership.ClusterStatus, want membership.Spec, planned Plan, cut int, signing Signing) (part Plan, mends bool) {
	if planned.Steps[cut].Kind != membership.RenewCertificates {
		return Plan{}, false
	}
	c := newPlanner(p, want)
	for _, deferred := range planned.Deferred {
		c.deferAs(deferred)
	}
	for _, step := range planned.Steps[cut:] {
		if signing.refuses(step) {
			c.deferAs(&membership.Refusal{Summary: membership.LacksCertificate, Member: step.Member, At: step.At,
				Rule: "this waits while certificates cannot be signed: " + step.String(), Remedy: "plan again once they can be"})
		}
	}
	part.Deferred = c.deferred
	part.Steps, part.End = upTo(p, want, planned.Steps[:cut])
	return part, len(part.Steps) > 0 && part.End.HasQuorum()
}

// withoutRenewals returns the status in which no certificate is due, apart from those whose renewal the configuration
// asks for, and the members whose certificates are due and hold.
func withoutRenewals(p membership.ClusterStatus, asked func(membership.MemberStatus) bool) (left membership.ClusterStatus, due []membership.MemberStatus) {
	left = p.Clone()
	for i := range left.Members {
		s := &left.Members[i]
		if !s.Desired || s.Due == "" || s.NeedsCertificates() || asked != nil && asked(*s) {
			continue
		}
		due = append(due, *s)
		s.Due = ""
	}
	return left, due
}

// unroll chooses steps until there is none left, each from what the step before makes of p. what names the plan in the
// error about a plan without end.
func unroll[T any](what string, p T, want membership.Spec, choose func(T, membership.Spec) (membership.Step, []*membership.Refusal, error), after func(T, membership.Spec, membership.Step) T) (plan Plan, end T, err error) {
	for range maxSteps {
		step, deferred, err := choose(p, want)
		if err != nil {
			return Plan{}, p, err
		}
		if step == (membership.Step{}) {
			plan.Deferred = deferred
			return plan, p, nil
		}
		plan.Steps = append(plan.Steps, step)
		p = after(p, want, step)
	}
	return Plan{}, p, fmt.Errorf("%s has no end, which is a fault of the provider: nothing was changed; report it with the output of terraform plan", what)
}

// planner chooses the next step of a change.
type planner struct {
	membership.ClusterStatus
	observed membership.ClusterStatus // before it was compared with what is desired
	want     membership.Spec
	deferred []*membership.Refusal
	given    membership.Authorities // that every member is to trust by now
	sign     membership.Authorities // that can sign by now; of peers, or of clients, empty: none can
	anew     membership.Authorities // of these, those by which every member is given a certificate before it comes up
	peers    peers
}

// newPlanner returns the planner of a status, with the authorities that count for its members by now.
func newPlanner(p membership.ClusterStatus, want membership.Spec) *planner {
	c := &planner{ClusterStatus: p, observed: p, want: want}
	c.able()
	c.given, c.peers = c.needed(), peersIn(p)
	return c
}

// choose returns the first step of the first rule that has one, or the zero Step. A rule whose step is not safe now
// defers it and says why, and choose asks the next rule.
func choose(p membership.ClusterStatus, want membership.Spec) (membership.Step, []*membership.Refusal, error) {
	c := newPlanner(p, want)
	if step, err := recovery(p, want); err != nil || step != (membership.Step{}) {
		return c.providePeering(c.provide(step)), nil, err
	}
	if err := preconditions(p, want); err != nil {
		return membership.Step{}, nil, err
	}
	unsignable := len(c.leaveUnsignable()) > 0
	c.authorities()
	rules := []func() (membership.Step, bool){
		c.firewall,            // whoever is or becomes a member is let in, and nobody else
		c.expel,               // a member with other data than the rest gives its readers wrong answers
		c.heal,                // what is down comes up: nothing is safer than more healthy members
		c.renewCertificates,   // disturbs nobody
		c.removeStaleLearners, // unmanaged and undesired learners go before others come
		c.syncConfiguration,   // every member knows the others as they are
		c.cleanUp,             // hosts that have left the cluster
		c.removeDead,          // a dead voter goes before its replacement joins and votes
		c.admit,               // a learner under way becomes a voter
		c.replenish,           // at an even size, an arrival makes it odd again
		c.cancel,              // a downgrade that is no longer desired
		c.move,                // another address of the same machine, before it is configured for anything else
		c.rollForward,         // settings, unit, a newer etcd
		c.disarm,              // after a roll, that may have raised the quota
		c.removeLeaver,        // a member that leaves, once there are more voters than desired
		c.arrive,              // a new member
		c.rollBackward,        // an older etcd, once every member is one that stays in the cluster
		c.rebuild,             // a healthy member that is to be built anew
		c.backUp,              // by the members of the finished cluster
		c.remove,              // what is left of an exchange of authorities
		c.limitPeers,          // what is left of a change of peers' common name
		c.renewOnHosts,        // by the signer of the finished exchange; nothing waits for a host that cannot ask it
	}
	switch failed := c.failed(); {
	case c.Corrupt && c.Agreed && !unsignable:
		// The cluster takes no writes until the alarm is disarmed, so that comes before all else.
		rules = []func() (membership.Step, bool){c.firewall, c.clearCorrupt, c.expel, c.heal, c.renewCertificates, c.removeStaleLearners, c.cleanUp, c.removeDead, c.deferCorrupt}
	case c.Corrupt:
		rules = []func() (membership.Step, bool){c.firewall, c.clearCorrupt, c.heal, c.renewCertificates, c.deferCorrupt}
	case unsignable:
		// What needs no certificate is safe: no voter comes, goes or is out of service for a while by it.
		rules = []func() (membership.Step, bool){c.firewall, c.heal, c.renewCertificates, c.syncConfiguration, c.cleanUp, c.disarm, c.backUp, c.endRenewals}
	case failed:
		// Repairs of other members are safer done than left. Steps that take a voter away for a while are not.
		rules = []func() (membership.Step, bool){c.firewall, c.expel, c.heal, c.renewCertificates, c.removeStaleLearners, c.syncConfiguration, c.cleanUp, c.removeDead, c.admit, c.replenish, c.disarm, c.backUp, c.endRenewals}
	}
	for _, rule := range rules {
		if step, found := rule(); found {
			return c.providePeering(c.provide(step)), nil, nil
		}
	}
	return membership.Step{}, c.deferred, nil
}

// failed tells whether a step of this run has failed, and defers each member whose step did.
func (c *planner) failed() bool {
	found := false
	for _, s := range c.Members {
		if s.Failed != "" {
			found = true
			switch {
			case s.Waits:
				c.defers(s, membership.BeforeCertificates, "this is not done while certificates of other members cannot be signed: "+s.Failed, "plan again once they can be")
				continue
			case s.Lacks:
				c.deferred = append(c.deferred, &membership.Refusal{Summary: membership.LacksCertificate, Member: s.Name, At: s.Address,
					Rule: "this waits while certificates cannot be signed: " + s.Failed, Remedy: "plan again once they can be"})
				continue
			}
			c.defers(s, membership.StepFailed, "this has failed: "+s.Failed, "fix what the error says, and apply again")
		}
	}
	return found
}

// defers records that a step has to wait, and why. For a member with several reasons it keeps the first.
func (c *planner) defers(s membership.MemberStatus, summary, rule, remedy string) (membership.Step, bool) {
	c.deferAs(&membership.Refusal{Summary: summary, Waits: true, Member: s.Name, At: s.Address, Rule: rule, Remedy: remedy})
	return membership.Step{}, false
}

// deferAs records a refusal that a step of its member has to wait for, unless there is one already.
func (c *planner) deferAs(refusal *membership.Refusal) {
	if !slices.ContainsFunc(c.deferred, func(h *membership.Refusal) bool { return h.Member == refusal.Member && h.At == refusal.At }) {
		c.deferred = append(c.deferred, refusal)
	}
}

// step returns a step on a member.
func step(kind membership.Kind, s membership.MemberStatus) membership.Step {
	return membership.Step{Kind: kind, Member: s.Name, At: s.Address}
}

// first returns the first member for which is holds.
func first(members []membership.MemberStatus, is func(membership.MemberStatus) bool) (membership.MemberStatus, bool) {
	for _, s := range members {
		if is(s) {
			return s, true
		}
	}
	return membership.MemberStatus{}, false
}
