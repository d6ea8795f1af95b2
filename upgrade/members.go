package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

const (
	// retryTimeout is how long the store retries a request that etcd refuses for the moment: for 5 s after the start
	// of the member that is asked, and longer on a busy disk.
	retryTimeout = time.Minute

	// A learner is promoted once it has stayed this close to the leader, in log entries, for this long. etcd's own
	// test, a tenth of the log, would accept a learner that needs minutes to catch up, with a vote that counts. A
	// round of probes takes 20 ms on a near network; at 10,000 writes a second that is 200 entries.
	promoteLag    = 500
	promoteStable = 2 * time.Second
	promotePoll   = 200 * time.Millisecond
)

// addLearner adds a member to the member list as a learner, and waits until all members list it.
func (r *changeRun) addLearner(ctx context.Context, m membership.Member) error {
	url := r.Cluster.PeerURL(m)
	if err := r.throughLeader(ctx, api.OpAddLearner, api.AddLearnerRequest{Owner: r.order.Owner, PeerURL: url, Timeout: retryTimeout}); err != nil {
		return err
	}
	delete(r.removed, m)
	return r.confirm(ctx, fmt.Sprintf("%s was added", m), func(view api.Member) bool {
		return slices.ContainsFunc(view.Members, func(entry api.ListedMember) bool { return slices.Contains(entry.PeerURLs, url) })
	})
}

// join configures a learner, starts it, and waits until it has copied the data.
func (r *changeRun) join(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	request, err := r.configureRequest(m, step.Demands, step.To, r.joiningPhase(m))
	if err != nil {
		return err
	}
	if err := r.issue(ctx, step, request); err != nil {
		return err
	}
	if err := r.tell(ctx, m, api.OpStart, api.StartRequest{}); err != nil {
		return err
	}
	return r.awaitLearner(ctx, m)
}

// joiningPhase returns the phase for the marker of a joining learner. If an earlier run recorded it as formed but did
// not promote it, it stays formed: its guard requires its data from then on.
func (r *changeRun) joiningPhase(m membership.Member) api.Phase {
	if o := r.reports[m].Observation; o != nil && o.Marker != nil && o.Marker.Phase == api.PhaseFormed && o.Data.HasMember {
		return api.PhaseFormed
	}
	return api.PhaseJoining
}

// promote waits until a learner has caught up, arms its guard, and promotes it to a voter.
func (r *changeRun) promote(ctx context.Context, step membership.Step) error {
	m := step.Subject()
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
	r.alike[r.member(m).ID] = r.alike[r.member(through).ID]
	// From its first vote on the member must never start without its data.
	request, err := r.configureRequest(m, step.Demands, r.versionOf(m), api.PhaseFormed)
	if err != nil {
		return err
	}
	if err := r.write(ctx, m, request); err != nil {
		return err
	}
	if err := r.tell(ctx, through, api.OpPromote, api.PromoteRequest{Owner: r.order.Owner, ID: r.member(m).ID, Timeout: retryTimeout}); err != nil {
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

// versionOf returns the version of etcd that a member runs.
func (r *changeRun) versionOf(m membership.Member) string {
	if v := r.member(m).Version; v != "" && r.Cluster.StoresOf[v] != nil {
		return v
	}
	return r.Cluster.Version
}

// catchUp waits until a learner has stayed close to the leader for a while. It ends early when the run is to stop,
// which leaves nothing half done.
func (r *changeRun) catchUp(ctx context.Context, m, leader membership.Member) error {
	waiting, stop := r.untilStopped(ctx)
	defer stop()
	var closeSince time.Time
	lag, silent := uint64(0), silences{}
	for {
		// The learner is asked first, so that what the leader writes meanwhile counts against it.
		learner, err := ask[api.Member](ctx, r.run, m, api.OpProbe, api.ProbeRequest{})
		if err != nil {
			return err
		}
		leads, err := ask[api.Member](ctx, r.run, leader, api.OpProbe, api.ProbeRequest{})
		if err != nil {
			return fmt.Errorf("ask %s (%s): %w", leader.Name, leader.Address, err)
		}
		if err := errors.Join(r.hear(ctx, silent, m, learner), r.hear(ctx, silent, leader, leads)); err != nil {
			return err
		}
		lag = leads.RaftIndex - min(leads.RaftIndex, learner.AppliedIndex)
		switch now := time.Now(); {
		case !learner.Responding || !leads.Responding || lag > promoteLag:
			closeSince = time.Time{}
		case closeSince.IsZero():
			closeSince = now
		case now.Sub(closeSince) >= promoteStable:
			return nil
		}
		if err := pause(waiting, promotePoll); err != nil {
			return fmt.Errorf("learner is %d entries behind leader %s; no data is at risk; apply again to resume: %w", lag, leader.Name, err)
		}
	}
}

// remove removes a member and waits until no member lists it any more. etcd cuts off a removed member's client
// requests. So a healthy voter that can be spared is stopped first, which lets it finish them.
func (r *changeRun) remove(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	id, stopped := step.To, false // the ID, for an unmanaged member
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
			stopped = true
		}
	}
	through, err := r.leader(m)
	if err == nil {
		err = r.tell(ctx, through, api.OpRemoveMember, api.RemoveMemberRequest{Owner: r.order.Owner, ID: id, Timeout: retryTimeout})
	}
	if err != nil {
		if stopped { // it still votes, or ends by itself if it does not; the step may have no time left
			starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryTimeout)
			defer cancel()
			err = errors.Join(err, r.tell(starting, m, api.OpStart, api.StartRequest{}))
		}
		return err
	}
	err = r.confirm(ctx, fmt.Sprintf("%s is gone", step.Member), func(view api.Member) bool {
		// A member that did not tell its list in time has confirmed nothing.
		return len(view.Members) > 0 && !slices.ContainsFunc(view.Members, func(entry api.ListedMember) bool { return entry.ID == id })
	}, m)
	r.removed[m] = err == nil
	return err
}

// confirm waits until the list of every healthy voter shows a change. It does not ask except, a member that has left.
func (r *changeRun) confirm(ctx context.Context, what string, shows func(api.Member) bool, except ...membership.Member) error {
	var members []membership.Member
	for _, s := range r.status.Healthy() {
		if len(except) == 0 || s.Member != except[0] {
			members = append(members, s.Member)
		}
	}
	return r.until(ctx, members, shows, func(behind []string) string {
		return fmt.Sprintf("the member lists of %v do not show yet that %s", behind, what)
	})
}

// downgrade enables a downgrade and waits until every member's storage is at the target version: a member that is
// given the older etcd before that does not start.
func (r *changeRun) downgrade(ctx context.Context, minor string) error {
	if err := r.throughLeader(ctx, api.OpDowngrade, api.DowngradeRequest{Owner: r.order.Owner, Version: minor}); err != nil {
		return err
	}
	var members []membership.Member
	for _, s := range r.status.Voters() {
		members = append(members, s.Member)
	}
	return r.until(ctx, members, func(view api.Member) bool { return membership.Minor(view.StorageVersion) == minor }, func(behind []string) string {
		return fmt.Sprintf("the storage of %v is not downgraded to %s yet", behind, minor)
	})
}

// until asks members until all of them show a change that is made already, or the run is to stop: the next one goes on
// from what it sees then. pending says of which members that is waited for.
func (r *changeRun) until(ctx context.Context, members []membership.Member, shows func(api.Member) bool, pending func(behind []string) string) error {
	waiting, stop := r.untilStopped(ctx)
	defer stop()
	silent := silences{}
	for {
		views, err := r.probe(ctx, members)
		if err != nil {
			return err
		}
		var behind []string
		for _, m := range members {
			if !shows(views[m]) {
				behind = append(behind, m.Name)
				err = errors.Join(err, r.hear(ctx, silent, m, views[m]))
			}
		}
		if len(behind) == 0 {
			return nil
		}
		if err = errors.Join(err, pause(waiting, promotePoll)); err != nil {
			return fmt.Errorf("%s: %w", pending(behind), err)
		}
	}
}

// silences tells since when members have not responded.
type silences map[membership.Member]time.Time

// hear takes down whether a member responds, and fails once it has not done so for as long as a starting member may
// make no progress, and is down or fails at each start: nobody starts it while the run waits for it. It fails too if
// the member's process hangs, which the others need not wait for: the next run goes on without it. A member that runs,
// and tells its metrics, may be reading a large database.
func (r *changeRun) hear(ctx context.Context, silent silences, m membership.Member, view api.Member) error {
	since, before := silent[m]
	switch {
	case view.Responding:
		delete(silent, m)
		return nil
	case before && time.Since(since) <= stall:
		return nil
	case before:
		o, err := ask[api.Observation](ctx, r.run, m, api.OpObserve, r.Cluster.Ask())
		if err != nil {
			return err
		}
		if state := o.Unit.ActiveState; state != "active" && state != "activating" || o.Unit.Looping {
			return fmt.Errorf("%s has not responded for %s, and its unit is %s; apply again to have it brought back: %s", m, stall, state, view.Error)
		}
		if hangs(bootstrap.Report{Observation: &o}) {
			return fmt.Errorf("%s has not responded for %s; %s", m, stall, r.howToEndHang())
		}
	}
	silent[m] = time.Now()
	return nil
}

// disarm defragments members one by one. Each clears its own alarm: only the member itself knows whether the cause is
// gone.
func (r *changeRun) disarm(ctx context.Context) error {
	var failed error
	for _, s := range r.status.Healthy() {
		if err := r.tell(ctx, s.Member, api.OpDisarm, api.DisarmRequest{Owner: r.order.Owner, Alarms: true}); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s, err))
		}
	}
	return failed
}

// mustHaveRoom refuses a host that cannot have the desired firewall, and one whose disk has no room for the database
// that a joining member is to copy. Both are refused before the member is added: afterwards it would fill its disk and
// never start.
func (r *changeRun) mustHaveRoom(ctx context.Context, m membership.Member, store string) error {
	if !plan.CopiesData(r.status, m) {
		return nil // it has its data
	}
	report := r.observe(ctx, m, store, 0)
	if report.Err != nil {
		return report.Err
	}
	if report.Observation == nil {
		return errors.New("the store that was installed on it is gone")
	}
	if why := report.Observation.NoNftables; r.Cluster.Filters != nil && why != "" {
		return &membership.Refusal{Attribute: "firewall", Rule: why, Remedy: membership.FilterRemedy + "; the member list is as it was"}
	}
	var database int64
	for _, s := range r.status.Healthy() {
		database = max(database, r.reports[s.Member].Observation.Member.DBSizeBytes)
	}
	if why := bootstrap.Cramped(report.Observation.Data, database); why != "" {
		return &membership.Refusal{Rule: why, Remedy: "make room there, or give the member another host; the member list is as it was"}
	}
	return nil
}

// leader returns the voter that leads, or a healthy voter if the leader is unknown. It never returns except.
func (r *changeRun) leader(except membership.Member) (membership.Member, error) {
	healthy := slices.DeleteFunc(r.status.Healthy(), func(s membership.MemberStatus) bool { return s.Member == except })
	if len(healthy) == 0 {
		return membership.Member{}, fmt.Errorf("no healthy voter can be reached to do it")
	}
	for _, s := range healthy {
		if s.ID == r.status.Leader {
			return s.Member, nil
		}
	}
	return healthy[0].Member, nil
}

// throughLeader makes a call to the leader's host that changes the cluster.
func (r *changeRun) throughLeader(ctx context.Context, op api.Operation, body any) error {
	through, err := r.leader(membership.Member{})
	if err != nil {
		return err
	}
	return r.tell(ctx, through, op, body)
}
