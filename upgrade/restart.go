package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// snapshotsKept is how many snapshots taken before a change stay on a host.
const snapshotsKept = 3

// snapshot saves a snapshot on the host, where it stays. Where that host says that it cannot, whichever healthy voter
// can does: what comes after it needs one, and not that one.
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
		if !said(err) || r.outer.Err() != nil {
			break
		}
		r.Progress(fmt.Sprintf("%s: no snapshot can be saved there: %s", m, err))
	}
	return errors.Join(failures...)
}

// moveLeader moves the leadership to the voter whose text to is.
func (r *changeRun) moveLeader(ctx context.Context, from membership.Member, to string) error {
	for _, s := range r.status.Voters() {
		if s.String() == to {
			return r.tell(ctx, from, api.OpMoveLeader, api.MoveLeaderRequest{Owner: r.order.Owner, To: s.ID})
		}
	}
	return fmt.Errorf("%s is no voter any more", to)
}

// stopFailing stops a member that serves nobody, unless it serves by now, and takes its unit out of the boot where that is
// to be disabled too.
func (r *changeRun) stopFailing(ctx context.Context, m membership.Member, disable bool) error {
	view, err := ask[api.Member](ctx, r.run, m, api.OpProbe, api.ProbeRequest{})
	if err != nil {
		return err
	}
	if view.Healthy {
		return &membership.Refusal{Member: m.Name, At: m.Address, Rule: "it serves again, and is not stopped", Remedy: "plan again"}
	}
	return r.tell(ctx, m, api.OpStop, api.StopRequest{Owner: r.order.Owner, Disable: disable})
}

// unready is what a host says of a member that is not ready.
type unready string

func (u unready) Error() string { return string(u) }

// said tells whether it was the host that said what failed. Else what became of the member is not known.
func said(err error) bool {
	var answer *api.Error
	var seen unready
	return errors.As(err, &answer) || errors.As(err, &seen)
}

// roll configures a member and restarts it. One that does not come back is put back on what it ran; the error has
// what its journal says. One of which that is not known, since its host cannot be asked any more, is left as it is: it
// may have come back, and its cluster may have agreed by now on an etcd that what it ran before cannot follow.
func (r *changeRun) roll(ctx context.Context, m membership.Member) error {
	before := r.present(m)
	request, err := r.configureRequest(m, r.Cluster.Version, api.PhaseFormed)
	if err != nil {
		return err
	}
	failure := r.swap(ctx, m, request)
	if failure == nil {
		return r.verify(ctx, m)
	}
	if !said(failure) {
		return fmt.Errorf("what became of it is not known: %w", failure)
	}
	if err := r.swap(ctx, m, before); err != nil {
		return fmt.Errorf("it did not come back: %w\nIt could not be put back on what it ran before either: %w", failure, err)
	}
	return fmt.Errorf("it did not come back, and was put back on what it ran before, with which it is healthy: %w", failure)
}

// swap configures a member, restarts it, and waits until it is ready.
func (r *changeRun) swap(ctx context.Context, m membership.Member, request api.ConfigureRequest) error {
	if err := r.tell(ctx, m, api.OpConfigure, request); err != nil {
		return err
	}
	if err := r.tell(ctx, m, api.OpRestart, api.RestartRequest{Owner: r.order.Owner}); err != nil {
		return err
	}
	return r.awaitReady(ctx, m)
}

// agree waits on all hosts at once until every voter that is brought up, and can be asked, is ready.
func (r *changeRun) agree(ctx context.Context, step membership.Step) error {
	members := plan.Targets(r.status, membership.Agree)
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
	var stop []error
	for _, m := range members {
		if err := failures([]membership.Member{m}, reports, ready); err != nil {
			stop = append(stop, r.endure(step, m, err))
		}
	}
	return errors.Join(stop...)
}

// verify wants every healthy voter to serve a linearizable read still, and all of them to hold the same
// data.
func (r *changeRun) verify(ctx context.Context, m membership.Member) error {
	members := []membership.Member{m} // it may not have been healthy before
	for _, s := range r.status.Healthy() {
		if s.Member != m {
			members = append(members, s.Member)
		}
	}
	if len(members) == 0 {
		return nil // of a cluster that served nobody: the next look says what it does by now
	}
	views, err := r.probe(ctx, members)
	if err != nil {
		return err
	}
	for m, view := range views {
		if !view.Healthy {
			return fmt.Errorf("%s serves no linearizable read: %s", m, view.HealthError)
		}
	}
	return r.sameHash(ctx, members)
}

// probe asks members how they are, all at once.
func (r *changeRun) probe(ctx context.Context, members []membership.Member) (map[membership.Member]api.Member, error) {
	views := make([]api.Member, len(members))
	indexes := make([]int, len(members))
	for i := range indexes {
		indexes[i] = i
	}
	err := together(indexes, func(i int) (err error) {
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

// Members compact at their own times: two whose compaction is under way do not compare for a moment.
const (
	hashTries = 10
	hashPause = 500 * time.Millisecond
)

// sameHash wants members to have the same hash at one revision that all of them have.
func (r *changeRun) sameHash(ctx context.Context, members []membership.Member) error {
	var differ error
	for range hashTries {
		views, err := r.probe(ctx, members)
		if err != nil {
			return err
		}
		revision := views[members[0]].Revision
		for _, view := range views {
			revision = min(revision, view.Revision)
		}
		hashes := make([]api.Hash, len(members))
		for i, m := range members {
			if hashes[i], err = ask[api.Hash](ctx, r.run, m, api.OpHash, api.HashRequest{Revision: revision}); err != nil {
				return fmt.Errorf("hash of %s: %w", m, err)
			}
			hashes[i].Revision = 0
		}
		if len(slices.Compact(slices.Clone(hashes))) == 1 {
			return nil
		}
		var texts []string
		for i, m := range members {
			texts = append(texts, fmt.Sprintf("%s has %08x from %d to %d", m, hashes[i].Hash, hashes[i].CompactRevision, hashes[i].HashRevision))
		}
		differ = fmt.Errorf("the data of the members differs: %s; nothing more is done: find out which is wrong before anything else", strings.Join(texts, "; "))
		if err := pause(ctx, hashPause); err != nil {
			return errors.Join(differ, err)
		}
	}
	return differ
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
