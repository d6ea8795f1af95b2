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

// stall is how long a member may come no further on its way up before it is given up. Elections on a busy disk were seen
// to take 18 s.
const stall = 2 * time.Minute

// awaitAll awaits members on all hosts at once, for as long as any of them comes further: one that has a large database
// to read takes many minutes, and the others can do nothing but wait for it.
func (r *run) awaitAll(ctx context.Context, members []membership.Member, ready func(bootstrap.Report) string, await func(membership.Member) (api.Observation, error)) bootstrap.Reports {
	for {
		gained := false
		var mu sync.Mutex
		reports := each(members, func(m membership.Member) bootstrap.Report {
			o, err := await(m)
			mu.Lock()
			defer mu.Unlock()
			gained = gained || o.Gained
			return bootstrap.Report{Observation: &o, Err: err}
		})
		unready := slices.ContainsFunc(members, func(m membership.Member) bool { return ready(reports[m]) != "" })
		if !unready || !gained || ctx.Err() != nil {
			return reports
		}
	}
}

// awaitReady waits until a voter is ready and serves a linearizable read, which it only does once it has
// applied all that the cluster had agreed on by then.
func (r *changeRun) awaitReady(ctx context.Context, m membership.Member) error {
	o, err := r.await(ctx, ctx, m, api.AwaitRequest{Timeout: stall})
	if err != nil {
		return err
	}
	if why := notReady(bootstrap.Report{Observation: &o}, len(o.Member.Members)); why != "" {
		return unready(why)
	}
	return nil
}

// awaitLearner waits until a learner has all data and serves. It copies that first, however long that takes. So
// it is waited for as long as it comes further, and until the run is to end: nothing is half done by that.
func (r *changeRun) awaitLearner(ctx context.Context, m membership.Member) error {
	waiting, stop := r.until(ctx)
	defer stop()
	o, err := r.await(ctx, waiting, m, api.AwaitRequest{Learner: true, Timeout: stall})
	switch {
	case err != nil && waiting.Err() != nil:
		return fmt.Errorf("it goes on copying the data; no data is at risk; apply again to resume: %w", context.Cause(waiting))
	case err != nil:
		return err
	}
	if !o.Member.Responding || !o.Member.Learner {
		return errors.New("it did not come up as a learner: " + notReady(bootstrap.Report{Observation: &o}, len(o.Member.Members)))
	}
	return nil
}

// await waits for a member that was started, until the wait is given up, and restarts it once where it is stalled.
//
// A member has its name agreed on when it starts, and calls itself started once it has applied that. Where the
// name is part of a snapshot that the leader sends it, it never does. It tries again after 7 s, and refuses its own
// request for ever where the snapshot is more than 5000 entries long and nobody writes: it counts what it has
// applied by entries alone (EtcdServer.publishV3, applySnapshot, setAppliedIndex). It opens its client port to
// nobody meanwhile. Once restarted it has all data from the start. Its vote counts all the same, so that voters are
// restarted one at a time, and where the others are a quorum.
func (r *changeRun) await(ctx, waiting context.Context, m membership.Member, request api.AwaitRequest) (api.Observation, error) {
	request.ObserveRequest, request.Stalled = r.Cluster.Ask(), true
	var since time.Time // when it was first seen to be stalled: one that copies much data comes to that late
	for {
		o, err := ask[api.Observation](waiting, r.run, m, api.OpAwait, request)
		if err != nil || !o.Stalled || !since.IsZero() && time.Since(since) > stall {
			return o, err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if o, restarted, err := r.restartStalled(ctx, waiting, m, request); restarted || err != nil {
			return o, err
		}
		if err := pause(waiting, stalledPause); err != nil {
			return o, err
		}
	}
}

// stalledPause is how long a stalled voter waits for the others before it is looked at again.
const stalledPause = time.Second

// restartStalled restarts a stalled member and waits for it. false: it was not, since it is a voter, and the others
// are no quorum without it.
func (r *changeRun) restartStalled(ctx, waiting context.Context, m membership.Member, request api.AwaitRequest) (o api.Observation, restarted bool, err error) {
	if !request.Learner {
		r.mu.Lock()
		r.stalled[m] = true
		r.mu.Unlock()
		r.turn.Lock()
		defer r.turn.Unlock()
		// It may have come by itself while another one was restarted.
		if o, err = ask[api.Observation](waiting, r.run, m, api.OpAwait, request); err != nil || !o.Stalled {
			r.mu.Lock()
			delete(r.stalled, m)
			r.mu.Unlock()
			return o, true, err
		}
		if !r.spares(waiting, m) {
			return o, false, nil
		}
	}
	r.say(fmt.Sprintf("%s: has all data, and does not call itself started: restarted", m))
	r.mu.Lock()
	delete(r.stalled, m)
	r.mu.Unlock()
	if err := r.tell(ctx, m, api.OpRestart, api.RestartRequest{Owner: r.order.Owner}); err != nil {
		return o, false, err
	}
	request.Stalled = false
	o, err = ask[api.Observation](waiting, r.run, m, api.OpAwait, request)
	return o, true, err
}

// spares tells whether the other voters are a quorum without one: those that serve at this moment, and those that are
// stalled, which take part in all but serving clients.
func (r *changeRun) spares(ctx context.Context, m membership.Member) bool {
	size, able := 1, 0
	for _, s := range r.status.Voters() {
		if s.Member == m {
			continue
		}
		size++
		r.mu.Lock()
		stalled := r.stalled[s.Member]
		r.mu.Unlock()
		if stalled {
			able++
		} else if s.State != membership.Unreachable {
			if view, err := ask[api.Member](ctx, r.run, s.Member, api.OpProbe, api.ProbeRequest{}); err == nil && view.Healthy {
				able++
			}
		}
	}
	return size == 1 || able >= membership.Quorum(size)
}
