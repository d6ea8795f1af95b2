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
)

// Await waits until the member is ready, its unit has failed, or the time is over, and observes then.
func (m *Machine) Await(ctx context.Context, cluster string, r api.AwaitRequest) (api.Observation, error) {
	if r.Timeout <= 0 || r.Timeout > longestAwait {
		return api.Observation{}, refuse("a wait of %s was asked for: give a positive time of at most %s", r.Timeout, longestAwait)
	}
	waiting, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	for {
		settled, err := m.untilSettled(waiting, cluster)
		if err != nil {
			return api.Observation{}, err
		}
		o, err := m.Observe(ctx, cluster, r.ObserveRequest)
		if err != nil || !settled || o.Unit.ActiveState == "failed" || isReady(o, r.Members) {
			return o, err
		}
		// It serves, and systemd has not heard of it yet, or not all others have told their names.
		select {
		case <-waiting.Done():
		case <-time.After(2 * readyPoll):
		}
	}
}

// isReady tells whether the member is a healthy part of a cluster of this many, each with its name.
func isReady(o api.Observation, members int) bool {
	if o.Unit.ActiveState != "active" || !o.Member.Ready || !o.Member.Healthy || len(o.Member.Members) != members {
		return false
	}
	for _, listed := range o.Member.Members {
		if listed.Name == "" {
			return false
		}
	}
	return true
}

// untilSettled waits until the member says that it is ready, or its unit has failed; false: the time
// was over before that.
func (m *Machine) untilSettled(ctx context.Context, cluster string) (bool, error) {
	marker, err := m.marker(cluster)
	if err != nil || marker == nil {
		return false, err
	}
	poll, look := time.NewTicker(readyPoll), time.NewTicker(unitPoll)
	defer poll.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case <-poll.C:
			if ready(ctx, marker.MetricsPort) {
				return true, nil
			}
		case <-look.C:
			state, err := m.Units.State(ctx, api.Unit(cluster))
			if ctx.Err() != nil {
				return false, nil
			}
			if err != nil || state.ActiveState == "failed" {
				return true, err
			}
		}
	}
}
