package upgrade

import (
	"context"
	"fmt"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// patience is how long the store tries again where etcd refuses for the moment: 5 s after the start of the
	// member that it is asked through, and longer on a busy disk.
	patience = time.Minute

	// A learner is promoted once it was seen this close to the leader, in entries of the log, for this long.
	// etcd's own test, a tenth of the log, lets one pass that needs minutes to catch up, with a vote that
	// counts. A round of questions takes 20 ms on a near network, in which 10,000 writes a second are 200.
	promoteLag    = 500
	promoteStable = 2 * time.Second
	promotePoll   = 200 * time.Millisecond
)

// addLearner adds a member to the list.
func (l *changeRun) addLearner(ctx context.Context, m membership.Member) error {
	return l.throughLeader(ctx, api.OpAddLearner, api.AddLearnerRequest{Owner: l.order.Owner, PeerURL: l.Cluster.PeerURL(m), Timeout: patience})
}

// join configures a learner and starts it.
func (l *changeRun) join(ctx context.Context, m membership.Member, version string) error {
	request, err := l.wanted(m, version, l.joins(m))
	if err != nil {
		return err
	}
	if err := l.certified(ctx, m, request); err != nil {
		return err
	}
	if err := l.tell(ctx, m, api.OpStart, api.StartRequest{}); err != nil {
		return err
	}
	return l.awaitLearner(ctx, m)
}

// joins is what the marker of a learner says while it joins. One that was told to be formed before its promotion, and
// was not promoted, stays so: its guard wants its data from then on.
func (l *changeRun) joins(m membership.Member) api.Phase {
	if o := l.reports[m].Observation; o != nil && o.Marker != nil && o.Marker.Phase == api.PhaseFormed && o.Data.HasMember {
		return api.PhaseFormed
	}
	return api.PhaseJoining
}

// promote waits until a learner has caught up, arms its guard, and gives it its vote.
func (l *changeRun) promote(ctx context.Context, m membership.Member) error {
	through, err := l.leader(m)
	if err != nil {
		return err
	}
	if err := l.catchUp(ctx, m, through); err != nil {
		return err
	}
	if err := l.sameHash(ctx, []membership.Member{through, m}); err != nil {
		return err
	}
	// From its first vote on it must never start again without its data.
	request, err := l.wanted(m, l.runs(m), api.PhaseFormed)
	if err != nil {
		return err
	}
	if err := l.tell(ctx, m, api.OpConfigure, request); err != nil {
		return err
	}
	if err := l.tell(ctx, through, api.OpPromote, api.PromoteRequest{Owner: l.order.Owner, ID: l.seat(m).ID, Timeout: patience}); err != nil {
		return err
	}
	if err := l.awaitReady(ctx, m); err != nil {
		return err
	}
	return l.confirm(ctx, fmt.Sprintf("%s votes", m), func(view api.Member) bool {
		for _, entry := range view.Members {
			if entry.ID == l.seat(m).ID {
				return !entry.Learner
			}
		}
		return false
	})
}

// runs is the version of etcd that a member runs.
func (l *changeRun) runs(m membership.Member) string {
	if v := l.seat(m).Version; v != "" && l.Cluster.StoresOf[v] != nil {
		return v
	}
	return l.Cluster.Version
}

// catchUp waits until a learner has been close to the leader for a while. It ends when the run is to end:
// nothing is half done by it.
func (l *changeRun) catchUp(ctx context.Context, m, leader membership.Member) error {
	waiting, stop := l.until(ctx)
	defer stop()
	var close time.Time
	lag := uint64(0)
	for {
		// The learner first, so that what the leader writes meanwhile counts against it.
		learner, err := ask[api.Member](ctx, l.work, m, api.OpProbe, api.ProbeRequest{})
		if err != nil {
			return err
		}
		leads, err := ask[api.Member](ctx, l.work, leader, api.OpProbe, api.ProbeRequest{})
		if err != nil {
			return fmt.Errorf("ask %s (%s): %w", leader.Name, leader.Address, err)
		}
		lag = leads.RaftIndex - min(leads.RaftIndex, learner.AppliedIndex)
		switch now := time.Now(); {
		case !learner.Responding || !leads.Responding || lag > promoteLag:
			close = time.Time{}
		case close.IsZero():
			close = now
		case now.Sub(close) >= promoteStable:
			return nil
		}
		if err := pause(waiting, promotePoll); err != nil {
			return fmt.Errorf("learner is %d entries behind leader %s; no data is at risk; apply again to resume: %w", lag, leader.Name, err)
		}
	}
}

// remove takes a member off the list, and sees that it is in no member's list any more. etcd ends a removed
// member in the middle of its clients' requests. So where there is a voter to spare, as there has to be for a
// restart, one that serves is stopped first, which lets it finish them.
func (l *changeRun) remove(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	id := step.To // of a stranger
	if s := l.picture.Seat(m); s != nil {
		id = s.ID
		for _, other := range l.picture.Seats {
			if other.ID == id && id != "" && other.Member != m {
				return fmt.Errorf("etcd's list has one member at the addresses of %s and %s: nothing is removed; apply %s first", s, other, other)
			}
		}
		if s.Role == membership.Voter && s.State == membership.Healthy && len(l.picture.Healthy())-1 >= membership.Quorum(l.picture.Size()) {
			if err := l.tell(ctx, m, api.OpStop, api.StopRequest{Owner: l.order.Owner}); err != nil {
				return err
			}
		}
	}
	through, err := l.leader(m)
	if err != nil {
		return err
	}
	if err := l.tell(ctx, through, api.OpRemoveMember, api.RemoveMemberRequest{Owner: l.order.Owner, ID: id, Timeout: patience}); err != nil {
		return err
	}
	return l.confirm(ctx, fmt.Sprintf("%s is gone", step.Member), func(view api.Member) bool {
		for _, entry := range view.Members {
			if entry.ID == id {
				return false
			}
		}
		return true
	}, m)
}

// confirm waits until every healthy voter's own list shows a change. One that has left is not asked.
func (l *changeRun) confirm(ctx context.Context, what string, shows func(api.Member) bool, but ...membership.Member) error {
	var seats []membership.Member
	for _, s := range l.picture.Healthy() {
		if len(but) == 0 || s.Member != but[0] {
			seats = append(seats, s.Member)
		}
	}
	for {
		views, err := l.probe(ctx, seats)
		if err != nil {
			return err
		}
		var behind []string
		for m, view := range views {
			if !shows(view) {
				behind = append(behind, m.Name)
			}
		}
		if len(behind) == 0 {
			return nil
		}
		if err := pause(ctx, promotePoll); err != nil {
			return fmt.Errorf("%v do not know yet that %s: %w", behind, what, err)
		}
	}
}

// downgrade enables a downgrade and waits until the storage of every member has come down: one that is
// swapped before that does not start.
func (l *changeRun) downgrade(ctx context.Context, line string) error {
	if err := l.throughLeader(ctx, api.OpDowngrade, api.DowngradeRequest{Owner: l.order.Owner, Version: line}); err != nil {
		return err
	}
	var seats []membership.Member
	for _, s := range l.picture.Voters() {
		seats = append(seats, s.Member)
	}
	for {
		views, err := l.probe(ctx, seats)
		if err != nil {
			return err
		}
		above := 0
		for _, view := range views {
			if membership.Line(view.StorageVersion) != line {
				above++
			}
		}
		if above == 0 {
			return nil
		}
		if err := pause(ctx, promotePoll); err != nil {
			return fmt.Errorf("the storage of %d members has not come down to %s: %w", above, line, err)
		}
	}
}

// disarm defragments one member after the other. Each takes back the alarm that is its own: only it knows
// whether the reason is gone.
func (l *changeRun) disarm(ctx context.Context) error {
	for _, s := range l.picture.Healthy() {
		if err := l.tell(ctx, s.Member, api.OpDisarm, api.DisarmRequest{Owner: l.order.Owner, Alarms: true}); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
