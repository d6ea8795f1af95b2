package upgrade

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// Order is a change of a running cluster, as the plan showed it.
type Order struct {
	Owner   string              // the token that its hosts carry
	Members []membership.Member // all members that the cluster has, desired or not
	// Approved are the steps that the plan showed: the run carries out no others. nil means that the plan could not
	// know them, and said so.
	Approved []membership.Step
	// Machines are the IDs of the machines that the plan saw at these members. The run refuses a host that reports
	// another machine ID. nil means that the plan saw none.
	Machines map[membership.Member]string
	// Served are the members that were healthy when the plan was made.
	Served []membership.Member
	// Refuse returns why certificates of these steps cannot be signed, by what the configuration says; nil: they can.
	Refuse func(steps []membership.Step) error
	Mends  bool // the configuration asks for no change, so that a part of the repairs is worth having
}

// Outcome is the result of a change.
type Outcome struct {
	Reports  bootstrap.Reports     // the last observation of the hosts
	Deferred []*membership.Refusal // steps that have to wait, and why
	Done     []membership.Step
	// Acknowledged are entries of the log that members, by their ID, were seen to have on their disks.
	Acknowledged map[string]uint64
	Seen
}

// changeRun is one run that changes a running cluster.
type changeRun struct {
	*run
	order Order

	observedOnce bool // all hosts were observed at least once
	// served are voters that were seen to serve, by the plan or since the run began.
	served  map[membership.Member]bool
	failing map[membership.Member]bool // voters that ran at the last observation and did not serve
	// stalled are voters that serve reads but do not report that they have started.
	stalled map[membership.Member]bool
	// applied and acknowledged are log entries by member ID: at the last observation, and of those known to be on disk
	// by then.
	applied, acknowledged map[string]uint64
	restartLock           sync.Mutex                   // held while a stalled voter is restarted: one at a time
	saved                 bool                         // a snapshot was taken in this run
	staged                map[membership.Member]string // version of the store that was tried on the host in this run
	renewed               map[membership.Member]bool   // members that got new certificates in this run
	wasStoreless          map[membership.Member]bool   // members whose store was seen to be gone in this run
	removed               map[membership.Member]bool   // members that this run has removed, as all lists show
	failed                map[membership.Member]string // the step that failed in this run, by member
	// waiting are members that get no certificates in this run, though the plan showed that they do, or may.
	waiting    map[membership.Member]bool
	alike      map[string]bool          // the voters, by ID, that were seen to hold the same data in this run
	leaves     map[membership.Step]bool // removals of voters that were seen to hold other data than a quorum
	ended      []string                 // IDs of members that a recovery has ended for good
	away       error                    // why the signer cannot sign; nil: it was not seen to fail
	stepErrors []error                  // the errors of failed steps
	status     membership.ClusterStatus
	deferred   []*membership.Refusal
}

// Change makes a running cluster what is desired, from any state in which an earlier run may have left it. The outcome
// is accurate even if it returns an error.
func (e *Executor) Change(ctx context.Context, order Order) (Outcome, error) {
	e.Cluster = e.Cluster.Peering("", "") // each step says what its member may be given
	reports := bootstrap.Reports{}
	for _, m := range order.Members {
		reports[m] = bootstrap.Report{}
	}
	r := &changeRun{run: e.newRun(e.Cluster.AllMembers(reports)), order: order, staged: map[membership.Member]string{}, served: map[membership.Member]bool{}, failing: map[membership.Member]bool{}, stalled: map[membership.Member]bool{},
		applied: map[string]uint64{}, acknowledged: map[string]uint64{}, renewed: map[membership.Member]bool{}, failed: map[membership.Member]string{}, waiting: map[membership.Member]bool{}, wasStoreless: map[membership.Member]bool{}, removed: map[membership.Member]bool{},
		alike: map[string]bool{}, leaves: map[membership.Step]bool{}}
	r.peers = func() []string { return r.status.Peers() }
	r.canSpare = r.canDoWithout
	for _, m := range order.Served {
		r.served[m] = true
	}
	err := r.repeat(ctx, loop{look: r.look, plan: r.plan, before: r.sameData, act: r.act, tolerate: r.noteNoEffect, unsigned: r.doWithout})
	r.giveUpHung()
	deferred := slices.DeleteFunc(r.deferred, func(d *membership.Refusal) bool { // the errors already name these
		return r.failed[membership.Member{Name: d.Member, Address: d.At}] != ""
	})
	return Outcome{Reports: r.reports, Deferred: deferred, Done: r.begunSteps, Acknowledged: r.acknowledged, Seen: r.seen()}, errors.Join(errors.Join(r.stepErrors...), err)
}

// look observes every host. It looks again while members have connections with one whose address leads to another
// machine, or that does not run there: if the machine was replaced just now, they end within seconds of its reset, and
// at once if this run has stopped the member.
func (r *changeRun) look(ctx context.Context) {
	since, patience := time.Now(), firstPatience
	if r.observedOnce {
		patience = 5 * time.Second
	}
	r.lookOnce(ctx)
	// Two looks in a row have to show no connection: a peer may be making it anew, or have failed to answer.
	for without := 0; without < 2 && (without == 1 || r.runElsewhere() && time.Since(since) < patience) && pause(ctx, time.Second) == nil; {
		r.lookOnce(ctx)
		if without++; r.runElsewhere() {
			without = 0
		}
	}
}

// runElsewhere tells whether any member runs on another machine than the one that its address leads to.
func (r *changeRun) runElsewhere() bool {
	return slices.ContainsFunc(r.members, func(m membership.Member) bool {
		return r.Cluster.RunsElsewhere(r.order.Owner, r.reports, m) != ""
	})
}

// lookOnce observes every host. A host that could not be reached in the first observation, or hung in a call, is not
// tried again in this run: each attempt would take until its connection times out.
func (r *changeRun) lookOnce(ctx context.Context) {
	seen := r.observeAll(ctx, r.giveUpHung(), r.patience)
	if ctx.Err() != nil {
		return
	}
	r.observedOnce = true
	r.acknowledge(seen)
	r.noteInspected(seen)
	r.forgetEnded(seen)
	maps.Copy(r.reports, seen)
}

// acknowledge records which entries members have on disk. etcd may apply an entry while it is still writing it, but it
// answers a linearizable read only after it has written everything that was applied when the read arrived. So an entry
// applied at one observation is on disk by the next at which the member serves.
func (r *changeRun) acknowledge(seen bootstrap.Reports) {
	for _, report := range seen {
		if report.Observation == nil || !report.Observation.Member.Healthy {
			continue
		}
		view := report.Observation.Member
		r.acknowledged[view.MemberID] = max(r.acknowledged[view.MemberID], r.applied[view.MemberID])
		r.applied[view.MemberID] = view.AppliedIndex
	}
}

// firstPatience bounds how long an observation waits for a member that does not serve but may start to by itself; the
// host decides how much of it each member gets.
const firstPatience = 30 * time.Second

// patience returns how long the next observation waits for a member. After the first observation it waits once, and
// only for members that have served: a failure that lasts is known by then, and the run itself awaits the members that
// it starts.
func (r *changeRun) patience(m membership.Member) time.Duration {
	if r.observedOnce && (!r.served[m] || r.failing[m]) {
		return 0
	}
	return firstPatience
}

// plan returns the remaining steps, all of which were approved.
func (r *changeRun) plan() ([]membership.Step, error) {
	// A host that answered earlier in this run and no longer does is not counted as down here: only a new plan decides
	// that.
	for _, m := range r.members {
		if err := r.reports[m].Err; err != nil && r.run.held[m] {
			return nil, fmt.Errorf("%s can no longer be observed: %w; the run stops here: apply again to continue", m, err)
		}
	}
	r.status = r.assessed()
	if err := r.otherMachine(); err != nil && len(r.status.Mistakes) == 0 {
		return nil, err
	}
	for _, s := range r.status.Members {
		r.wasStoreless[s.Member] = r.wasStoreless[s.Member] || s.Storeless
	}
	planned, err := plan.ChangeSigning(r.status, r.Cluster.Spec, plan.Signing{Refuse: r.refuseToSign, Mends: r.order.Mends, Recovered: r.recovered(), Begun: len(r.begunSteps) > 0})
	if err != nil {
		return nil, err
	}
	for _, s := range planned.Waiting {
		r.leaveRenewal(s, planned.Unsigned)
	}
	for _, m := range planned.Lacking {
		r.status.Member(m).Failed = planned.Unsigned.Error() // nobody waits for it
		r.leaveLacking(m, planned.Unsigned)
	}
	r.deferred = planned.Deferred
	for _, s := range r.status.Voters() {
		r.served[s.Member] = r.served[s.Member] || s.State == membership.Healthy
		r.failing[s.Member] = s.State == membership.Unhealthy
	}
	if err := r.mustBeShown(planned.Steps, r.approved, "the cluster is not as it was"); err != nil {
		return nil, err
	}
	if err := r.mustStillServe(membership.Batch(planned.Steps)); err != nil {
		return nil, err
	}
	return planned.Steps, nil
}

// canDoWithout tells whether the run goes on without a host: its member does not serve, and a quorum does. Without a
// quorum it has to be stopped before anything is recovered.
func (r *changeRun) canDoWithout(m membership.Member) bool {
	return r.member(m).State != membership.Healthy && r.status.HasQuorum()
}

// recovered tells whether the run has begun to recover the cluster.
func (r *changeRun) recovered() bool {
	return slices.ContainsFunc(r.begunSteps, func(step membership.Step) bool { return step.Kind == membership.Recover })
}

// assessed returns the cluster status by the last observation, with what only this run knows about its own steps.
func (r *changeRun) assessed() membership.ClusterStatus {
	p := r.Cluster.Status(r.order.Owner, r.reports, r.Now())
	p.Saved = r.saved
	p.Unsigned = slices.ContainsFunc(r.order.Approved, func(shown membership.Step) bool { return shown.Kind == membership.Configure && shown.Keeps })
	for i := range p.Members {
		s := &p.Members[i]
		s.Failed, s.Staged, s.Certified = r.failed[s.Member], r.staged[s.Member], r.renewed[s.Member]
		if r.removed[s.Member] && s.Role == membership.Absent && s.State == membership.Healthy {
			s.State, s.Why = membership.Stopped, "it was removed" // its process ends a moment later
		}
		if r.waiting[s.Member] || !r.showsRenewal(*s) {
			s.Due = "" // what has become due since the plan is no reason to refuse the plan: the next one shows it
		}
	}
	return p
}

// showsRenewal tells whether the plan showed that a member's certificates are renewed since they are due, or showed no
// steps.
func (r *changeRun) showsRenewal(s membership.MemberStatus) bool {
	return r.order.Approved == nil || slices.ContainsFunc(r.order.Approved, func(shown membership.Step) bool {
		return shown.Kind == membership.RenewCertificates && shown.Subject() == s.Member && shown.Why == s.Due
	})
}

// otherMachine refuses a host that is not the machine that the plan saw there.
func (r *changeRun) otherMachine() error {
	for _, m := range r.members {
		if planned, now := r.order.Machines[m], r.reports[m].Machine(); planned != "" && now != "" && planned != now {
			return &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("its address leads to another machine than at the time of the plan (the machine ID is %s, and was %s)", now, planned),
				Remedy: "check address, ssh_address and ssh_port; if the machine was installed anew, plan again", Outdated: true}
		}
	}
	return nil
}

// mustStillServe refuses steps that take service from a member while a voter that has served runs but no longer does,
// for an unknown reason: the plan was made, and begun, with more healthy voters than there are now.
func (r *changeRun) mustStillServe(steps []membership.Step) error {
	if !slices.ContainsFunc(steps, func(s membership.Step) bool {
		return slices.Contains([]membership.Kind{membership.Stop, membership.Roll, membership.Readdress, membership.Remove, membership.Recover}, s.Kind)
	}) {
		return nil
	}
	for _, s := range r.status.Voters() {
		if s.State == membership.Unhealthy && r.served[s.Member] {
			return &membership.Refusal{Member: s.Name, At: s.Address, Rule: "it was healthy when this was planned and no longer is: " + s.Why + "; no member is stopped or removed until it is known whether that lasts",
				Remedy: "check its journal, its disk and the network between the members, then plan again", Outdated: true}
		}
	}
	return nil
}

// approved tells whether the plan showed a step. Steps that only protect or wait are always approved, since they do no
// harm, and so is a move of the leadership, which may be elsewhere by now.
func (r *changeRun) approved(step membership.Step) bool {
	switch step.Kind {
	case membership.Snapshot, membership.MoveLeader, membership.Agree, membership.SyncConfiguration, membership.Stage, membership.BackUp, membership.RenewOnHosts, membership.Firewall:
		return true
	}
	if step.Kind == membership.Disarm && step.To == bootstrap.AlarmCorrupt {
		return true // the data is compared again first
	}
	step.Sum = ""
	if r.isPartOfShown(step) {
		return true
	}
	if r.order.Approved == nil {
		// The plan showed no steps: so no member is stopped, unless the voters that are seen to serve are a quorum
		// without it.
		return step.Kind != membership.Stop || r.status.HasQuorum()
	}
	return slices.ContainsFunc(r.order.Approved, func(shown membership.Step) bool {
		shown.Sum = ""
		return shown == step
	})
}

// isPartOfShown tells whether a step is part of one that the plan showed. A member that crashes repeatedly may run at
// one observation and not at the next; a member that was to be rolled may still not serve after its certificates
// were renewed; and certificates that cannot be signed as shown stay, and get what belongs beside them.
func (r *changeRun) isPartOfShown(step membership.Step) bool {
	return slices.ContainsFunc(r.order.Approved, func(shown membership.Step) bool {
		if shown.Subject() != step.Subject() {
			return false
		}
		switch step.Kind {
		case membership.Remove: // for another reason: its host is left alone
			return shown.Kind == membership.Remove && errors.Is(r.reports[step.Subject()].Err, bootstrap.ErrStillAtWork)
		case membership.Stop:
			return shown.Kind == membership.Configure || shown.Kind == membership.Roll && r.renewed[step.Subject()]
		case membership.Start:
			return shown.Kind == membership.Roll && r.renewed[step.Subject()] || shown.Kind == membership.Stage && r.wasStoreless[step.Subject()]
		case membership.Configure:
			return shown.Kind == membership.Roll && r.renewed[step.Subject()] || step.Keeps && shown.Kind == membership.Configure && shown.Trusts == step.Trusts && shown.Demands == step.Demands
		case membership.RenewCertificates:
			return step.Keeps && shown.Kind == membership.RenewCertificates && shown.Trusts == step.Trusts
		}
		return false
	})
}

// tolerated are the kinds of steps whose failure lets the run continue with other members: the next observation shows
// the result, and no other member's safety depends on it.
var tolerated = []membership.Kind{membership.Stage, membership.Stop, membership.Configure, membership.Start, membership.RenewCertificates, membership.SetAside, membership.Retire}

// act carries out one step. If a step of a tolerated kind fails, the run continues with other members and returns the
// error at its end.
func (r *changeRun) act(ctx context.Context, step membership.Step) error {
	err := r.carryOut(ctx, step)
	if s := r.member(step.Subject()); step.Kind == membership.RenewCertificates && step.Why == s.Due && errors.Is(err, errUnsigned) && r.runContext.Err() == nil {
		r.leaveRenewal(s, err)
		return nil
	}
	if step.Kind == membership.Configure && errors.Is(err, errUnsigned) && r.runContext.Err() == nil && r.comesUpUnsigned(step.Subject(), err) {
		return nil
	}
	if slices.Contains(tolerated, step.Kind) && !errors.Is(err, errServesOther) {
		return r.noteFailure(step, step.Subject(), err)
	}
	return err
}

// noteFailure records that a step failed on a member. It returns the error if the run has to end at once.
func (r *changeRun) noteFailure(step membership.Step, m membership.Member, err error) error {
	if err == nil || r.runContext.Err() != nil {
		return err
	}
	r.mu.Lock()
	r.failed[m] = step.String()
	r.stepErrors = append(r.stepErrors, fmt.Errorf("%s: %w", step, err))
	r.mu.Unlock()
	r.say(fmt.Sprintf("%s: the step failed, and this run leaves the member alone from here on: %s", m, err))
	return nil
}

// noteNoEffect records that steps were done without a visible effect, and tells whether the run continues without
// them.
func (r *changeRun) noteNoEffect(batch []membership.Step, err error) bool {
	if !slices.Contains(tolerated, batch[0].Kind) || r.runContext.Err() != nil {
		return false
	}
	for _, step := range batch {
		r.failed[step.Subject()] = step.String()
		r.say(fmt.Sprintf("%s (%s): this run leaves the member alone from here on", step.Member, step.At))
	}
	r.stepErrors = append(r.stepErrors, err)
	return true
}

// carryOut carries out one step of any kind.
func (r *changeRun) carryOut(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	switch step.Kind {
	case membership.Stage:
		return r.stage(ctx, m, step.To)
	case membership.Snapshot:
		return r.snapshot(ctx, m)
	case membership.Start:
		return r.tell(ctx, m, api.OpStart, api.StartRequest{})
	case membership.Stop:
		return r.stopFailing(ctx, m, false)
	case membership.Agree:
		return r.agree(ctx, step)
	case membership.Configure:
		return r.configure(ctx, step)
	case membership.RenewCertificates:
		return r.renewCertificates(ctx, step)
	case membership.SyncConfiguration:
		return r.syncConfiguration(ctx, step)
	case membership.BackUp:
		return r.backUp(ctx)
	case membership.RenewOnHosts:
		return r.renewOnHosts(ctx)
	case membership.Firewall:
		return r.firewall(ctx, step)
	case membership.MoveLeader:
		return r.moveLeader(ctx, m, step.To)
	case membership.Readdress:
		return r.readdress(ctx, step)
	case membership.Roll:
		return r.roll(ctx, step)
	case membership.AddLearner:
		return r.addLearner(ctx, m)
	case membership.Join:
		return r.join(ctx, step)
	case membership.Promote:
		return r.promote(ctx, step)
	case membership.Remove:
		return r.remove(ctx, step)
	case membership.SetAside:
		aside, err := ask[api.SetAside](ctx, r.run, m, api.OpSetAside, api.SetAsideRequest{Owner: r.order.Owner, Why: "left"})
		r.sayWhere(m, aside.Path)
		return err
	case membership.Retire:
		retired, err := ask[api.Retired](ctx, r.run, m, api.OpRetire, api.RetireRequest{Owner: r.order.Owner})
		r.sayWhere(m, retired.Path)
		return err
	case membership.Downgrade:
		return r.downgrade(ctx, step.To)
	case membership.Cancel:
		return r.throughLeader(ctx, api.OpDowngrade, api.DowngradeRequest{Owner: r.order.Owner})
	case membership.Disarm:
		if step.To == bootstrap.AlarmCorrupt {
			return r.clearCorruptAlarm(ctx)
		}
		return r.disarm(ctx)
	case membership.Recover:
		return r.recover(ctx, step)
	}
	return fmt.Errorf("this build of the provider cannot carry out a step of kind %q", step.Kind)
}

// member returns a member's status by the last observation.
func (r *changeRun) member(m membership.Member) membership.MemberStatus {
	if s := r.status.Member(m); s != nil {
		return *s
	}
	return membership.MemberStatus{Member: m}
}
