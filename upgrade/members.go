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
func (r *changeRun) addLearner(ctx context.Context, m membership.Member) error {
	return r.throughLeader(ctx, api.OpAddLearner, api.AddLearnerRequest{Owner: r.order.Owner, PeerURL: r.Cluster.PeerURL(m), Timeout: patience})
}

// join configures a learner and starts it.
func (r *changeRun) join(ctx context.Context, m membership.Member, version string) error {
	request, err := r.configureRequest(m, version, r.joins(m))
	if err != nil {
		return err
	}
	if err := r.certified(ctx, m, request); err != nil {
		return err
	}
	if err := r.tell(ctx, m, api.OpStart, api.StartRequest{}); err != nil {
		return err
	}
	return r.awaitLearner(ctx, m)
}

// joins is what the marker of a learner says while it joins. One that was told to be formed before its promotion, and
// was not promoted, stays so: its guard wants its data from then on.
func (r *changeRun) joins(m membership.Member) api.Phase {
	if o := r.reports[m].Observation; o != nil && o.Marker != nil && o.Marker.Phase == api.PhaseFormed && o.Data.HasMember {
		return api.PhaseFormed
	}
	return api.PhaseJoining
}

// promote waits until a learner has caught up, arms its guard, and gives it its vote.
func (r *changeRun) promote(ctx context.Context, m membership.Member) error {
	through, err := r.leader(m)
	if err != nil {
		return err
	}
	if err := r.catchUp(ctx, m, through); err != nil {
		return err
	}
	if err := r.sameHash(ctx, []membership.Member{through, m}); err != nil {
		return err
	}
	// From its first vote on it must never start again without its data.
	request, err := r.configureRequest(m, r.runs(m), api.PhaseFormed)
	if err != nil {
		return err
	}
	if err := r.tell(ctx, m, api.OpConfigure, request); err != nil {
		return err
	}
	if err := r.tell(ctx, through, api.OpPromote, api.PromoteRequest{Owner: r.order.Owner, ID: r.member(m).ID, Timeout: patience}); err != nil {
		return err
	}
	if err := r.awaitReady(ctx, m); err != nil {
		return err
	}
	return r.confirm(ctx, fmt.Sprintf("%s votes", m), func(view api.Member) bool {
		for _, entry := range view.Members {
			if entry.ID == r.member(m).ID {
				return !entry.Learner
			}
		}
		return false
	})
}

// runs is the version of etcd that a member runs.
func (r *changeRun) runs(m membership.Member) string {
	if v := r.member(m).Version; v != "" && r.Cluster.StoresOf[v] != nil {
		return v
	}
	return r.Cluster.Version
}

// catchUp waits until a learner has been close to the leader for a while. It ends when the run is to end:
// nothing is half done by it.
func (r *changeRun) catchUp(ctx context.Context, m, leader membership.Member) error {
	waiting, stop := r.until(ctx)
	defer stop()
	var close time.Time
	lag := uint64(0)
	for {
		// The learner first, so that what the leader writes meanwhile counts against it.
		learner, err := ask[api.Member](ctx, r.run, m, api.OpProbe, api.ProbeRequest{})
		if err != nil {
			return err
		}
		leads, err := ask[api.Member](ctx, r.run, leader, api.OpProbe, api.ProbeRequest{})
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
func (r *changeRun) remove(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	id := step.To // of an unmanaged member
	if s := r.status.Member(m); s != nil {
		id = s.ID
		for _, other := range r.status.Members {
			if other.ID == id && id != "" && other.Member != m {
				return fmt.Errorf("etcd's list has one member at the addresses of %s and %s: nothing is removed; apply %s first", s, other, other)
			}
		}
		if s.Role == membership.Voter && s.State == membership.Healthy && len(r.status.Healthy())-1 >= membership.Quorum(r.status.Size()) {
			if err := r.tell(ctx, m, api.OpStop, api.StopRequest{Owner: r.order.Owner}); err != nil {
				return err
			}
		}
	}
	through, err := r.leader(m)
	if err != nil {
		return err
	}
	if err := r.tell(ctx, through, api.OpRemoveMember, api.RemoveMemberRequest{Owner: r.order.Owner, ID: id, Timeout: patience}); err != nil {
		return err
	}
	return r.confirm(ctx, fmt.Sprintf("%s is gone", step.Member), func(view api.Member) bool {
		for _, entry := range view.Members {
			if entry.ID == id {
				return false
			}
		}
		return true
	}, m)
}

// confirm waits until every healthy voter's own list shows a change. One that has left is not asked.
func (r *changeRun) confirm(ctx context.Context, what string, shows func(api.Member) bool, but ...membership.Member) error {
	var members []membership.Member
	for _, s := range r.status.Healthy() {
		if len(but) == 0 || s.Member != but[0] {
			members = append(members, s.Member)
		}
	}
	for {
		views, err := r.probe(ctx, members)
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
func (r *changeRun) downgrade(ctx context.Context, minor string) error {
	if err := r.throughLeader(ctx, api.OpDowngrade, api.DowngradeRequest{Owner: r.order.Owner, Version: minor}); err != nil {
		return err
	}
	var members []membership.Member
	for _, s := range r.status.Voters() {
		members = append(members, s.Member)
	}
	for {
		views, err := r.probe(ctx, members)
		if err != nil {
			return err
		}
		above := 0
		for _, view := range views {
			if membership.Minor(view.StorageVersion) != minor {
				above++
			}
		}
		if above == 0 {
			return nil
		}
		if err := pause(ctx, promotePoll); err != nil {
			return fmt.Errorf("the storage of %d members has not come down to %s: %w", above, minor, err)
		}
	}
}

// disarm defragments one member after the other. Each takes back the alarm that is its own: only it knows
// whether the reason is gone.
func (r *changeRun) disarm(ctx context.Context) error {
	for _, s := range r.status.Healthy() {
		if err := r.tell(ctx, s.Member, api.OpDisarm, api.DisarmRequest{Owner: r.order.Owner, Alarms: true}); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
