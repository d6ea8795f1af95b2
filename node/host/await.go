package host

import (
	"context"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
)

const (
	// longestJoin bounds the wait for a member that keeps making progress. The run that asks has a deadline of its own.
	longestJoin = 24 * time.Hour
	// readyPoll is how often the host asks the metrics port, which takes the member 0.2 ms.
	readyPoll = 25 * time.Millisecond
	// unitPoll is how often the host asks systemd whether the unit has failed.
	unitPoll = 500 * time.Millisecond
	// learnerPoll is how often the host asks systemd whether a learner has reported that it is started.
	learnerPoll = 100 * time.Millisecond
	// lostRestarts is after how many restarts by systemd a member counts as one that will not start. One or two
	// restarts only mean a port that is still in use, or a peer that was not there yet.
	lostRestarts = 3
	// stallGrace is how long a member that serves reads may take to report that it is started. It only has to get its
	// name agreed on by then, which takes milliseconds.
	stallGrace = time.Second
)

// Await waits until the member is ready, will not start, is stalled, or has made no progress for the requested time.
// Then it observes the member, with the end of its journal unless the member is ready.
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
	w := &wait{Machine: m, begun: time.Now(), cluster: cluster, request: r, hopeless: hopeless, over: time.AfterFunc(r.Timeout, cancel)}
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
		o, err := m.look(ctx, cluster, r.ObserveRequest, time.Since(w.begun))
		o.Gained = w.gained
		if err != nil || !settled || hopeless(o.Unit) || isReady(o, r) {
			o = m.withLog(ctx, cluster, r.ObserveRequest, o)
			if len(o.Unit.Journal) == 0 && err == nil && !isReady(o, r) {
				o.Unit.Journal = m.failure(ctx, cluster)
			}
			return o, err
		}
		if r.Stalled && stalled == nil && o.Unit.ActiveState == "activating" {
			stalled = time.After(stallGrace)
		}
		// It serves, but systemd has not heard of it yet, or not all other members have published their names.
		select {
		case <-waiting.Done():
		case <-stalled:
			o.Stalled = o.Unit.ActiveState == "activating"
			return o, nil
		case <-time.After(2 * readyPoll):
		}
	}
}

// isReady tells whether the member is what the caller waits for: a learner, or a healthy member of a cluster of this
// size whose members all have names.
func isReady(o api.Observation, r api.AwaitRequest) bool {
	switch {
	case o.Unit.ActiveState != "active", !api.ServesAll(o.Served, r.Serving):
		return false
	case r.Learner:
		return isFollowing(o.Member)
	case !o.Member.Responding || !o.Member.Ready || !o.Member.Healthy:
		return false // one that has not told its status has told no IDs, which the caller writes down
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

// isFollowing tells whether a member is a learner that has found its cluster. A learner does not report that it is
// ready before it votes.
func isFollowing(v api.Member) bool { return v.Responding && v.Learner && v.Leader != "" }

// serves tells whether a member does what is asked of it: a voter answers reads that need a quorum, and a learner
// follows a leader.
func serves(v api.Member) bool { return v.Healthy || isFollowing(v) }

// wait is one wait for a member.
type wait struct {
	*Machine
	cluster  string
	request  api.AwaitRequest
	hopeless func(api.UnitState) bool
	begun    time.Time
	over     *time.Timer // ends the wait
	pace     pace.Pace
	gained   bool // it has come further
}

// asked is the member, with the patience of somebody who has waited for it since the wait began.
func (w *wait) asked(marker api.Marker) etcdclient.Local {
	return w.after(marker, time.Since(w.begun))
}

// untilSettled waits until the member reports that it is ready, serves as if it were, or has a hopeless unit. It
// returns false if the time ends before.
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

// serves tells whether the member is ready, or serves as if it were.
func (w *wait) serves(ctx context.Context, marker api.Marker) bool {
	if !w.request.Learner {
		return w.asked(marker).Ready(ctx)
	}
	// Its client port takes connections from the start, and answers none of them before the unit is active.
	if state, err := w.Units.State(ctx, api.Unit(w.cluster)); err == nil && state.ActiveState == "active" {
		return true
	}
	// Without data, a read would only wait, and fill the journal.
	return w.request.Stalled && w.pace.Applied() > 0 && w.asked(marker).Answers(ctx, "/readyz/linearizable_read")
}

// extend restarts the time of the wait if the member has made progress. Entries that a serving voter applies are no
// progress towards being ready.
func (w *wait) extend(ctx context.Context, marker api.Marker, process int) {
	if !w.pace.Gains(ctx, process) || !w.request.Learner && w.asked(marker).Answers(ctx, "/readyz/linearizable_read") {
		return
	}
	if ctx.Err() != nil {
		return // the wait was over before the member could answer
	}
	w.gained = true
	w.over.Reset(w.request.Timeout)
}
