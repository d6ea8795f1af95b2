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

// RestoreOrder is a restore, or the taking back of one, as a plan has shown it. What is wished is in the cluster's
// Spec.Restore.
type RestoreOrder struct {
	// Formation is the owner that the hosts carry, or are to carry, and a fresh token, which makes the restored
	// cluster another one than any before. A restore that is resumed keeps the ones that it began with.
	Formation bootstrap.Formation
	Creating  bool                // no state holds the cluster yet
	Members   []membership.Member // those that it has, desired or not; none where it is created
	Approved  []membership.Step   // steps that the plan has shown; nil: it could not know
	Content   Content
	Identity  secret.Text // age identities, one a line; empty: none. It is given to the hosts, and kept by nobody
}

// Content is how hosts get the snapshot. Exactly one field is set; where a restore is taken back, none.
type Content struct {
	Remote *api.Source // the hosts fetch it themselves, from S3 or from a path of their own
	Kept   *Kept       // who has it in a directory of its own sends it to the others
	// Open begins to read it anew; it is sent to each host. It is not called for hosts that have it already, and
	// may be called for several at the same time.
	Open Opener
}

// Kept is a backup in directories of hosts' own.
type Kept struct {
	Name string // or api.LatestBackup
	// Receive keeps what fill writes on this machine until the restore has ended. It is called once at most.
	Receive func(fill func(to io.Writer) error) (Opener, error)
}

// Opener begins to read a snapshot, and says what will be read.
type Opener func(ctx context.Context) (io.ReadCloser, api.Upload, error)

// Restored is what became of a restore.
type Restored struct {
	Outcome
	Owner     string // the token that the hosts carry
	Token     string // etcd's initial-cluster-token of the restored cluster; empty: none was begun
	ClusterID string // of the restored cluster, hexadecimal; empty: not known yet
	Snapshot  string // SHA-256 of what was restored, in the clear; empty: not known yet

	// Of the snapshot, where this run has fetched it; a run that only finishes what was opened before has not.
	Revision int64
	Keys     int
	Bump     int64 // by which revisions were raised; 0: not known, or not come so far

	Aside map[membership.Member]string // where the data lies that was there before
}

// restoreRun is one run over a restore.
type restoreRun struct {
	*run
	order RestoreOrder

	kept     func() (*keptBackup, error) // finds it once
	fetched  map[membership.Member]api.Snapshot
	rested   map[membership.Member]bool
	agreed   bool
	saved    bool
	bumped   int64 // 0: not decided yet
	status   membership.Restoring
	deferred []*membership.Refusal
	result   Restored
}

// Restore makes the desired hosts a cluster with the data of a snapshot, from wherever they are, or an earlier run left
// them; or takes such a restore back, after which the old members are down, and Change brings them up. What it returns
// is true where it fails too. It serves a cluster that is created and one that there is.
func (e *Executor) Restore(ctx context.Context, order RestoreOrder) (Restored, error) {
	reports := bootstrap.Reports{}
	for _, m := range order.Members {
		reports[m] = bootstrap.Report{}
	}
	r := &restoreRun{run: e.newRun(e.Cluster.AllMembers(reports)), order: order, fetched: map[membership.Member]api.Snapshot{}, rested: map[membership.Member]bool{}}
	r.kept = sync.OnceValues(func() (*keptBackup, error) { return r.findKept(ctx) })
	r.formation = order.Formation
	r.result.Aside = map[membership.Member]string{}
	j := loop{look: r.look, plan: r.plan, act: r.act}
	if !e.Cluster.Restore.TakeBack {
		j.finish = r.conclude
	}
	err := r.repeat(ctx, j)
	r.result.Outcome = Outcome{Reports: r.reports, Deferred: r.deferred, Done: r.did}
	r.result.Owner = r.formation.Owner
	return r.result, err
}

// look observes every host, through the desired store where it is there. One that could not be asked at first is not
// waited for again.
func (r *restoreRun) look(ctx context.Context) {
	asked := slices.DeleteFunc(slices.Clone(r.members), func(m membership.Member) bool { return r.reports[m].Err != nil })
	seen := r.Observe(ctx, asked)
	for m, report := range seen {
		if o := report.Observation; o != nil {
			if store := r.Cluster.Stores[o.Facts.Architecture]; store != o.Store.SHA256 && slices.Contains(o.Store.Installed, store) {
				fresh := r.observe(ctx, m, store, r.Patience)
				report.Observation, report.Err = fresh.Observation, fresh.Err
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
	r.resume()
}

// resume takes over what the hosts record of a restore that was begun.
func (r *restoreRun) resume() {
	desired := r.Cluster.Restore
	// Without the lock, a marker may be the work of a run that is about to finish its cluster.
	if !r.decided {
		r.formation, r.decided = r.order.Formation, r.locked
		if r.order.Creating {
			r.formation.Owner = r.left()
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
			r.rested[m] = true
		}
	}
}

// left is the owner of the unfinished create that hosts carry, or else the fresh one. What such a create has left is
// fenced and taken over, whichever members it was for; its hosts let its owner alone do that.
func (r *restoreRun) left() string {
	for _, m := range r.Cluster.Members {
		o := r.reports[m].Observation
		if o != nil && o.Marker != nil && o.Marker.Phase == api.PhaseForming {
			return o.Marker.Owner
		}
	}
	return r.order.Formation.Owner
}

// plan is what is left to do, of what was approved.
func (r *restoreRun) plan() ([]membership.Step, error) {
	for _, m := range r.members {
		if err := r.reports[m].Err; err != nil && r.run.held[m] {
			return nil, fmt.Errorf("%s cannot be asked any more: %w; nothing more is done: apply again to go on", m, err)
		}
	}
	if err := r.sameSnapshot(); err != nil {
		return nil, err
	}
	p := r.Cluster.Restoring(r.formation.Owner, r.order.Creating, r.reports, r.Now())
	p.Agreed, p.Saved = r.agreed, r.saved
	for i := range p.Members {
		s := &p.Members[i]
		s.Fetched, s.Rested = r.fetched[s.Member].SHA256, r.rested[s.Member]
	}
	if r.bumped > 0 && len(r.fetched) > 0 {
		p.Top = r.snapshot().Revision + r.bumped
	}
	r.status = p
	r.note()
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

// approved tells whether a step was shown. What takes care or waits does no harm, and neither does what is done to a
// member that no client reaches.
func (r *restoreRun) approved(step membership.Step) bool {
	switch step.Kind {
	case membership.Restore, membership.Fence, membership.Open, membership.Retire, membership.TakeBack:
		return r.order.Approved == nil || slices.Contains(r.order.Approved, step)
	}
	return true
}

// note takes over into the result what is seen of the restored cluster.
func (r *restoreRun) note() {
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

// snapshot is what the hosts have fetched.
func (r *restoreRun) snapshot() api.Snapshot {
	for _, m := range r.members {
		if fetched, there := r.fetched[m]; there {
			return fetched
		}
	}
	return api.Snapshot{}
}

// sameSnapshot refuses hosts that have fetched different things from one source.
func (r *restoreRun) sameSnapshot() error {
	first := r.snapshot()
	for _, m := range r.members {
		if fetched, there := r.fetched[m]; there && fetched.SHA256 != first.SHA256 {
			return &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("it has fetched a snapshot with SHA-256 %s, and another host one with %s", fetched.SHA256, first.SHA256),
				Remedy: "see that " + r.Cluster.Restore.Source + " is the same for all hosts; no member was stopped for it"}
		}
	}
	return nil
}

// act does one step.
func (r *restoreRun) act(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	switch step.Kind {
	case membership.Install:
		return r.Hosts[m].Install(ctx, r.Cluster.Name, r.store(m))
	case membership.Fetch:
		return r.fetch(ctx, m)
	case membership.Fence:
		return r.fence(ctx, m)
	case membership.Restore:
		return r.restore(ctx, m)
	case membership.Configure:
		return r.configure(ctx, m, r.phase())
	case membership.Stop:
		r.unagree()
		return r.tell(ctx, m, api.OpStop, api.StopRequest{Owner: r.formation.Owner})
	case membership.Start:
		r.unagree()
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
	case membership.TakeBack:
		return r.tell(ctx, m, api.OpTakeBack, api.TakeBackRequest{Owner: r.owner(m)})
	}
	return fmt.Errorf("this build of the provider cannot carry out a step of kind %q", step.Kind)
}

// store is the one that a member's host is to run.
func (r *restoreRun) store(m membership.Member) string {
	if o := r.reports[m].Observation; o != nil {
		return r.Cluster.Stores[o.Facts.Architecture]
	}
	return r.Cluster.Store(r.reports[m].Contact)
}

// unagree says that members start anew, and have to agree once more.
func (r *restoreRun) unagree() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agreed = false
}

// fence stops the member of the old cluster, and tells what its clients may have seen.
func (r *restoreRun) fence(ctx context.Context, m membership.Member) error {
	request := api.FenceRequest{Owner: r.owner(m), Source: r.Cluster.Restore.Source, Snapshot: r.snapshot().SHA256}
	_, err := ask[api.Restoration](ctx, r.run, m, api.OpFence, request)
	return err
}

// phase is what the marker of a member says until the restore is over. What a create has not finished says so.
func (r *restoreRun) phase() api.Phase {
	if r.order.Creating {
		return api.PhaseForming
	}
	return api.PhaseFormed
}

// restore makes a member's data directory from the snapshot.
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

// bump is by how much revisions are raised: on every host by the same. A restore that is resumed keeps to what it has
// begun with.
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

// configuration is what a member runs by: isolated, until its host was opened.
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

// configure writes all that a member runs by while clients do not reach it.
func (r *restoreRun) configure(ctx context.Context, m membership.Member, phase api.Phase) error {
	request, err := r.configuration(m, phase, false)
	if err != nil {
		return err
	}
	if request.Certificates, err = r.certificates(ctx, m, request.Marker); err != nil {
		return err
	}
	request.PeerCA, request.ClientCA = r.Cluster.PeerCA, r.Cluster.ClientCA
	return r.tell(ctx, m, api.OpConfigure, request)
}
