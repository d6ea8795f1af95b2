package host

import (
	"context"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
)

const (
	// longestJoin bounds the wait for a member that comes further all the time: the run that asks has a deadline of its own.
	longestJoin = 24 * time.Hour
	// readyPoll is how often the metrics port is asked: it costs it 0.2 ms.
	readyPoll = 25 * time.Millisecond
	// unitPoll is how often systemd is asked whether the unit has failed.
	unitPoll = 500 * time.Millisecond
	// learnerPoll is how often systemd is asked whether a learner calls itself started.
	learnerPoll = 100 * time.Millisecond
	// lostRestarts is how many times systemd starts a member again before it counts as one that will not
	// come. One or two are a port that is still taken, or a peer that was not there yet.
	lostRestarts = 3
	// stallGrace is how long a member that serves reads may take to call itself started. All that is left to do
	// is to have its name agreed on, which takes milliseconds.
	stallGrace = time.Second
)

// Await waits until the member is ready, will not come, is stalled, or has come no further for the time that is asked
// for, and observes then.
func (m *Machine) Await(ctx context.Context, cluster string, r api.AwaitRequest) (api.Observation, error) {
	if err := api.CheckTimeout(r.Timeout); err != nil {
		return api.Observation{}, err
	}
	before, err := m.Units.State(ctx, api.Unit(cluster))
	if err != nil {
		return api.Observation{}, err
	}
	hopeless := func(u api.UnitState) bool {
		return u.ActiveState == "failed" || u.Restarts-before.Restarts >= lostRestarts
	}
	waiting, cancel := context.WithTimeout(ctx, longestJoin)
	defer cancel()
	w := &wait{Machine: m, cluster: cluster, request: r, hopeless: hopeless, over: time.AfterFunc(r.Timeout, cancel)}
	defer w.over.Stop()
	if marker, err := m.records().Marker(cluster); err == nil && marker != nil {
		w.pace = m.paces().Of(*marker, r.Timeout)
		w.pace.Gains(ctx, before.MainPID) // what it has reached before is no progress
	}
	var stalled <-chan time.Time
	for {
		settled, err := w.untilSettled(waiting)
		if err != nil {
			return api.Observation{}, err
		}
		o, err := m.look(ctx, cluster, r.ObserveRequest)
		o.Gained = w.gained
		if err != nil || !settled || hopeless(o.Unit) || isReady(o, r) {
			return m.withLog(ctx, cluster, r.ObserveRequest, o), err
		}
		if r.Stalled && stalled == nil && o.Unit.ActiveState == "activating" {
			stalled = time.After(stallGrace)
		}
		// It serves, and systemd has not heard of it yet, or not all others have told their names.
		select {
		case <-waiting.Done():
		case <-stalled:
			o.Stalled = o.Unit.ActiveState == "activating"
			return o, nil
		case <-time.After(2 * readyPoll):
		}
	}
}

// isReady tells whether the member is what is awaited: a learner, or a healthy part of a cluster of this
// many, each with its name.
func isReady(o api.Observation, r api.AwaitRequest) bool {
	switch {
	case o.Unit.ActiveState != "active", !api.ServesAll(o.Served, r.Serving):
		return false
	case r.Learner:
		return isFollowing(o.Member)
	case !o.Member.Ready || !o.Member.Healthy:
		return false
	case r.Members == 0:
		return true
	case len(o.Member.Members) != r.Members:
		return false
	}
	for _, listed := range o.Member.Members {
		if listed.Name == "" {
			return false
		}
	}
	return true
}

// isFollowing tells whether a member is a learner that has found its cluster. It does not call itself ready
// before it votes.
func isFollowing(v api.Member) bool { return v.Responding && v.Learner && v.Leader != "" }

// serves tells whether a member does what is asked of it: a voter answers reads that need a quorum, and a learner follows.
func serves(v api.Member) bool { return v.Healthy || isFollowing(v) }

// wait is one wait for a member.
type wait struct {
	*Machine
	cluster  string
	request  api.AwaitRequest
	hopeless func(api.UnitState) bool
	over     *time.Timer // ends the wait
	pace     pace.Pace
	gained   bool // it has come further
}

// untilSettled waits until the member says that it is ready, serves as if it were, or its unit is hopeless;
// false: the time was over before that.
func (w *wait) untilSettled(ctx context.Context) (bool, error) {
	marker, err := w.records().Marker(w.cluster)
	if err != nil || marker == nil {
		return false, err
	}
	poll, look := time.NewTicker(readyPoll), time.NewTicker(unitPoll)
	if w.request.Learner {
		poll.Reset(learnerPoll)
	}
	defer poll.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case <-poll.C:
			if w.serves(ctx, *marker) {
				return true, nil
			}
		case <-look.C:
			state, err := w.Units.State(ctx, api.Unit(w.cluster))
			if ctx.Err() != nil {
				return false, nil
			}
			if err != nil || w.hopeless(state) {
				return true, err
			}
			w.extend(ctx, *marker, state.MainPID)
		}
	}
}

// serves tells whether the member is ready, or does what it does when it is.
func (w *wait) serves(ctx context.Context, marker api.Marker) bool {
	if !w.request.Learner {
		return w.local(marker).Ready(ctx)
	}
	// Its client port takes connections from the start, and answers none of them before the unit is active.
	if state, err := w.Units.State(ctx, api.Unit(w.cluster)); err == nil && state.ActiveState == "active" {
		return true
	}
	// A read before it has anything would only wait, and fill its journal.
	return w.request.Stalled && w.pace.Applied() > 0 && w.local(marker).Answers(ctx, "/readyz/linearizable_read")
}

// extend begins the time of the wait anew where the member has come further. What a voter applies that serves already
// brings it no nearer to being ready.
func (w *wait) extend(ctx context.Context, marker api.Marker, process int) {
	if !w.pace.Gains(ctx, process) || !w.request.Learner && w.local(marker).Answers(ctx, "/readyz/linearizable_read") {
		return
	}
	if ctx.Err() != nil {
		return // the wait was over before the member could answer
	}
	w.gained = true
	w.over.Reset(w.request.Timeout)
}
