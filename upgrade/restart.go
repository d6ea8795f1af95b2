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

// snapshotsKept is how many snapshots taken before a change stay on a host.
const snapshotsKept = 3

// snapshot saves a snapshot on the member's host, where it stays. If that host reports that it cannot, any other
// healthy voter that can saves it: the next step needs a snapshot, whoever made it.
func (r *changeRun) snapshot(ctx context.Context, m membership.Member) error {
	from := []membership.Member{m}
	for _, s := range r.status.Healthy() {
		if s.Member != m {
			from = append(from, s.Member)
		}
	}
	var failures []error
	for _, m := range from {
		saved, err := ask[api.Snapshot](ctx, r.run, m, api.OpSnapshot, api.SnapshotRequest{Owner: r.order.Owner, Keep: snapshotsKept})
		if err == nil {
			r.saved = true
			r.Progress(fmt.Sprintf("%s: snapshot of revision %d with %d keys in %s, sha256 %s", m, saved.Revision, saved.Keys, saved.Path, saved.SHA256))
			return nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", m, err))
		if !failureKnown(err) || r.runContext.Err() != nil {
			break
		}
		r.Progress(fmt.Sprintf("%s: no snapshot can be saved there: %s", m, err))
	}
	return errors.Join(failures...)
}

// moveLeader moves the leadership to the voter whose String is to.
func (r *changeRun) moveLeader(ctx context.Context, from membership.Member, to string) error {
	for _, s := range r.status.Voters() {
		if s.String() == to {
			return r.tell(ctx, from, api.OpMoveLeader, api.MoveLeaderRequest{Owner: r.order.Owner, To: s.ID})
		}
	}
	return fmt.Errorf("%s is no longer a voter", to)
}

// stopPatience is for how long a member that has served is asked whether it serves before it is stopped: elections and
// disks that stall take seconds, and its host knows when it has failed for longer than that already.
const stopPatience = 15 * time.Second

// stopFailing stops a member that does not serve, and refuses if it serves by now. disable also keeps it from starting
// at boot.
func (r *changeRun) stopFailing(ctx context.Context, m membership.Member, disable bool) error {
	view, err := ask[api.Member](ctx, r.run, m, api.OpProbe, api.ProbeRequest{})
	if err == nil && !view.Healthy && r.member(m).Active { // one late answer is no failure
		request := r.Cluster.Ask()
		request.Patience = stopPatience
		var o api.Observation
		o, err = ask[api.Observation](ctx, r.run, m, api.OpObserve, request)
		view = o.Member
	}
	if err != nil {
		return err
	}
	if view.Healthy {
		return &membership.Refusal{Member: m.Name, At: m.Address, Rule: "it serves again, so it is not stopped", Remedy: "plan again"}
	}
	return r.tell(ctx, m, api.OpStop, api.StopRequest{Owner: r.order.Owner, Disable: disable})
}

// notReadyError is a host's report that a member is not ready.
type notReadyError string

func (u notReadyError) Error() string { return string(u) }

// failureKnown tells whether the host itself reported the failure. Otherwise the member's state is not known.
func failureKnown(err error) bool {
	var answer *api.Error
	var seen notReadyError
	return errors.As(err, &answer) || errors.As(err, &seen)
}

// unfilteredError is the error of a host that was given what its member is to run by, and not who may reach it.
type unfilteredError struct{ error }

func (e unfilteredError) Error() string { return "say who may reach it: " + e.error.Error() }
func (e unfilteredError) Unwrap() error { return e.error }

// isUnfiltered tells whether an error is that of such a host.
func isUnfiltered(err error) bool {
	var unfiltered unfilteredError
	return errors.As(err, &unfiltered)
}

// refusedError is the error of a configuration that a member's host refused, or has no more.
type refusedError struct{ error }

func (e refusedError) Error() string {
	if isUnfiltered(e.error) {
		return "its host refused who may reach it, has what it ran by before again, and it runs on as it did: " + e.error.Error()
	}
	return "its host refused what it is to run by, and it runs on as it did: " + e.error.Error()
}
func (e refusedError) Unwrap() error { return e.error }

// changedNothing tells whether a host reported that it has not begun what it was asked for.
func changedNothing(err error) bool {
	var answer *api.Error
	if isUnfiltered(err) {
		return false // it was configured before
	}
	return errors.As(err, &answer) && slices.Contains([]api.Code{api.CodeRefused, api.CodeUnsupported, api.CodeBusy, api.CodeNoStore}, answer.Code)
}

// roll configures a member and restarts it. A member that does not come back is rolled back to its previous
// configuration; the error includes what its journal says. A member whose host can no longer be reached is left as it
// is: it may have come back, and its cluster may have agreed on an etcd version that the previous one cannot follow.
func (r *changeRun) roll(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	before := r.currentConfiguration(m)
	request, err := r.configureRequest(m, step.Demands, r.Cluster.Version, api.PhaseFormed)
	if err != nil {
		return err
	}
	if request, err = r.trusting(request, step); err != nil {
		return err
	}
	failure := r.configureAndRestart(ctx, m, request)
	if failure == nil {
		return r.verify(ctx, m)
	}
	var refused refusedError
	switch {
	case errors.As(failure, &refused):
		return failure
	case !failureKnown(failure):
		return fmt.Errorf("it is not known whether it came back: %w", failure)
	}
	if err := r.rollBackTo(ctx, m, before); err != nil {
		return fmt.Errorf("it did not come back: %w\nIt could not be rolled back to its previous configuration either: %w", failure, err)
	}
	return fmt.Errorf("it did not come back, and was rolled back to its previous configuration, with which it is healthy: %w", failure)
}

// rollBackTo has a member that is down run by its previous configuration again. A host that refuses who may reach it
// has its member up all the same.
func (r *changeRun) rollBackTo(ctx context.Context, m membership.Member, before api.ConfigureRequest) error {
	refused := r.write(ctx, m, before)
	if refused != nil && !isUnfiltered(refused) {
		return refused
	}
	if err := r.restart(ctx, m); err != nil {
		return errors.Join(refused, err)
	}
	if refused != nil {
		return fmt.Errorf("it runs by that again, and its host refused who may reach it: %w", refused)
	}
	return nil
}

// configureAndRestart configures a member, restarts it, and waits until it is ready. A refusedError means that the
// member runs on as it did.
func (r *changeRun) configureAndRestart(ctx context.Context, m membership.Member, request api.ConfigureRequest) error {
	if err := r.write(ctx, m, request); err != nil {
		switch {
		case changedNothing(err):
			return refusedError{err}
		case isUnfiltered(err) && failureKnown(err):
			if failed := r.writeFiles(ctx, m, r.currentConfiguration(m)); failed != nil {
				return fmt.Errorf("%w\nIts host could not be given back what it runs by either: %w", err, failed)
			}
			return refusedError{err}
		}
		return err
	}
	return r.restart(ctx, m)
}

// restart restarts a member, and waits until it is ready.
func (r *changeRun) restart(ctx context.Context, m membership.Member) error {
	if err := r.tell(ctx, m, api.OpRestart, api.RestartRequest{Owner: r.order.Owner}); err != nil {
		return err
	}
	return r.awaitReady(ctx, m)
}

// agree waits on all hosts at once until every voter that was started, and whose host can be reached, is ready.
func (r *changeRun) agree(ctx context.Context, step membership.Step) error {
	members := plan.Targets(r.status, r.Cluster.Spec, membership.Agree)
	ready := func(report bootstrap.Report) string {
		known := 0
		if report.Observation != nil {
			known = len(report.Observation.Member.Members)
		}
		return notReady(report, known)
	}
	reports := r.awaitAll(ctx, members, ready, func(m membership.Member) (api.Observation, error) {
		return r.await(ctx, ctx, m, api.AwaitRequest{Timeout: stall})
	})
	var failed []error
	for _, m := range members {
		if err := failures([]membership.Member{m}, reports, ready); err != nil {
			if hangs(reports[m]) {
				err = fmt.Errorf("%w; %s", err, r.howToEndHang())
			}
			failed = append(failed, r.noteFailure(step, m, err))
		}
	}
	return errors.Join(failed...)
}

// hangs tells whether a member that had started answers nothing any more, not even on the port of its metrics.
func hangs(report bootstrap.Report) bool {
	o := report.Observation
	return report.Err == nil && o != nil && o.Unit.ActiveState == "active" && !o.Member.Responding && o.Member.ConnectionsUnknown
}

// howToEndHang says what to do about a member that has hung for as long as a start may make no progress. One whose host
// is off counts for no quorum, so that a plan can say whom to recover from.
func (r *changeRun) howToEndHang() string {
	way := "switch its host off and plan again: the plan says which member to recover from (recover_from)"
	if r.status.HasQuorum() {
		way = "have it built anew (rebuild)"
	}
	return fmt.Sprintf("its process hangs: restart it there (systemctl restart %s), and apply again; if it hangs once more, %s", api.Unit(r.Cluster.Name), way)
}

// verify checks that every healthy voter still serves a linearizable read, and that all of them hold the same data.
func (r *changeRun) verify(ctx context.Context, m membership.Member) error {
	members := []membership.Member{m} // it may not have been healthy before
	for _, s := range r.status.Healthy() {
		if s.Member != m {
			members = append(members, s.Member)
		}
	}
	return r.sameHash(ctx, members)
}

// probe asks members for their status, all at once.
func (r *changeRun) probe(ctx context.Context, members []membership.Member) (map[membership.Member]api.Member, error) {
	views := make([]api.Member, len(members))
	indexes := make([]int, len(members))
	for i := range indexes {
		indexes[i] = i
	}
	err := inParallel(indexes, func(i int) (err error) {
		if views[i], err = ask[api.Member](ctx, r.run, members[i], api.OpProbe, api.ProbeRequest{}); err != nil {
			return fmt.Errorf("ask %s (%s): %w", members[i].Name, members[i].Address, err)
		}
		return nil
	})
	asked := map[membership.Member]api.Member{}
	for i, m := range members {
		asked[m] = views[i]
	}
	return asked, err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
