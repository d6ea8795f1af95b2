package upgrade

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// RestoreOrder is a restore, or the undoing of one, as the plan showed it. The cluster's Spec.Restore says what is
// desired.
type RestoreOrder struct {
	// Formation is the owner that the hosts carry, or are to carry, and a fresh token, which makes the restored
	// cluster different from any before. A resumed restore keeps the formation that it began with.
	Formation bootstrap.Formation
	Creating  bool                // no state holds the cluster yet
	Members   []membership.Member // all members that the cluster has, desired or not; none if it is being created
	Approved  []membership.Step   // steps that the plan showed; nil: the plan could not know them
	Content   Content
	Identity  secret.Text // age identities, one per line; empty: none. The hosts get them, and nobody stores them
}

// Content is how hosts get the snapshot. Exactly one field is set, or none if a restore is undone.
type Content struct {
	Remote *api.Source // the hosts fetch it themselves, from S3 or from a path of their own
	Kept   *Kept       // a host that has it in its own directory provides it to the others
	// Open opens the snapshot to send it to a host. It is not called for hosts that have the snapshot already, and may
	// be called concurrently.
	Open Opener
}

// Kept is a backup in the hosts' own directories.
type Kept struct {
	Name string // or api.LatestBackup
	// Receive stores what fill writes on this machine until the restore has ended. It is called at most once.
	Receive func(fill func(to io.Writer) error) (Opener, error)
}

// Opener opens a snapshot and describes its content.
type Opener func(ctx context.Context) (io.ReadCloser, api.Upload, error)

// Restored is the result of a restore.
type Restored struct {
	Outcome
	Owner     string // the token that the hosts carry
	Token     string // etcd's initial-cluster-token of the restored cluster; empty: none was begun
	ClusterID string // of the restored cluster, hexadecimal; empty: not known yet
	Snapshot  string // SHA-256 of what was restored, in the clear; empty: not known yet

	// Facts about the snapshot, if this run fetched it; a run that only finishes a restore that was opened before does
	// not.
	Revision int64
	Keys     int
	Bump     int64 // by how much revisions were raised; 0: not known, or not raised yet

	Aside map[membership.Member]string // where each member's previous data lies

	// Unrenewed is why hosts of a cluster that was created do not renew certificates by themselves yet; nil: they do as
	// desired.
	Unrenewed error
}

// restoreRun is one run of a restore.
type restoreRun struct {
	*run
	order RestoreOrder

	kept           func() (*keptBackup, error) // finds the backup, once
	fetched        map[membership.Member]api.Snapshot
	stoppedChecked map[membership.Member]bool
	agreed         bool
	saved          bool
	bumped         int64 // 0: not decided yet
	status         membership.Restoring
	deferred       []*membership.Refusal
	result         Restored
}

// Restore makes the desired hosts a cluster with the data of a snapshot, from any state in which an earlier run may
// have left them. Or it undoes such a restore: then the old members are down, and Change starts them. The result is
// accurate even if it returns an error. Restore handles both a new cluster and an existing one.
func (e *Executor) Restore(ctx context.Context, order RestoreOrder) (Restored, error) {
	reports := bootstrap.Reports{}
	for _, m := range order.Members {
		reports[m] = bootstrap.Report{}
	}
	e.Cluster = e.Cluster.Restored()
	r := &restoreRun{run: e.newRun(e.Cluster.AllMembers(reports)), order: order, fetched: map[membership.Member]api.Snapshot{}, stoppedChecked: map[membership.Member]bool{}}
	r.kept = sync.OnceValues(func() (*keptBackup, error) { return r.findKept(ctx) })
	r.formation = order.Formation
	r.result.Aside = map[membership.Member]string{}
	j := loop{look: r.look, plan: r.plan, act: r.act}
	if !e.Cluster.Restore.RollBack {
		j.finish = r.conclude
	}
	err := r.repeat(ctx, j)
	r.giveUpHung()
	r.result.Outcome = Outcome{Reports: r.reports, Deferred: r.deferred, Done: r.begunSteps, Seen: r.seen()}
	r.result.Owner = r.formation.Owner
	return r.result, err
}

// look observes every host, through the desired store if the host has it. A host that could not be reached in the
// first observation, or hung in a call, is not tried again.
func (r *restoreRun) look(ctx context.Context) {
	seen := r.Observe(ctx, r.giveUpHung())
	for m, report := range seen {
		if o := report.Observation; o != nil {
			if store := r.Cluster.Stores[o.Facts.Architecture]; store != o.Store.SHA256 && slices.Contains(o.Store.Installed, store) {
				fresh := r.observe(ctx, m, store, r.Patience)
				report.Observation, report.Err, report.Clock = fresh.Observation, fresh.Err, fresh.Clock
				seen[m] = report
			}
		}
	}
	if ctx.Err() != nil {
		return
	}
	for m, report := range seen {
		r.reports[m] = report
	}
	r.noteInspected(seen)
	r.resume()
}

// resume adopts what the hosts record of a restore that was begun.
func (r *restoreRun) resume() {
	desired := r.Cluster.Restore
	// Without the lock, a marker may belong to a run that is about to finish its cluster.
	if !r.decided {
		r.formation, r.decided = r.order.Formation, r.locked
		if r.order.Creating {
			r.formation.Owner = r.ownerToContinue()
		}
		r.formation.Token = bootstrap.RestoreToken(desired, r.order.Formation.Token)
	}
	for _, m := range r.Cluster.Members {
		o := r.reports[m].Observation
		if o == nil {
			continue
		}
		if o.Restore != nil && o.Restore.Token != "" {
			r.formation.Token, r.bumped = o.Restore.Token, o.Restore.Bump
		}
		if o.Restore != nil && o.Restore.Stage == api.StageChecked && o.Unit.ActiveState != "active" && o.Unit.ActiveState != "activating" {
			r.stoppedChecked[m] = true
		}
	}
}

// ownerToContinue returns the owner of an unfinished create that hosts carry, or else the fresh one. What such a
// create left is fenced and taken over, whichever members it was for; its hosts allow that only to its owner.
func (r *restoreRun) ownerToContinue() string {
	for _, m := range r.Cluster.Members {
		o := r.reports[m].Observation
		if o != nil && o.Marker != nil && o.Marker.Phase == api.PhaseForming {
			return o.Marker.Owner
		}
	}
	return r.order.Formation.Owner
}

// plan returns the remaining steps, all of which were approved.
func (r *restoreRun) plan() ([]membership.Step, error) {
	for _, m := range r.members {
		if err := r.reports[m].Err; err != nil && r.run.held[m] {
			return nil, fmt.Errorf("%s can no longer be observed: %w; the run stops here: apply again to continue", m, err)
		}
	}
	if err := r.sameSnapshot(); err != nil {
		return nil, err
	}
	p := r.Cluster.Restoring(r.formation.Owner, r.order.Creating, r.reports, r.Now())
	p.Agreed, p.Saved = r.agreed, r.saved
	for i := range p.Members {
		s := &p.Members[i]
		s.Fetched, s.Rested = r.fetched[s.Member].SHA256, r.stoppedChecked[s.Member]
	}
	if r.bumped > 0 && len(r.fetched) > 0 {
		p.Top = r.snapshot().Revision + r.bumped
	}
	r.status = p
	r.noteResult()
	planned, err := plan.Restore(p, r.Cluster.Spec)
	if err != nil {
		return nil, err
	}
	r.deferred = planned.Deferred
	if err := r.mustBeShown(planned.Steps, r.approved, "the hosts are not as they were"); err != nil {
		return nil, err
	}
	return planned.Steps, nil
}

// approved tells whether the plan showed a step. Steps that only protect or wait, or that concern a member that no
// client reaches, are always approved.
func (r *restoreRun) approved(step membership.Step) bool {
	switch step.Kind {
	case membership.Restore, membership.Fence, membership.Open, membership.Retire, membership.RollBack:
		return r.order.Approved == nil || slices.Contains(r.order.Approved, step)
	}
	return true
}

// noteResult records in the result what is seen of the restored cluster.
func (r *restoreRun) noteResult() {
	for _, s := range r.status.Members {
		o := r.reports[s.Member].Observation
		if o == nil || s.Stage == membership.Untouched && !s.Finished {
			continue
		}
		if record := o.Restore; record != nil {
			r.result.Snapshot, r.result.Bump = cmp.Or(r.result.Snapshot, record.Snapshot), cmp.Or(r.result.Bump, record.Bump)
			if record.Aside != "" {
				r.result.Aside[s.Member] = record.Aside
			}
		}
		if s.Finished || !s.Stage.Before(membership.Restored) {
			r.result.Token, r.result.ClusterID = o.Marker.Token, cmp.Or(o.Marker.ClusterID, r.result.ClusterID)
		}
	}
}

// snapshot returns the snapshot that the hosts have fetched.
func (r *restoreRun) snapshot() api.Snapshot {
	for _, m := range r.members {
		if fetched, there := r.fetched[m]; there {
			return fetched
		}
	}
	return api.Snapshot{}
}

// sameSnapshot refuses hosts that have fetched different snapshots from one source.
func (r *restoreRun) sameSnapshot() error {
	first := r.snapshot()
	for _, m := range r.members {
		if fetched, there := r.fetched[m]; there && fetched.SHA256 != first.SHA256 {
			return &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("it has fetched a snapshot with SHA-256 %s, and another host has fetched one with %s", fetched.SHA256, first.SHA256),
				Remedy: "make sure that " + r.Cluster.Restore.Source + " is the same for all hosts; no member was stopped"}
		}
	}
	return nil
}

// act carries out one step.
func (r *restoreRun) act(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	switch step.Kind {
	case membership.Install:
		return r.installStore(ctx, m, r.store(m))
	case membership.Fetch:
		return r.fetch(ctx, m)
	case membership.Fence:
		return r.fence(ctx, m)
	case membership.Restore:
		return r.restore(ctx, m)
	case membership.Configure:
		return r.configure(ctx, m, r.phase())
	case membership.Stop:
		r.forgetAgreement()
		return r.tell(ctx, m, api.OpStop, api.StopRequest{Owner: r.formation.Owner})
	case membership.Start:
		r.forgetAgreement()
		return r.tell(ctx, m, api.OpStart, api.StartRequest{})
	case membership.Agree:
		return r.agree(ctx)
	case membership.Open:
		return r.open(ctx, m)
	case membership.SyncConfiguration:
		return r.advance(ctx, m, "")
	case membership.Retire:
		retired, err := ask[api.Retired](ctx, r.run, m, api.OpRetire, api.RetireRequest{Owner: r.owner(m)})
		r.sayWhere(m, retired.Path)
		return err
	case membership.Snapshot:
		return r.save(ctx, m)
	case membership.RollBack:
		return r.tell(ctx, m, api.OpRollBack, api.RollBackRequest{Owner: r.owner(m)})
	}
	return fmt.Errorf("this build of the provider cannot carry out a step of kind %q", step.Kind)
}

// store returns the store that a member's host is to run.
func (r *restoreRun) store(m membership.Member) string {
	if o := r.reports[m].Observation; o != nil {
		return r.Cluster.Stores[o.Facts.Architecture]
	}
	return r.Cluster.Store(r.reports[m].Contact)
}

// forgetAgreement records that members start anew, and have to agree again.
func (r *restoreRun) forgetAgreement() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agreed = false
}

// fence stops the member of the old cluster, and records on its host what clients may have seen.
func (r *restoreRun) fence(ctx context.Context, m membership.Member) error {
	request := api.FenceRequest{Owner: r.owner(m), Source: r.Cluster.Restore.Source, Snapshot: r.snapshot().SHA256}
	_, err := ask[api.Restoration](ctx, r.run, m, api.OpFence, request)
	return err
}

// phase returns the phase that a member's marker names until the restore is over: a create that has not finished stays
// forming.
func (r *restoreRun) phase() api.Phase {
	if r.order.Creating {
		return api.PhaseForming
	}
	return api.PhaseFormed
}

// restore creates a member's data directory from the snapshot.
func (r *restoreRun) restore(ctx context.Context, m membership.Member) error {
	marker := r.Cluster.Marker(m, r.formation, r.phase())
	marker.Store = r.store(m)
	request := api.RestoreRequest{Marker: marker, Source: r.Cluster.Restore.Source, Snapshot: r.snapshot().SHA256, PeerURL: r.Cluster.PeerURL(m), Bump: r.bump()}
	made, err := ask[api.Restored](ctx, r.run, m, api.OpRestore, request)
	if err != nil {
		return err
	}
	r.sayWhere(m, made.Aside)
	return nil
}

// bump returns by how much revisions are raised, the same on every host. A resumed restore keeps the value that it
// began with.
func (r *restoreRun) bump() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bumped > 0 {
		return r.bumped
	}
	var old []api.Restoration
	now := r.Now()
	for _, m := range r.members {
		o := r.reports[m].Observation
		if o == nil {
			continue
		}
		if o.Facts.Time.After(now) {
			now = o.Facts.Time
		}
		if o.Restore != nil {
			old = append(old, *o.Restore)
		}
	}
	r.bumped = plan.Bump(r.snapshot(), old, now)
	r.result.Bump = r.bumped
	return r.bumped
}

// configuration returns what a member runs by: isolated from clients until its host was opened.
func (r *restoreRun) configuration(m membership.Member, phase api.Phase, opened bool) (api.ConfigureRequest, error) {
	o := r.reports[m].Observation
	unit, err := r.Cluster.Unit(o.Facts.MemoryBytes)
	marker := r.Cluster.Marker(m, r.formation, phase)
	marker.Store = r.store(m)
	if o.Marker != nil {
		marker.ClusterID, marker.MemberID = o.Marker.ClusterID, o.Marker.MemberID
	}
	request := api.ConfigureRequest{Marker: marker, Store: marker.Store, Flags: r.Cluster.Isolated(m, r.formation), Unit: unit}
	if opened {
		request.Flags = r.Cluster.Flags(m, r.formation, bootstrap.StateExisting)
	}
	return request, err
}

// configure writes everything that a member runs by while clients cannot reach it.
func (r *restoreRun) configure(ctx context.Context, m membership.Member, phase api.Phase) error {
	request, err := r.configuration(m, phase, false)
	if err != nil {
		return err
	}
	if request.Certificates, err = r.certificates(ctx, m, request); err != nil {
		return err
	}
	request.PeerCA, request.ClientCA = r.Cluster.PeerCA, r.Cluster.ClientCA
	return r.write(ctx, m, request)
}
