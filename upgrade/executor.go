package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// stepGrace is what a step that has begun may take beyond the time of the resource: it is finished, and not left half done.
const stepGrace = 5 * time.Minute

// forever bounds a step of a run that has no deadline.
const forever = 24 * time.Hour

// step is the context of a step that begins now. It is not cut short when the run is to stop. What bounds it is the time
// of the resource, in which it is waited for as long as it comes further, and never a time that somebody's disk or line
// would exceed.
func (r *run) step(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := forever
	if deadline, bounded := ctx.Deadline(); bounded {
		limit = max(time.Until(deadline), stepGrace)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// Executor carries out plans on the hosts of one cluster. It knows no policy: it observes, has the
// plan made from what it just saw, does the head of it, and looks again, until the plan is empty.
type Executor struct {
	Cluster  bootstrap.Cluster
	Hosts    map[membership.Member]Host
	Signer   Signer            // signs what hosts request; nil for plans that configure nothing
	Holder   api.Holder        // who we are, for the lock
	Progress func(line string) // a line a step, before it is done
	Now      func() time.Time
	// Patience is how long Observe waits for a member that does not serve, and may by itself. A change has a patience
	// of its own, with those that it has not started itself.
	Patience time.Duration
}

// Signer signs a certificate request that a host made for one of its keys. It refuses one that asks
// for anything but what is desired.
type Signer interface {
	Sign(ctx context.Context, want api.KeyRequest, request string) (certificate string, err error)
}

// run is the state of one run over all of its steps.
type run struct {
	*Executor
	formation  bootstrap.Formation
	decided    bool                // which formation it is
	did        []membership.Step   // steps begun, in the order of the plans
	retirement api.RetireRequest   // what a step of kind Retire asks for
	members    []membership.Member // whose hosts are looked at, in the order of their names

	locked  bool // on every host that had a store to hold the lock when the last step was begun
	checked bool // the whole plan against what was approved
	held    map[membership.Member]bool
	release []func()

	outer   context.Context // of the run: it ends where the run is to stop before its next step
	mu      sync.Mutex      // steps of one batch report at the same time
	reports bootstrap.Reports
	touched map[membership.Member]bool // hosts that calls of this run have changed since the last look
}

// loop is what a run does over and over: look, plan, and act.
type loop struct {
	look   func(context.Context)
	plan   func() ([]membership.Step, error)
	act    func(context.Context, membership.Step) error
	finish func(context.Context) error // what is done under the lock when no step is left; nil: nothing
	// endure tells whether the run goes on without steps that were done in vain; nil: it does not.
	endure func(batch []membership.Step, err error) bool
}

// newRun is a new run that looks at the hosts of these members.
func (e *Executor) newRun(members []membership.Member) *run {
	return &run{Executor: e, members: members, held: map[membership.Member]bool{}, reports: bootstrap.Reports{}, touched: map[membership.Member]bool{}}
}

// repeat looks, plans and does the head of the plan, until the plan is empty.
func (r *run) repeat(ctx context.Context, j loop) error {
	defer r.unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.outer = ctx
	var before []membership.Step
	times := map[string]int{}
	next := "anything was done"
	for {
		j.look(ctx)
		clear(r.touched)
		// A look that was cut short says nothing of the hosts.
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before %s: %w", next, context.Cause(ctx))
		}
		steps, err := j.plan()
		if err != nil || len(steps) == 0 && j.finish == nil {
			return err
		}
		batch := membership.Batch(steps)
		// A store has to be there before it can hold a lock; to put one there disturbs nobody. All else
		// waits for the lock, and is decided anew under it.
		if len(batch) == 0 || batch[0].Kind != membership.Install {
			news, err := r.lock(ctx, cancel)
			if err != nil {
				return err
			}
			if news {
				continue
			}
		}
		if len(batch) == 0 {
			return j.finish(ctx)
		}
		// What was done a moment ago, or again and again, would be done for ever.
		key := fmt.Sprint(batch)
		if times[key]++; slices.Equal(before, batch) || times[key] > oftenEnough {
			err := fmt.Errorf("%s: it was done, and has to be done again%s", batch[0], r.evidence())
			if j.endure == nil || !j.endure(batch, err) {
				return err
			}
			continue
		}
		if err := r.do(ctx, j, batch, len(steps)); err != nil {
			return err
		}
		before = batch
		next = "it was seen that nothing is left to do"
		if left := steps[len(batch):]; len(left) > 0 {
			next = strconv.Quote(left[0].String())
		}
	}
}

// oftenEnough is how often a run does the same step. The most that any plan asks for is once for each of
// seven members that move, when the others' configuration is settled.
const oftenEnough = 14

// mustBeShown refuses steps that the plan has not shown. Before the first step all of them are compared, so that nothing is
// begun that cannot be finished. Without the lock, what is seen may be another run in the middle of its work: who that is,
// the lock tells. changed says what is not as it was.
func (r *run) mustBeShown(steps []membership.Step, approved func(membership.Step) bool, changed string) error {
	switch {
	case !r.locked:
		return nil
	case r.checked:
		steps = membership.Batch(steps)
	}
	for _, step := range steps {
		if !approved(step) {
			return &membership.Refusal{Rule: fmt.Sprintf("%s when this was planned: it takes a step that the plan has not shown (%s)", changed, step), Remedy: "plan again", Outdated: true}
		}
	}
	r.checked = true
	return nil
}

// evidence is what is the matter with the members that are set up.
func (r *run) evidence() string {
	var b strings.Builder
	for _, m := range r.Cluster.Members {
		report := r.reports[m]
		if report.Observation == nil || report.Observation.Unit.Text == "" {
			continue
		}
		if why := notReady(report, len(r.Cluster.Members)); why != "" {
			fmt.Fprintf(&b, "\n%s is not ready: %s", m, why)
		}
	}
	return b.String()
}

// do carries out the steps of a batch together. It is not cut short when ctx ends: a step that has
// begun is finished, or ends some time after the resource's own time, and the run stops before the next one.
func (r *run) do(ctx context.Context, j loop, batch []membership.Step, left int) error {
	ctx, cancel := r.step(ctx)
	defer cancel()
	total := len(r.did) + left
	for _, step := range batch {
		r.did = append(r.did, step)
		r.Progress(fmt.Sprintf("%d/%d %s", len(r.did), total, step))
	}
	act := func(step membership.Step) error {
		if err := j.act(ctx, step); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		return nil
	}
	followers, leader := r.leaderApart(batch)
	return errors.Join(together(followers, act), together(leader, act))
}

// leaderApart sets the step apart that stops who leads, where others stop at the same time. etcd hands the leadership
// over before it stops, for up to 7 s, and among members that all stop there is nobody to take it. Once the others
// are gone it does not try.
func (r *run) leaderApart(batch []membership.Step) (followers, leader []membership.Step) {
	switch batch[0].Kind {
	case membership.Fence, membership.Stop, membership.Open, membership.Retire:
	default:
		return batch, nil
	}
	for _, step := range batch {
		o := r.reports[step.Subject()].Observation
		if o != nil && o.Member.Leader != "" && o.Member.Leader == o.Member.MemberID {
			leader = append(leader, step)
		} else {
			followers = append(followers, step)
		}
	}
	return followers, leader
}

// until is the context of a wait that may be given up: it ends with the step's own, and where the run is to
// stop.
func (r *run) until(ctx context.Context) (context.Context, func()) {
	waiting, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.outer, func() { cancel(context.Cause(r.outer)) })
	return waiting, func() { stop(); cancel(nil) }
}

// together does the same to all at once, and joins what fails.
func together[T any](all []T, do func(T) error) error {
	failures := make([]error, len(all))
	var group sync.WaitGroup
	for i, one := range all {
		group.Go(func() { failures[i] = do(one) })
	}
	group.Wait()
	return errors.Join(failures...)
}

// lock takes the cluster's lock on all hosts that have a store to hold it and that it is not held on yet, in
// the order of their addresses, so that of two runs one gets them all. cancel ends the run when any is lost.
// It says whether there was any to take.
func (r *run) lock(ctx context.Context, cancel context.CancelCauseFunc) (news bool, err error) {
	members := slices.Clone(r.members)
	slices.SortFunc(members, func(a, b membership.Member) int { return strings.Compare(a.Address, b.Address) })
	for _, m := range members {
		if r.held[m] || !r.callable(m) || r.holds(m) {
			continue
		}
		held, release, err := r.Hosts[m].Lock(ctx, r.storeToCall(m), r.Cluster.Name, r.Holder)
		if err != nil {
			return false, fmt.Errorf("lock cluster %s on %s: %w", r.Cluster.Name, m, err)
		}
		r.held[m], news = true, true
		r.release = append(r.release, release)
		context.AfterFunc(held, func() {
			cancel(fmt.Errorf("the lock on %s was lost: %w", m, context.Cause(held)))
		})
	}
	news = news || !r.locked
	r.locked = true
	return news, nil
}

// holds tells whether this run holds the lock of the machine that a member's address leads to, by another address of it.
func (r *run) holds(m membership.Member) bool {
	for other := range r.held {
		if r.reports[m].OneMachine(r.reports[other]) {
			return true
		}
	}
	return false
}

// unlock frees what lock took, in reverse order.
func (r *run) unlock() {
	for _, release := range slices.Backward(r.release) {
		release()
	}
	r.release, r.held, r.locked = nil, map[membership.Member]bool{}, false
}

// callable tells whether a store that can be called is on the member's host.
func (r *run) callable(m membership.Member) bool {
	return r.reports[m].Observation != nil
}

// storeToCall is the store that calls to the member's host go to.
func (r *run) storeToCall(m membership.Member) string {
	if o := r.reports[m].Observation; o != nil {
		return o.Store.SHA256
	}
	return ""
}

// each asks the hosts of these members at once.
func each(members []membership.Member, ask func(membership.Member) bootstrap.Report) bootstrap.Reports {
	var mu sync.Mutex
	var group sync.WaitGroup
	reports := bootstrap.Reports{}
	for _, m := range members {
		group.Go(func() {
			report := ask(m)
			mu.Lock()
			defer mu.Unlock()
			reports[m] = report
		})
	}
	group.Wait()
	return reports
}
