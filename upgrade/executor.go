// Package upgrade carries out plans on the hosts of a cluster: it observes the hosts, asks the planner (upgrade/plan)
// for the next steps, carries them out and observes again, until nothing is left. It knows how a step is done, and
// never whether it is right.
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

// stepGrace is how long a step that has begun may outlast the resource's timeout, so that it is completed rather than
// left half done.
const stepGrace = 5 * time.Minute

// noDeadline bounds a step of a run that has no deadline.
const noDeadline = 24 * time.Hour

// step returns the context for a step that begins now. The context is not canceled when the run is to stop. It is
// bounded by the resource's timeout, within which the step is waited for as long as it makes progress, and never by a
// constant that a slow disk or network would exceed.
func (r *run) step(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := noDeadline
	if deadline, bounded := ctx.Deadline(); bounded {
		limit = max(time.Until(deadline), stepGrace)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// Executor carries out plans on the hosts of one cluster. It decides nothing itself: it observes the hosts, has the
// plan made from that observation, carries out the plan's first batch and observes again, until the plan is empty.
type Executor struct {
	Cluster  bootstrap.Cluster
	Hosts    map[membership.Member]Host
	Signer   Signer            // signs what hosts request; may be nil for plans that configure nothing
	Holder   api.Holder        // the name of this run in the lock
	Progress func(line string) // gets a line for each step before it begins
	Now      func() time.Time
	// Patience is how long Observe waits for a member that does not serve but may start to by itself. A change uses
	// its own patience.
	Patience time.Duration
}

// Signer signs the certificate request that a host made for one of its keys. It refuses a request for anything but
// what is desired. by names the authority (cert.Name); empty: the desired one.
type Signer interface {
	Sign(ctx context.Context, by string, want api.KeyRequest, request string) (certificate string, err error)
}

// Prober is a Signer that asks other processes, which may be out of reach or refuse.
type Prober interface {
	// Probe has a throw-away certificate signed, or returns why it cannot be signed. It does nothing if the key is at
	// hand.
	Probe(ctx context.Context, by string, want api.KeyRequest) error
}

// run is the state of one run across all of its steps.
type run struct {
	*Executor
	formation  bootstrap.Formation
	decided    bool                // the formation is final
	begunSteps []membership.Step   // steps begun, in the order of the plans
	retirement api.RetireRequest   // the request of a step of kind Retire
	members    []membership.Member // whose hosts are observed, in the order of their names

	// tried are the newcomers whose hosts have tried what a member needs, each with where it has dialed peers.
	tried     map[membership.Member][]string
	doubts    []string          // warnings for the user, from what hosts have tried
	inspected bootstrap.Reports // first contacts of hosts, with an inventory

	probed  map[probe]bool // what the signer has signed in this run
	locked  bool           // on every host that had a store to hold the lock when the last step began
	checked bool           // the whole plan was compared with what was approved
	held    map[membership.Member]bool
	release []func()

	peers func() []string // that hosts let in; nil: the desired members

	// canSpare tells whether the run leaves a host alone on which a call of an earlier run has not ended; nil: it does
	// not.
	canSpare func(membership.Member) bool

	runContext context.Context // ends when the run is to stop before its next step
	mu         sync.Mutex      // steps of one batch run concurrently
	reports    bootstrap.Reports
	touched    map[membership.Member]bool  // hosts that this run has changed since the last observation
	hung       map[membership.Member]error // hosts that took a call of this run, and then answered nothing at all
}

// loop is what a run repeats: observe, plan, act.
type loop struct {
	look func(context.Context)
	plan func() ([]membership.Step, error)
	// before may refuse steps before the first batch of them begins. If it tells that it has asked the hosts something,
	// which may have taken long, they are observed and the steps are planned again. nil: nothing is asked.
	before func(ctx context.Context, steps []membership.Step) (asked bool, err error)
	act    func(context.Context, membership.Step) error
	finish func(context.Context) error // runs under the lock when no step is left; may be nil
	// tolerate tells whether the run continues without steps that had no visible effect; nil means that it does not.
	tolerate func(batch []membership.Step, err error) bool
	// unsigned tells whether the run plans once more after its signer was seen to fail; nil means that it does not.
	unsigned func(err error) bool
}

// newRun returns a new run that observes the hosts of these members.
func (e *Executor) newRun(members []membership.Member) *run {
	return &run{Executor: e, members: members, held: map[membership.Member]bool{}, reports: bootstrap.Reports{}, touched: map[membership.Member]bool{}, probed: map[probe]bool{},
		tried: map[membership.Member][]string{}, inspected: bootstrap.Reports{}, hung: map[membership.Member]error{}}
}

// repeat observes, plans and carries out the plan's first batch, until the plan is empty.
func (r *run) repeat(ctx context.Context, j loop) error {
	defer r.unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.runContext = ctx
	var before []membership.Step
	times := map[string]int{}
	next := "anything was done"
	for {
		j.look(ctx)
		clear(r.touched)
		// An interrupted observation is no basis for a plan.
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before %s: %w", next, context.Cause(ctx))
		}
		steps, err := j.plan()
		if err != nil || len(steps) == 0 && j.finish == nil {
			return err
		}
		if err := r.maySign(steps); err != nil {
			return err
		}
		if err := r.probeSigner(ctx, steps); err != nil {
			if ctx.Err() == nil && j.unsigned != nil && j.unsigned(err) {
				continue
			}
			return err
		}
		batch := membership.Batch(steps)
		// A host needs a store before it can hold a lock, and installing one disturbs nobody. Everything else waits
		// for the lock, and is planned again under it.
		if len(batch) == 0 || batch[0].Kind != membership.Install {
			newly, err := r.lock(ctx, cancel)
			if err != nil {
				return err
			}
			if newly {
				continue
			}
		}
		if len(batch) == 0 {
			return j.finish(ctx)
		}
		if j.before != nil {
			asked, err := j.before(ctx, steps)
			if err != nil {
				return err
			}
			if asked {
				continue
			}
		}
		// A batch that was just done, or done many times, would be repeated forever.
		key := fmt.Sprint(batch)
		if times[key]++; slices.Equal(before, batch) || times[key] > maxRepeats {
			err := fmt.Errorf("%s: the step was done, and is still needed%s", batch[0], r.evidence())
			if j.tolerate == nil || !j.tolerate(batch, err) {
				return err
			}
			continue
		}
		if err := r.try(ctx, batch, steps); err != nil {
			return err
		}
		if err := r.do(ctx, j, batch, len(steps)); err != nil {
			return err
		}
		before = batch
		next = "it was confirmed that nothing is left to do"
		if left := steps[len(batch):]; len(left) > 0 {
			next = strconv.Quote(left[0].String())
		}
	}
}

// maySign refuses steps of which any has certificates signed, where clocks differ too much for that: before the first
// step, and whatever has changed since.
func (r *run) maySign(steps []membership.Step) error {
	if !slices.ContainsFunc(steps, membership.Step.Signs) {
		return nil
	}
	return r.reports.Clocks().MaySign(r.Cluster.Members)
}

// maxRepeats is how often a run may repeat the same step. The most that a plan needs is one for each of seven members
// that move, to sync the others' configuration.
const maxRepeats = 14

// mustBeShown refuses steps that the plan did not show. Before the first step it checks the whole plan, so that the
// run begins nothing that it may not finish. Without the lock it checks nothing: the hosts may show another run in
// progress, and taking the lock then names that run. changed says what has changed since the plan.
func (r *run) mustBeShown(steps []membership.Step, approved func(membership.Step) bool, changed string) error {
	switch {
	case !r.locked:
		return nil
	case r.checked:
		steps = membership.Batch(steps)
	}
	for _, step := range steps {
		if !approved(step) {
			return &membership.Refusal{Rule: fmt.Sprintf("%s when this was planned: it needs a step that the plan has not shown (%s)", changed, step), Remedy: "plan again", Outdated: true}
		}
	}
	r.checked = true
	return nil
}

// evidence describes the members that are configured but not ready.
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

// do carries out the steps of a batch together. It does not stop when ctx ends: a step that has begun is completed, or
// ends some time after the resource's timeout, and the run stops before the next step.
func (r *run) do(ctx context.Context, j loop, batch []membership.Step, left int) error {
	ctx, cancel := r.step(ctx)
	defer cancel()
	total := len(r.begunSteps) + left
	for _, step := range batch {
		r.begunSteps = append(r.begunSteps, step)
		r.Progress(fmt.Sprintf("%d/%d %s", len(r.begunSteps), total, step))
	}
	act := func(step membership.Step) error {
		if err := j.act(ctx, step); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		return nil
	}
	followers, leader := r.splitLeader(batch)
	return errors.Join(inParallel(followers, act), inParallel(leader, act))
}

// splitLeader separates the step that stops the leader from those that stop other members at the same time. etcd
// spends up to 7 s on handing the leadership over before it stops, in vain if all members are stopping. Once the
// others are gone it does not try.
func (r *run) splitLeader(batch []membership.Step) (followers, leader []membership.Step) {
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

// untilStopped returns the context for a wait that may be abandoned: it ends with the step's context, and when the run
// is to stop.
func (r *run) untilStopped(ctx context.Context) (context.Context, func()) {
	waiting, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.runContext, func() { cancel(context.Cause(r.runContext)) })
	return waiting, func() { stop(); cancel(nil) }
}

// inParallel calls do for all items concurrently, and joins the errors.
func inParallel[T any](all []T, do func(T) error) error {
	failures := make([]error, len(all))
	var group sync.WaitGroup
	for i, one := range all {
		group.Go(func() { failures[i] = do(one) })
	}
	group.Wait()
	return errors.Join(failures...)
}

// lock takes the cluster's lock on every host that has a store to hold it and where the run does not hold it yet.
// Hosts are locked in the order of their addresses, so that of two competing runs one gets all locks. Losing any lock
// cancels the run. newly tells whether any lock was taken, or a host is left alone from now on.
func (r *run) lock(ctx context.Context, cancel context.CancelCauseFunc) (newly bool, err error) {
	members := slices.Clone(r.members)
	slices.SortFunc(members, func(a, b membership.Member) int { return strings.Compare(a.Address, b.Address) })
	for _, m := range members {
		if r.held[m] || !r.callable(m) || r.locksSameMachine(m) {
			continue
		}
		held, release, err := r.host(m).Lock(ctx, r.storeToCall(m), r.Cluster.Name, r.Holder)
		var busy *api.Error
		if errors.As(err, &busy) && busy.Code == api.CodeBusy && busy.Holder == nil && r.canSpare != nil && r.canSpare(m) {
			r.reports[m] = bootstrap.Report{Err: fmt.Errorf("%w: %s", bootstrap.ErrStillAtWork, busy.Message)}
			r.Progress(fmt.Sprintf("%s: this run leaves its host alone, and counts it as one that cannot be reached: %s", m, busy.Message))
			newly = true
			continue
		}
		if err != nil {
			return false, fmt.Errorf("lock cluster %s on %s: %w", r.Cluster.Name, m, err)
		}
		r.held[m], newly = true, true
		r.release = append(r.release, release)
		context.AfterFunc(held, func() {
			cancel(fmt.Errorf("the lock on %s was lost: %w", m, context.Cause(held)))
		})
	}
	newly = newly || !r.locked
	r.locked = true
	return newly, nil
}

// locksSameMachine tells whether the run holds the lock of the member's machine through another address.
func (r *run) locksSameMachine(m membership.Member) bool {
	for other := range r.held {
		if r.reports[m].OneMachine(r.reports[other]) {
			return true
		}
	}
	return false
}

// unlock releases the locks in reverse order.
func (r *run) unlock() {
	for _, release := range slices.Backward(r.release) {
		release()
	}
	r.release, r.held, r.locked = nil, map[membership.Member]bool{}, false
}

// callable tells whether the member's host has a store that can be called.
func (r *run) callable(m membership.Member) bool {
	return r.reports[m].Observation != nil
}

// storeToCall returns the store that handles calls to the member's host.
func (r *run) storeToCall(m membership.Member) string { return storeOn(r.reports[m]) }

// storeOn returns the store that a host selected when it was observed, or "", for the one that it selects.
func storeOn(report bootstrap.Report) string {
	if o := report.Observation; o != nil {
		return o.Store.SHA256
	}
	return ""
}

// askEach asks the hosts of these members concurrently.
func askEach(members []membership.Member, ask func(membership.Member) bootstrap.Report) bootstrap.Reports {
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
