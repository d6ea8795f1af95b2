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
)

// Order is a change of a living cluster, as a plan has shown it.
type Order struct {
	Owner string              // the token that its hosts carry
	Seats []membership.Member // those that it has, wanted or not
	// Approved are the steps that the plan has shown: what takes others is not done. nil: the plan could not
	// know, and has said so.
	Approved []membership.Step
	// Machines are the IDs of the machines that the plan saw at these seats. Who answers as another by now is no host of
	// this plan. nil: the plan saw none.
	Machines map[membership.Member]string
	// Served are the members that served when the plan was made.
	Served []membership.Member
}

// Outcome is what became of a change.
type Outcome struct {
	Sight    bootstrap.Sight       // the last look at the hosts
	Deferred []*membership.Refusal // what has to wait, and why
	Done     []membership.Step
	// Acknowledged are entries of the log that members, by their ID, were seen to have on their disks.
	Acknowledged map[string]uint64
}

// changeRun is one run that changes a living cluster.
type changeRun struct {
	*work
	order   Order
	checked bool // the whole plan against what was approved

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
	picture               membership.Picture
	deferred              []*membership.Refusal
}

// Change makes a living cluster what is wanted, from wherever it is, or an earlier run left it. What it
// returns is true where it fails too.
func (e *Executor) Change(ctx context.Context, order Order) (Outcome, error) {
	sight := bootstrap.Sight{}
	for _, m := range order.Seats {
		sight[m] = bootstrap.Report{}
	}
	l := &changeRun{work: e.work(e.Cluster.Seats(sight)), order: order, staged: map[membership.Member]string{}, served: map[membership.Member]bool{}, failing: map[membership.Member]bool{}, stalled: map[membership.Member]bool{},
		applied: map[string]uint64{}, acknowledged: map[string]uint64{},
		renewed: map[membership.Member]bool{}, failed: map[membership.Member]string{}, unarmed: map[membership.Member]bool{}}
	for _, m := range order.Served {
		l.served[m] = true
	}
	err := l.run(ctx, job{look: l.look, plan: l.plan, act: l.act, endure: l.inVain})
	held := slices.DeleteFunc(l.deferred, func(r *membership.Refusal) bool { // of these the errors tell
		return l.failed[membership.Member{Name: r.Member, Address: r.At}] != ""
	})
	return Outcome{Sight: l.reports, Deferred: held, Done: l.did, Acknowledged: l.acknowledged}, errors.Join(errors.Join(l.faults...), err)
}

// look observes every host. One that could not be asked at first is not waited for again in this run: each time
// would take until its connection is given up.
func (l *changeRun) look(ctx context.Context) {
	asked := slices.DeleteFunc(slices.Clone(l.seats), func(m membership.Member) bool { return l.reports[m].Err != nil })
	seen := l.observeAll(ctx, asked, l.patience)
	if ctx.Err() != nil {
		return
	}
	l.looked = true
	l.acknowledge(seen)
	for m, report := range seen {
		l.reports[m] = report
	}
}

// acknowledge notes what members have on their disks. etcd applies an entry while it may still be writing it; but it
// answers no linearizable read before it has written all that it had applied when it was asked. So what was applied at
// one look is on the disk by the next at which the member serves.
func (l *changeRun) acknowledge(seen bootstrap.Sight) {
	for _, report := range seen {
		if report.Observation == nil || !report.Observation.Member.Healthy {
			continue
		}
		view := report.Observation.Member
		l.acknowledged[view.MemberID] = max(l.acknowledged[view.MemberID], l.applied[view.MemberID])
		l.applied[view.MemberID] = view.AppliedIndex
	}
}

// samplePatience is how long a look waits for a member that does not serve, and may by itself: hosts say how long
// each of them is given.
const samplePatience = 30 * time.Second

// patience is how long the next look waits for a member. After the first look it waits for those alone that have
// served, and once: a failure that has lasted is known by then, and the run itself awaits those that it starts.
func (l *changeRun) patience(m membership.Member) time.Duration {
	if l.looked && (!l.served[m] || l.failing[m]) {
		return 0
	}
	return samplePatience
}

// plan is what is left to do, of what was approved.
func (l *changeRun) plan() ([]membership.Step, error) {
	// One that was there a moment ago is no host that is down: what it is to be taken for, somebody who plans
	// again decides.
	for _, m := range l.seats {
		if err := l.reports[m].Err; err != nil && l.work.held[m] {
			return nil, fmt.Errorf("%s cannot be asked any more: %w; nothing more is done: apply again to go on", m, err)
		}
	}
	l.picture = l.measured()
	if err := l.otherMachine(); err != nil && len(l.picture.Mistakes) == 0 {
		return nil, err
	}
	for _, s := range l.picture.Seats {
		l.unarmed[s.Member] = l.unarmed[s.Member] || s.Storeless
	}
	plan, err := Change(l.picture, l.Cluster.Spec)
	if err != nil {
		return nil, err
	}
	l.deferred = plan.Deferred
	for _, s := range l.picture.Voters() {
		l.served[s.Member] = l.served[s.Member] || s.State == membership.Healthy
		l.failing[s.Member] = s.State == membership.Unhealthy
	}
	// Before the first step the whole of it is compared, so that nothing is begun that cannot be finished. Without the
	// lock, what is seen may be another run in the middle of its work: who that is, the lock tells.
	ahead := plan.Steps
	switch {
	case !l.locked:
		ahead = nil
	case l.checked:
		ahead = membership.Batch(plan.Steps)
	}
	for _, step := range ahead {
		if !l.approved(step) {
			return nil, &membership.Refusal{Rule: fmt.Sprintf("the cluster is not as it was when this was planned: it takes a step that the plan has not shown (%s)", step), Remedy: "plan again"}
		}
	}
	l.checked = l.checked || l.locked
	if err := l.ceased(membership.Batch(plan.Steps)); err != nil {
		return nil, err
	}
	return plan.Steps, nil
}

// measured is the cluster by the last look, with what this run has done to it that no look shows.
func (l *changeRun) measured() membership.Picture {
	p := l.Cluster.Picture(l.order.Owner, l.reports, l.Now())
	p.Saved = l.saved
	for i := range p.Seats {
		s := &p.Seats[i]
		s.Failed, s.Staged, s.Certified = l.failed[s.Member], l.staged[s.Member], l.renewed[s.Member]
	}
	return p
}

// otherMachine refuses a host that is another machine than the one that the plan saw there.
func (l *changeRun) otherMachine() error {
	for _, m := range l.seats {
		if planned, now := l.order.Machines[m], l.reports[m].Machine(); planned != "" && now != "" && planned != now {
			return &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("the way to it leads to another machine than when this was planned (the machine ID is %s, and was %s)", now, planned),
				Remedy: "check address, ssh_address and ssh_port; if the machine was installed anew, plan again"}
		}
	}
	return nil
}

// ceased refuses steps that take service from a member, where one that has served does not any more, though its
// process runs, and nobody knows why: the plan was made, and begun, with more healthy voters than there are.
func (l *changeRun) ceased(steps []membership.Step) error {
	if !slices.ContainsFunc(steps, func(s membership.Step) bool {
		return slices.Contains([]membership.Kind{membership.Stop, membership.Roll, membership.Readdress, membership.Remove, membership.Recover}, s.Kind)
	}) {
		return nil
	}
	for _, s := range l.picture.Voters() {
		if s.State == membership.Unhealthy && l.served[s.Member] {
			return &membership.Refusal{Member: s.Name, At: s.Address, Rule: "it served when this was planned, and has ceased to: " + s.Why + "; nothing is stopped or removed while it is not known whether that lasts",
				Remedy: "see what keeps it (its journal, its disk, the network between the members), and plan again"}
		}
	}
	return nil
}

// approved tells whether a step was shown. The leadership may be elsewhere by now, and what takes care
// or waits does no harm.
func (l *changeRun) approved(step membership.Step) bool {
	switch step.Kind {
	case membership.Snapshot, membership.MoveLeader, membership.Agree, membership.SyncConfiguration, membership.Stage, membership.BackUp:
		return true
	}
	if step.Kind == membership.Disarm && step.To == bootstrap.AlarmCorrupt {
		return true // it is compared once more first
	}
	step.Sum = ""
	if l.comesTo(step) {
		return true
	}
	if l.order.Approved == nil {
		// Nobody was shown this: so nothing is stopped, unless those that are seen to serve are a quorum without it.
		return step.Kind != membership.Stop || l.picture.HasQuorum()
	}
	return slices.ContainsFunc(l.order.Approved, func(shown membership.Step) bool {
		shown.Sum = ""
		return shown == step
	})
}

// comesTo tells whether a step is a part of one that was shown. A member that crashes over and over runs at one look, and
// does not at the next; and one that was to be rolled, once it had been given certificates, may serve nobody still.
func (l *changeRun) comesTo(step membership.Step) bool {
	return slices.ContainsFunc(l.order.Approved, func(shown membership.Step) bool {
		if shown.Subject() != step.Subject() {
			return false
		}
		switch step.Kind {
		case membership.Stop:
			return shown.Kind == membership.Configure || shown.Kind == membership.Roll && l.renewed[step.Subject()]
		case membership.Start:
			return shown.Kind == membership.Roll && l.renewed[step.Subject()] || shown.Kind == membership.Stage && l.unarmed[step.Subject()]
		case membership.Configure:
			return shown.Kind == membership.Roll && l.renewed[step.Subject()]
		}
		return false
	})
}

// enduring are the kinds of steps after whose failure the run goes on with other members: whatever has come of one, the
// next look sees, and nobody else's safety hangs on it.
var enduring = []membership.Kind{membership.Stage, membership.Stop, membership.Configure, membership.Start, membership.RenewCertificates, membership.SetAside, membership.Retire}

// act does one step. Where it fails, and others can be mended without it, they are, and its error ends the run afterwards.
func (l *changeRun) act(ctx context.Context, step membership.Step) error {
	err := l.carryOut(ctx, step)
	if slices.Contains(enduring, step.Kind) {
		return l.endure(step, step.Subject(), err)
	}
	return err
}

// endure notes what a step has failed by at a member, unless the run is to end at once.
func (l *changeRun) endure(step membership.Step, m membership.Member, err error) error {
	if err == nil || l.outer.Err() != nil {
		return err
	}
	l.mu.Lock()
	l.failed[m] = step.String()
	l.faults = append(l.faults, fmt.Errorf("%s: %w", step, err))
	l.mu.Unlock()
	l.say(fmt.Sprintf("%s: failed, and nothing more is done to it in this run: %s", m, err))
	return nil
}

// inVain notes that steps were done and changed nothing that can be seen, where the run goes on without them.
func (l *changeRun) inVain(batch []membership.Step, err error) bool {
	if !slices.Contains(enduring, batch[0].Kind) || l.outer.Err() != nil {
		return false
	}
	for _, step := range batch {
		l.failed[step.Subject()] = step.String()
		l.say(fmt.Sprintf("%s (%s): nothing more is done to it in this run", step.Member, step.At))
	}
	l.faults = append(l.faults, err)
	return true
}

// carryOut does one step.
func (l *changeRun) carryOut(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	switch step.Kind {
	case membership.Stage:
		return l.stage(ctx, m, step.To)
	case membership.Snapshot:
		return l.snapshot(ctx, m)
	case membership.Start:
		return l.tell(ctx, m, api.OpStart, api.StartRequest{})
	case membership.Stop:
		return l.stopFailing(ctx, m, false)
	case membership.Agree:
		return l.agree(ctx, step)
	case membership.Configure:
		return l.configure(ctx, m)
	case membership.RenewCertificates:
		return l.renewCertificates(ctx, m)
	case membership.SyncConfiguration:
		return l.syncConfiguration(ctx, step)
	case membership.BackUp:
		return l.backUp(ctx)
	case membership.MoveLeader:
		return l.moveLeader(ctx, m, step.To)
	case membership.Readdress:
		return l.readdress(ctx, m)
	case membership.Roll:
		return l.roll(ctx, m)
	case membership.AddLearner:
		return l.addLearner(ctx, m)
	case membership.Join:
		return l.join(ctx, m, step.To)
	case membership.Promote:
		return l.promote(ctx, m)
	case membership.Remove:
		return l.remove(ctx, step)
	case membership.SetAside:
		aside, err := ask[api.SetAside](ctx, l.work, m, api.OpSetAside, api.SetAsideRequest{Owner: l.order.Owner, Why: "left"})
		l.sayWhere(m, aside.Path)
		return err
	case membership.Retire:
		retired, err := ask[api.Retired](ctx, l.work, m, api.OpRetire, api.RetireRequest{Owner: l.order.Owner})
		l.sayWhere(m, retired.Path)
		return err
	case membership.Downgrade:
		return l.downgrade(ctx, step.To)
	case membership.Cancel:
		return l.throughLeader(ctx, api.OpDowngrade, api.DowngradeRequest{Owner: l.order.Owner})
	case membership.Disarm:
		if step.To == bootstrap.AlarmCorrupt {
			return l.acquit(ctx)
		}
		return l.disarm(ctx)
	case membership.Recover:
		return l.recover(ctx, m)
	}
	return fmt.Errorf("this build of the provider cannot carry out a step of kind %q", step.Kind)
}

// seat is the seat as it was last seen.
func (l *changeRun) seat(m membership.Member) membership.Seat {
	if s := l.picture.Seat(m); s != nil {
		return *s
	}
	return membership.Seat{Member: m}
}

// leader is the voter that leads, or, where that is not known, one that is healthy. It is never the
// one that is left out.
func (l *changeRun) leader(but membership.Member) (membership.Member, error) {
	healthy := slices.DeleteFunc(l.picture.Healthy(), func(s membership.Seat) bool { return s.Member == but })
	if len(healthy) == 0 {
		return membership.Member{}, fmt.Errorf("no healthy voter can be asked for it")
	}
	for _, s := range healthy {
		if s.ID == l.picture.Leader {
			return s.Member, nil
		}
	}
	return healthy[0].Member, nil
}

// throughLeader asks something of the cluster.
func (l *changeRun) throughLeader(ctx context.Context, op api.Operation, body any) error {
	through, err := l.leader(membership.Member{})
	if err != nil {
		return err
	}
	return l.tell(ctx, through, op, body)
}
