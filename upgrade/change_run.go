package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// Order is a change of a living cluster, as a plan has shown it.
type Order struct {
	Owner   string              // the token that its hosts carry
	Members []membership.Member // those that it has, desired or not
	// Approved are the steps that the plan has shown: what takes others is not done. nil: the plan could not
	// know, and has said so.
	Approved []membership.Step
	// Machines are the IDs of the machines that the plan saw at these members. Who answers as another by now is no host of
	// this plan. nil: the plan saw none.
	Machines map[membership.Member]string
	// Served are the members that served when the plan was made.
	Served []membership.Member
}

// Outcome is what became of a change.
type Outcome struct {
	Reports  bootstrap.Reports     // the last look at the hosts
	Deferred []*membership.Refusal // what has to wait, and why
	Done     []membership.Step
	// Acknowledged are entries of the log that members, by their ID, were seen to have on their disks.
	Acknowledged map[string]uint64
}

// changeRun is one run that changes a living cluster.
type changeRun struct {
	*run
	order Order

	looked                bool                         // at all hosts, once
	served                map[membership.Member]bool   // voters that were seen to serve, by the plan or since the run began
	failing               map[membership.Member]bool   // voters that did not when they were last looked at, though they run
	stalled               map[membership.Member]bool   // voters that serve reads, and do not call themselves started
	applied, acknowledged map[string]uint64            // entries of the log, by member ID: at the last look, and by the last look known to be on disk
	turn                  sync.Mutex                   // of stalled voters, one is restarted at a time
	saved                 bool                         // a snapshot was taken in this run
	staged                map[membership.Member]string // version of the store that was tried on the host in this run
	renewed               map[membership.Member]bool   // whose certificates were issued anew in this run
	unarmed               map[membership.Member]bool   // whose store was seen to be gone in this run
	failed                map[membership.Member]string // steps that have failed in this run, by whom they were done to
	faults                []error                      // what they failed by
	status                membership.ClusterStatus
	deferred              []*membership.Refusal
}

// Change makes a living cluster what is desired, from wherever it is, or an earlier run left it. What it
// returns is true where it fails too.
func (e *Executor) Change(ctx context.Context, order Order) (Outcome, error) {
	reports := bootstrap.Reports{}
	for _, m := range order.Members {
		reports[m] = bootstrap.Report{}
	}
	r := &changeRun{run: e.newRun(e.Cluster.AllMembers(reports)), order: order, staged: map[membership.Member]string{}, served: map[membership.Member]bool{}, failing: map[membership.Member]bool{}, stalled: map[membership.Member]bool{},
		applied: map[string]uint64{}, acknowledged: map[string]uint64{},
		renewed: map[membership.Member]bool{}, failed: map[membership.Member]string{}, unarmed: map[membership.Member]bool{}}
	for _, m := range order.Served {
		r.served[m] = true
	}
	err := r.repeat(ctx, loop{look: r.look, plan: r.plan, act: r.act, endure: r.inVain})
	deferred := slices.DeleteFunc(r.deferred, func(d *membership.Refusal) bool { // of these the errors tell
		return r.failed[membership.Member{Name: d.Member, Address: d.At}] != ""
	})
	return Outcome{Reports: r.reports, Deferred: deferred, Done: r.did, Acknowledged: r.acknowledged}, errors.Join(errors.Join(r.faults...), err)
}

// look observes every host. One that could not be asked at first is not waited for again in this run: each time
// would take until its connection is given up.
func (r *changeRun) look(ctx context.Context) {
	asked := slices.DeleteFunc(slices.Clone(r.members), func(m membership.Member) bool { return r.reports[m].Err != nil })
	seen := r.observeAll(ctx, asked, r.patience)
	if ctx.Err() != nil {
		return
	}
	r.looked = true
	r.acknowledge(seen)
	for m, report := range seen {
		r.reports[m] = report
	}
}

// acknowledge notes what members have on their disks. etcd applies an entry while it may still be writing it; but it
// answers no linearizable read before it has written all that it had applied when it was asked. So what was applied at
// one look is on the disk by the next at which the member serves.
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

// samplePatience is how long a look waits for a member that does not serve, and may by itself: hosts say how long
// each of them is given.
const samplePatience = 30 * time.Second

// patience is how long the next look waits for a member. After the first look it waits for those alone that have
// served, and once: a failure that has lasted is known by then, and the run itself awaits those that it starts.
func (r *changeRun) patience(m membership.Member) time.Duration {
	if r.looked && (!r.served[m] || r.failing[m]) {
		return 0
	}
	return samplePatience
}

// plan is what is left to do, of what was approved.
func (r *changeRun) plan() ([]membership.Step, error) {
	// One that was there a moment ago is no host that is down: what it is to be taken for, somebody who plans
	// again decides.
	for _, m := range r.members {
		if err := r.reports[m].Err; err != nil && r.run.held[m] {
			return nil, fmt.Errorf("%s cannot be asked any more: %w; nothing more is done: apply again to go on", m, err)
		}
	}
	r.status = r.assessed()
	if err := r.otherMachine(); err != nil && len(r.status.Mistakes) == 0 {
		return nil, err
	}
	for _, s := range r.status.Members {
		r.unarmed[s.Member] = r.unarmed[s.Member] || s.Storeless
	}
	planned, err := plan.Change(r.status, r.Cluster.Spec)
	if err != nil {
		return nil, err
	}
	r.deferred = planned.Deferred
	for _, s := range r.status.Voters() {
		r.served[s.Member] = r.served[s.Member] || s.State == membership.Healthy
		r.failing[s.Member] = s.State == membership.Unhealthy
	}
	if err := r.mustBeShown(planned.Steps, r.approved, "the cluster is not as it was"); err != nil {
		return nil, err
	}
	if err := r.ceased(membership.Batch(planned.Steps)); err != nil {
		return nil, err
	}
	return planned.Steps, nil
}

// measured is the cluster by the last look, with what this run has done to it that no look shows.
func (r *changeRun) assessed() membership.ClusterStatus {
	p := r.Cluster.Status(r.order.Owner, r.reports, r.Now())
	p.Saved = r.saved
	for i := range p.Members {
		s := &p.Members[i]
		s.Failed, s.Staged, s.Certified = r.failed[s.Member], r.staged[s.Member], r.renewed[s.Member]
	}
	return p
}

// otherMachine refuses a host that is another machine than the one that the plan saw there.
func (r *changeRun) otherMachine() error {
	for _, m := range r.members {
		if planned, now := r.order.Machines[m], r.reports[m].Machine(); planned != "" && now != "" && planned != now {
			return &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("its address leads to another machine than at the time of the plan (the machine ID is %s, and was %s)", now, planned),
				Remedy: "check address, ssh_address and ssh_port; if the machine was installed anew, plan again", Outdated: true}
		}
	}
	return nil
}

// ceased refuses steps that take service from a member, where one that has served does not any more, though its
// process runs, and nobody knows why: the plan was made, and begun, with more healthy voters than there are.
func (r *changeRun) ceased(steps []membership.Step) error {
	if !slices.ContainsFunc(steps, func(s membership.Step) bool {
		return slices.Contains([]membership.Kind{membership.Stop, membership.Roll, membership.Readdress, membership.Remove, membership.Recover}, s.Kind)
	}) {
		return nil
	}
	for _, s := range r.status.Voters() {
		if s.State == membership.Unhealthy && r.served[s.Member] {
			return &membership.Refusal{Member: s.Name, At: s.Address, Rule: "it served when this was planned, and has ceased to: " + s.Why + "; nothing is stopped or removed while it is not known whether that lasts",
				Remedy: "see what keeps it (its journal, its disk, the network between the members), and plan again", Outdated: true}
		}
	}
	return nil
}

// approved tells whether a step was shown. The leadership may be elsewhere by now, and what takes care
// or waits does no harm.
func (r *changeRun) approved(step membership.Step) bool {
	switch step.Kind {
	case membership.Snapshot, membership.MoveLeader, membership.Agree, membership.SyncConfiguration, membership.Stage, membership.BackUp:
		return true
	}
	if step.Kind == membership.Disarm && step.To == bootstrap.AlarmCorrupt {
		return true // it is compared once more first
	}
	step.Sum = ""
	if r.comesTo(step) {
		return true
	}
	if r.order.Approved == nil {
		// Nobody was shown this: so nothing is stopped, unless those that are seen to serve are a quorum without it.
		return step.Kind != membership.Stop || r.status.HasQuorum()
	}
	return slices.ContainsFunc(r.order.Approved, func(shown membership.Step) bool {
		shown.Sum = ""
		return shown == step
	})
}

// comesTo tells whether a step is a part of one that was shown. A member that crashes over and over runs at one look, and
// does not at the next; and one that was to be rolled, once it had been given certificates, may serve nobody still.
func (r *changeRun) comesTo(step membership.Step) bool {
	return slices.ContainsFunc(r.order.Approved, func(shown membership.Step) bool {
		if shown.Subject() != step.Subject() {
			return false
		}
		switch step.Kind {
		case membership.Stop:
			return shown.Kind == membership.Configure || shown.Kind == membership.Roll && r.renewed[step.Subject()]
		case membership.Start:
			return shown.Kind == membership.Roll && r.renewed[step.Subject()] || shown.Kind == membership.Stage && r.unarmed[step.Subject()]
		case membership.Configure:
			return shown.Kind == membership.Roll && r.renewed[step.Subject()]
		}
		return false
	})
}

// enduring are the kinds of steps after whose failure the run goes on with other members: whatever has come of one, the
// next look sees, and nobody else's safety hangs on it.
var enduring = []membership.Kind{membership.Stage, membership.Stop, membership.Configure, membership.Start, membership.RenewCertificates, membership.SetAside, membership.Retire}

// act does one step. Where it fails, and others can be mended without it, they are, and its error ends the run afterwards.
func (r *changeRun) act(ctx context.Context, step membership.Step) error {
	err := r.carryOut(ctx, step)
	if slices.Contains(enduring, step.Kind) {
		return r.endure(step, step.Subject(), err)
	}
	return err
}

// endure notes what a step has failed by at a member, unless the run is to end at once.
func (r *changeRun) endure(step membership.Step, m membership.Member, err error) error {
	if err == nil || r.outer.Err() != nil {
		return err
	}
	r.mu.Lock()
	r.failed[m] = step.String()
	r.faults = append(r.faults, fmt.Errorf("%s: %w", step, err))
	r.mu.Unlock()
	r.say(fmt.Sprintf("%s: failed, and nothing more is done to it in this run: %s", m, err))
	return nil
}

// inVain notes that steps were done and changed nothing that can be seen, where the run goes on without them.
func (r *changeRun) inVain(batch []membership.Step, err error) bool {
	if !slices.Contains(enduring, batch[0].Kind) || r.outer.Err() != nil {
		return false
	}
	for _, step := range batch {
		r.failed[step.Subject()] = step.String()
		r.say(fmt.Sprintf("%s (%s): nothing more is done to it in this run", step.Member, step.At))
	}
	r.faults = append(r.faults, err)
	return true
}

// carryOut does one step.
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
		return r.configure(ctx, m)
	case membership.RenewCertificates:
		return r.renewCertificates(ctx, m)
	case membership.SyncConfiguration:
		return r.syncConfiguration(ctx, step)
	case membership.BackUp:
		return r.backUp(ctx)
	case membership.MoveLeader:
		return r.moveLeader(ctx, m, step.To)
	case membership.Readdress:
		return r.readdress(ctx, m)
	case membership.Roll:
		return r.roll(ctx, m)
	case membership.AddLearner:
		return r.addLearner(ctx, m)
	case membership.Join:
		return r.join(ctx, m, step.To)
	case membership.Promote:
		return r.promote(ctx, m)
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
			return r.acquit(ctx)
		}
		return r.disarm(ctx)
	case membership.Recover:
		return r.recover(ctx, m)
	}
	return fmt.Errorf("this build of the provider cannot carry out a step of kind %q", step.Kind)
}

// member is the member as it was last seen.
func (r *changeRun) member(m membership.Member) membership.MemberStatus {
	if s := r.status.Member(m); s != nil {
		return *s
	}
	return membership.MemberStatus{Member: m}
}

// leader is the voter that leads, or, where that is not known, one that is healthy. It is never the
// one that is left out.
func (r *changeRun) leader(but membership.Member) (membership.Member, error) {
	healthy := slices.DeleteFunc(r.status.Healthy(), func(s membership.MemberStatus) bool { return s.Member == but })
	if len(healthy) == 0 {
		return membership.Member{}, fmt.Errorf("no healthy voter can be asked for it")
	}
	for _, s := range healthy {
		if s.ID == r.status.Leader {
			return s.Member, nil
		}
	}
	return healthy[0].Member, nil
}

// throughLeader asks something of the cluster.
func (r *changeRun) throughLeader(ctx context.Context, op api.Operation, body any) error {
	through, err := r.leader(membership.Member{})
	if err != nil {
		return err
	}
	return r.tell(ctx, through, op, body)
}
