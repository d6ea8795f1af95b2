package plan

import (
	"cmp"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Restore plans how hosts become the desired cluster with the data of a snapshot, or how a restore that is under way
// is undone. Its planner works like that of Change. The plan is empty if the configuration is already fulfilled. It
// leaves End unset: Change observes the restored cluster.
func Restore(p membership.Restoring, want membership.Spec) (Plan, error) {
	if err := want.Check(); err != nil {
		return Plan{}, err
	}
	plan, _, err := unroll("this plan of a restore", p.Clone(), want, chooseRestoring, afterRestoring)
	return plan, err
}

// restorePlanner chooses the next step of a restore.
type restorePlanner struct {
	membership.Restoring
	want membership.Spec
}

// chooseRestoring returns the first step of the first rule that has one.
func chooseRestoring(p membership.Restoring, want membership.Spec) (membership.Step, []*membership.Refusal, error) {
	r := &restorePlanner{Restoring: p, want: want}
	if want.Restore.RollBack {
		step, err := r.rollBack()
		return step, nil, err
	}
	if err := r.restorable(); err != nil {
		return membership.Step{}, nil, err
	}
	rules := []func() (membership.Step, bool){
		r.install,
		r.fetch,     // stops nothing: whatever is wrong with the snapshot ends here
		r.fence,     // from here on no member of the old cluster serves
		r.restore,   // and not before none does
		r.configure, // with the client port on loopback
		r.prove,     // twice, with a cold start in between
		r.open,      // the point of no return
	}
	if p.Opened() {
		rules = []func() (membership.Step, bool){r.open, r.agreeOpened, r.syncConfiguration, r.retire, r.save}
	}
	for _, rule := range rules {
		if step, found := rule(); found {
			return step, nil, nil
		}
	}
	return membership.Step{}, r.leftOut(), nil
}

// at returns a step on a host.
func at(kind membership.Kind, s membership.RestoreStatus) (membership.Step, bool) {
	return membership.Step{Kind: kind, Member: s.Name, At: s.Address}, true
}

// firstHost returns the first host for which is holds, of those that can be reached and may be touched.
func (r *restorePlanner) firstHost(is func(membership.RestoreStatus) bool) (membership.RestoreStatus, bool) {
	for _, s := range r.Members {
		if !s.Unreachable && s.Refused == "" && is(s) {
			return s, true
		}
	}
	return membership.RestoreStatus{}, false
}

// onFirst returns a step of a kind on the first host for which is holds.
func (r *restorePlanner) onFirst(kind membership.Kind, is func(membership.RestoreStatus) bool) (membership.Step, bool) {
	if s, found := r.firstHost(is); found {
		return at(kind, s)
	}
	return membership.Step{}, false
}

// install installs the desired store where it is needed, and a store on a host of the old cluster that has none to
// fence its member with.
func (r *restorePlanner) install() (membership.Step, bool) {
	step, found := r.onFirst(membership.Install, func(s membership.RestoreStatus) bool { return s.Desired && !s.Installed || s.StoreMissing })
	if found {
		step.To = r.want.Version
	}
	return step, found
}

func (r *restorePlanner) fetch() (membership.Step, bool) {
	step, found := r.onFirst(membership.Fetch, func(s membership.RestoreStatus) bool { return s.Desired && s.Fetched == "" })
	if found {
		step.To = r.want.Restore.Source
	}
	return step, found
}

// fence stops every member of the old cluster that can be reached, and fences anew the members that were fenced for
// another snapshot.
func (r *restorePlanner) fence() (membership.Step, bool) {
	snapshot := r.snapshot()
	return r.onFirst(membership.Fence, func(s membership.RestoreStatus) bool {
		return s.Stage == membership.Untouched && s.Marked || s.Stage == membership.Fenced && (s.Source != r.want.Restore.Source || s.Snapshot != snapshot)
	})
}

// snapshot returns the SHA-256 of the snapshot.
func (r *restorePlanner) snapshot() string {
	for _, s := range r.Members {
		if s.Fetched != "" {
			return s.Fetched
		}
	}
	return ""
}

// Restored tells whether a host has the data of the restored cluster.
func Restored(s membership.RestoreStatus) bool {
	return s.Desired && !s.Stage.Before(membership.Restored)
}

// restore creates the data directories. While a host that has lost its restored data is restored again, the others are
// stopped.
func (r *restorePlanner) restore() (membership.Step, bool) {
	lacks := func(s membership.RestoreStatus) bool { return s.Desired && s.Stage.Before(membership.Restored) }
	if _, found := r.firstHost(lacks); !found {
		return membership.Step{}, false
	}
	if step, found := r.stop("another host is restored first", func(s membership.RestoreStatus) bool { return Restored(s) && s.Running }); found {
		return step, true
	}
	return r.onFirst(membership.Restore, lacks)
}

func (r *restorePlanner) stop(why string, is func(membership.RestoreStatus) bool) (membership.Step, bool) {
	step, found := r.onFirst(membership.Stop, is)
	step.To = why
	return step, found
}

// configure writes what members run by, while they are stopped.
func (r *restorePlanner) configure() (membership.Step, bool) {
	misconfigured := func(s membership.RestoreStatus) bool { return Restored(s) && !s.Configured }
	if step, found := r.stop("its configuration changes, and it serves nobody yet", func(s membership.RestoreStatus) bool { return misconfigured(s) && s.Running }); found {
		return step, true
	}
	return r.onFirst(membership.Configure, misconfigured)
}

// prove has the members agree, and agree again after a cold start of all of them: data that they hold only in memory,
// or cannot read again, shows while the restore can still be undone.
func (r *restorePlanner) prove() (membership.Step, bool) {
	_, first := r.firstHost(func(s membership.RestoreStatus) bool { return s.Desired && s.Stage == membership.Restored })
	if !first {
		step, found := r.stop("a cold start shows whether it comes back with what it has", func(s membership.RestoreStatus) bool { return Restored(s) && s.Running && !s.Rested })
		if found {
			return step, true
		}
	}
	if step, found := r.onFirst(membership.Start, func(s membership.RestoreStatus) bool { return Restored(s) && !s.Running }); found {
		return step, true
	}
	return r.agreement(), first || !r.Agreed
}

// agreement returns the step that waits until the members are one cluster with the same data.
func (r *restorePlanner) agreement() membership.Step {
	agree := bootstrap.Agree(len(r.want.Members))
	agree.To += ", one hash"
	if !r.Opened() {
		agree.To += ", all keys of the snapshot"
	}
	return agree
}

// open opens the members to clients. It is repeated if it was interrupted.
func (r *restorePlanner) open() (membership.Step, bool) {
	return r.onFirst(membership.Open, func(s membership.RestoreStatus) bool {
		return s.Desired && (s.Stage == membership.Checked || s.Stage == membership.Opened && (!s.Configured || !s.Running))
	})
}

// agreeOpened has the members agree again once they are open to clients.
func (r *restorePlanner) agreeOpened() (membership.Step, bool) {
	_, found := r.firstHost(func(s membership.RestoreStatus) bool { return s.Desired && s.Stage == membership.Opened })
	if !found || r.Agreed {
		return membership.Step{}, false
	}
	return r.agreement(), true
}

// syncConfiguration ends the restore on its hosts.
func (r *restorePlanner) syncConfiguration() (membership.Step, bool) {
	step, found := r.onFirst(membership.SyncConfiguration, func(s membership.RestoreStatus) bool { return s.Desired && s.Stage == membership.Opened })
	step.Why = "the restore is over"
	return step, found
}

// retire removes the old cluster from hosts that have no member of the restored one.
func (r *restorePlanner) retire() (membership.Step, bool) {
	step, found := r.onFirst(membership.Retire, func(s membership.RestoreStatus) bool { return !s.Desired && s.Marked && !s.Finished })
	step.To = "data moved aside"
	return step, found
}

// save takes a snapshot of the restored cluster.
func (r *restorePlanner) save() (membership.Step, bool) {
	if r.Saved || !r.Agreed {
		return membership.Step{}, false
	}
	return r.onFirst(membership.Snapshot, func(s membership.RestoreStatus) bool { return s.Desired && s.Finished })
}

// leftOut lists the hosts that the restore leaves out, and why.
func (r *restorePlanner) leftOut() (deferred []*membership.Refusal) {
	hold := func(s membership.RestoreStatus, rule, remedy string) {
		deferred = append(deferred, &membership.Refusal{Summary: "A host is left out of the restore", Member: s.Name, At: s.Address, Rule: rule, Remedy: remedy})
	}
	for _, s := range r.Members {
		switch {
		case s.Unreachable && !s.Desired:
			hold(s, cmp.Or(s.Unasked, unreached)+": a member of the old cluster may run there, and answer clients with what it had; it can never join the restored one", cmp.Or(s.Barred, "make sure that it stays off, or bring its host back")+" and plan again")
		case s.Refused != "" && !s.Desired:
			hold(s, s.Refused, "check whether a member of the old cluster runs there; it can never join the restored one")
		case s.Desired && r.Opened() && !s.Finished:
			hold(s, cmp.Or(s.Refused, "its member could not complete the restore"), "the others are the restored cluster; bring its host back and plan again")
		}
	}
	return deferred
}

// afterRestoring returns what a successful step makes of the hosts.
func afterRestoring(p membership.Restoring, want membership.Spec, done membership.Step) membership.Restoring {
	p = p.Clone()
	r := &restorePlanner{Restoring: p, want: want}
	if done.Kind == membership.Agree {
		return agreedRestoring(p)
	}
	s := p.Member(done.Subject())
	switch done.Kind {
	case membership.Install:
		s.Installed, s.StoreMissing = true, false
	case membership.Fetch:
		s.Fetched = cmp.Or(want.Restore.SHA256, r.recorded(), "known once it is there")
	case membership.Fence:
		s.Stage, s.Source, s.Snapshot, s.ServingID, s.Running = membership.Fenced, want.Restore.Source, r.snapshot(), "", false
	case membership.Restore:
		s.Stage, s.Source, s.Snapshot, s.Token, s.Marked = membership.Restored, want.Restore.Source, r.snapshot(), r.token(), true
		s.Configured, s.Running, s.Rested = false, false, false
	case membership.Configure:
		s.Configured = true
	case membership.Stop:
		s.Running, s.Rested, p.Agreed = false, s.Stage == membership.Checked, false
	case membership.Start:
		s.Running, p.Agreed = true, false
	case membership.Open:
		s.Stage, s.Configured, s.Running, p.Agreed = membership.Opened, true, true, false
	case membership.SyncConfiguration:
		s.Stage, s.Finished = membership.Untouched, true
	case membership.Snapshot:
		p.Saved = true
	case membership.RollBack:
		s.Stage = membership.Untouched
	case membership.Retire:
		p.Members = slices.DeleteFunc(p.Members, func(s membership.RestoreStatus) bool { return s.Member == done.Subject() })
	}
	return p
}

// agreedRestoring returns the hosts after their members have agreed.
func agreedRestoring(p membership.Restoring) membership.Restoring {
	for i := range p.Members {
		if s := &p.Members[i]; s.Desired && s.Stage == membership.Restored {
			s.Stage, s.Rested = membership.Checked, false
		}
	}
	p.Agreed = true
	return p
}

// token returns the token of the hosts that were already restored, or "".
func (r *restorePlanner) token() string {
	for _, s := range r.Members {
		if Restored(s) {
			return s.Token
		}
	}
	return ""
}

// recorded returns the SHA-256 that hosts record for this restore's source, or "".
func (r *restorePlanner) recorded() string {
	for _, s := range r.Members {
		if s.Stage != membership.Untouched && s.Source == r.want.Restore.Source {
			return s.Snapshot
		}
	}
	return ""
}
