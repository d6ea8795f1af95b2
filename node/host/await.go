package host

import (
	"context"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// longestAwait is the longest time that a call may be asked to wait.
	longestAwait = 10 * time.Minute
	// readyPoll is how often the metrics port is asked: it costs it 0.2 ms.
	readyPoll = 25 * time.Millisecond
	// unitPoll is how often systemd is asked whether the unit has failed.
	unitPoll = 500 * time.Millisecond
	// learnerPoll is how often a learner is asked for its status, for which it takes a TLS handshake.
	learnerPoll = 100 * time.Millisecond
	// lostRestarts is how many times systemd starts a member again before it counts as one that will not
	// come. One or two are a port that is still taken, or a peer that was not there yet.
	lostRestarts = 3
)

// Await waits until the member is ready, will not come, or the time is over, and observes then.
func (m *Machine) Await(ctx context.Context, cluster string, r api.AwaitRequest) (api.Observation, error) {
	if err := checkTimeout(r.Timeout); err != nil {
		return api.Observation{}, err
	}
	before, err := m.Units.State(ctx, api.Unit(cluster))
	if err != nil {
		return api.Observation{}, err
	}
	hopeless := func(u api.UnitState) bool {
		return u.ActiveState == "failed" || u.Restarts-before.Restarts >= lostRestarts
	}
	waiting, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	for {
		settled, err := m.untilSettled(waiting, cluster, r.Learner, hopeless)
		if err != nil {
			return api.Observation{}, err
		}
		o, err := m.Observe(ctx, cluster, r.ObserveRequest)
		if err != nil || !settled || hopeless(o.Unit) || isReady(o, r) {
			return o, err
		}
		// It serves, and systemd has not heard of it yet, or not all others have told their names.
		select {
		case <-waiting.Done():
		case <-time.After(2 * readyPoll):
		}
	}
}

// checkTimeout refuses a time limit by which a call would end at once, or block the host for too long.
func checkTimeout(timeout time.Duration) error {
	if timeout <= 0 || timeout > longestAwait {
		return refuse("a time limit of %s was given: give a positive one of at most %s", timeout, longestAwait)
	}
	return nil
}

// isReady tells whether the member is what is awaited: a learner, or a healthy part of a cluster of this
// many, each with its name.
func isReady(o api.Observation, r api.AwaitRequest) bool {
	switch {
	case o.Unit.ActiveState != "active":
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

// untilSettled waits until the member says that it is ready, or its unit is hopeless; false: the time
// was over before that.
func (m *Machine) untilSettled(ctx context.Context, cluster string, learner bool, hopeless func(api.UnitState) bool) (bool, error) {
	marker, err := m.marker(cluster)
	if err != nil || marker == nil {
		return false, err
	}
	poll, look := time.NewTicker(readyPoll), time.NewTicker(unitPoll)
	if learner {
		poll.Reset(learnerPoll)
	}
	defer poll.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case <-poll.C:
			if !learner && ready(ctx, marker.MetricsPort) || learner && isFollowing(m.member(ctx, *marker)) {
				return true, nil
			}
		case <-look.C:
			state, err := m.Units.State(ctx, api.Unit(cluster))
			if ctx.Err() != nil {
				return false, nil
			}
			if err != nil || hopeless(state) {
				return true, err
			}
		}
	}
}
