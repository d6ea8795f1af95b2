package plan

import (
	"cmp"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Restore plans how hosts become the desired cluster with the data of a snapshot, or, where that is wished, how a
// restore that is under way is undone. It is made as Change makes its plans. Where the configuration is fulfilled already the plan is empty. Of the plan, End is
// not set: what a cluster is once it was restored, Change looks at.
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

// chooseRestoring is the first step of the first rule that has one.
func chooseRestoring(p membership.Restoring, want membership.Spec) (membership.Step, []*membership.Refusal, error) {
	r := &restorePlanner{Restoring: p, want: want}
	if want.Restore.TakeBack {
		step, err := r.takeBack()
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
	return membership.Step{}, r.out(), nil
}

// at is a step that is done to a host.
func at(kind membership.Kind, s membership.RestoreStatus) (membership.Step, bool) {
	return membership.Step{Kind: kind, Member: s.Name, At: s.Address}, true
}

// site is the first site that a test finds, of those whose hosts can be asked and may be touched.
func (r *restorePlanner) site(is func(membership.RestoreStatus) bool) (membership.RestoreStatus, bool) {
	for _, s := range r.Members {
		if !s.Unreachable && s.Refused == "" && is(s) {
			return s, true
		}
	}
	return membership.RestoreStatus{}, false
}

// each is a step of a kind for the first site that a test finds.
func (r *restorePlanner) each(kind membership.Kind, is func(membership.RestoreStatus) bool) (membership.Step, bool) {
	if s, found := r.site(is); found {
		return at(kind, s)
	}
	return membership.Step{}, false
}

// install puts the desired store where it will be needed, and one on a host of the old cluster that has none to
// fence its member with.
func (r *restorePlanner) install() (membership.Step, bool) {
	step, found := r.each(membership.Install, func(s membership.RestoreStatus) bool { return s.Desired && !s.Installed || s.StoreMissing })
	if found {
		step.To = r.want.Version
	}
	return step, found
}

func (r *restorePlanner) fetch() (membership.Step, bool) {
	step, found := r.each(membership.Fetch, func(s membership.RestoreStatus) bool { return s.Desired && s.Fetched == "" })
	if found {
		step.To = r.want.Restore.Source
	}
	return step, found
}

// fence stops every member of the old cluster that can be reached, and has those that were stopped for another
// snapshot stopped for this one.
func (r *restorePlanner) fence() (membership.Step, bool) {
	snapshot := r.snapshot()
	return r.each(membership.Fence, func(s membership.RestoreStatus) bool {
		return s.Stage == membership.Untouched && s.Marked || s.Stage == membership.Fenced && (s.Source != r.want.Restore.Source || s.Snapshot != snapshot)
	})
}

// snapshot is the SHA-256 of what is restored.
func (r *restorePlanner) snapshot() string {
	for _, s := range r.Members {
		if s.Fetched != "" {
			return s.Fetched
		}
	}
	return ""
}

// Restored tells whether a host is one of the restored cluster, by its data.
func Restored(s membership.RestoreStatus) bool {
	return s.Desired && !s.Stage.Before(membership.Restored)
}

// restore makes the data. Where one host has lost what it was restored to, the others rest meanwhile.
func (r *restorePlanner) restore() (membership.Step, bool) {
	lacks := func(s membership.RestoreStatus) bool { return s.Desired && s.Stage.Before(membership.Restored) }
	if _, found := r.site(lacks); !found {
		return membership.Step{}, false
	}
	if step, found := r.stop("another host is restored first", func(s membership.RestoreStatus) bool { return Restored(s) && s.Running }); found {
		return step, true
	}
	return r.each(membership.Restore, lacks)
}

func (r *restorePlanner) stop(why string, is func(membership.RestoreStatus) bool) (membership.Step, bool) {
	step, found := r.each(membership.Stop, is)
	step.To = why
	return step, found
}

// configure writes what members run by, while they do not.
func (r *restorePlanner) configure() (membership.Step, bool) {
	misconfigured := func(s membership.RestoreStatus) bool { return Restored(s) && !s.Configured }
	if step, found := r.stop("its configuration changes, and it serves nobody yet", func(s membership.RestoreStatus) bool { return misconfigured(s) && s.Running }); found {
		return step, true
	}
	return r.each(membership.Configure, misconfigured)
}

// prove has the members agree, and agree once more after a cold start of all of them: what they have in memory
// alone, or cannot read again, shows while there is a way back.
func (r *restorePlanner) prove() (membership.Step, bool) {
	_, first := r.site(func(s membership.RestoreStatus) bool { return s.Desired && s.Stage == membership.Restored })
	if !first {
		step, found := r.stop("a cold start shows whether it comes back with what it has", func(s membership.RestoreStatus) bool { return Restored(s) && s.Running && !s.Rested })
		if found {
			return step, true
		}
	}
	if step, found := r.each(membership.Start, func(s membership.RestoreStatus) bool { return Restored(s) && !s.Running }); found {
		return step, true
	}
	return r.agreement(), first || !r.Agreed
}

// agreement is the step that waits until the members are one cluster with the same data.
func (r *restorePlanner) agreement() membership.Step {
	agree := bootstrap.Agree(len(r.want.Members))
	agree.To += ", one hash"
	if !r.Opened() {
		agree.To += ", all keys of the snapshot"
	}
	return agree
}

// open lets clients reach the members. It is repeated where it was cut short.
func (r *restorePlanner) open() (membership.Step, bool) {
	return r.each(membership.Open, func(s membership.RestoreStatus) bool {
		return s.Desired && (s.Stage == membership.Checked || s.Stage == membership.Opened && (!s.Configured || !s.Running))
	})
}

// agreeOpened has the members agree once clients reach them.
func (r *restorePlanner) agreeOpened() (membership.Step, bool) {
	_, found := r.site(func(s membership.RestoreStatus) bool { return s.Desired && s.Stage == membership.Opened })
	if !found || r.Agreed {
		return membership.Step{}, false
	}
	return r.agreement(), true
}

// syncConfiguration ends the restore on its hosts.
func (r *restorePlanner) syncConfiguration() (membership.Step, bool) {
	step, found := r.each(membership.SyncConfiguration, func(s membership.RestoreStatus) bool { return s.Desired && s.Stage == membership.Opened })
	step.Why = "the restore is over"
	return step, found
}

// retire takes the old cluster off the hosts that the restored one has no member on.
func (r *restorePlanner) retire() (membership.Step, bool) {
	step, found := r.each(membership.Retire, func(s membership.RestoreStatus) bool { return !s.Desired && s.Marked && !s.Finished })
	step.To = "data moved aside"
	return step, found
}

// save takes a snapshot of what was restored.
func (r *restorePlanner) save() (membership.Step, bool) {
	if r.Saved || !r.Agreed {
		return membership.Step{}, false
	}
	return r.each(membership.Snapshot, func(s membership.RestoreStatus) bool { return s.Desired && s.Finished })
}

// out are the hosts that the restore leaves out, and why.
func (r *restorePlanner) out() (deferred []*membership.Refusal) {
	hold := func(s membership.RestoreStatus, rule, remedy string) {
		deferred = append(deferred, &membership.Refusal{Member: s.Name, At: s.Address, Rule: rule, Remedy: remedy})
	}
	for _, s := range r.Members {
		switch {
		case s.Unreachable && !s.Desired:
			hold(s, cmp.Or(s.Unasked, unreached)+": a member of the old cluster may run there, and answer clients with what it had; it can never join the restored one", cmp.Or(s.Barred, "see that it stays off, or bring its host back")+" and plan again")
		case s.Refused != "" && !s.Desired:
			hold(s, s.Refused, "see whether a member of the old cluster runs there; it can never join the restored one")
		case s.Desired && r.Opened() && !s.Finished:
			hold(s, cmp.Or(s.Refused, "its member is not there to see the end of the restore"), "the others are the restored cluster; bring its host back and plan again")
		}
	}
	return deferred
}

// afterRestoring is what a step makes of the hosts, where it goes well.
func afterRestoring(p membership.Restoring, want membership.Spec, did membership.Step) membership.Restoring {
	p = p.Clone()
	r := &restorePlanner{Restoring: p, want: want}
	if did.Kind == membership.Agree {
		return agreedRestoring(p)
	}
	s := p.Member(did.Subject())
	switch did.Kind {
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
	case membership.TakeBack:
		s.Stage = membership.Untouched
	case membership.Retire:
		p.Members = slices.DeleteFunc(p.Members, func(s membership.RestoreStatus) bool { return s.Member == did.Subject() })
	}
	return p
}

// agreedRestoring is what becomes of the hosts once their members have agreed.
func agreedRestoring(p membership.Restoring) membership.Restoring {
	for i := range p.Members {
		if s := &p.Members[i]; s.Desired && s.Stage == membership.Restored {
			s.Stage, s.Rested = membership.Checked, false
		}
	}
	p.Agreed = true
	return p
}

// token is that of the hosts that were restored already; empty: none was.
func (r *restorePlanner) token() string {
	for _, s := range r.Members {
		if Restored(s) {
			return s.Token
		}
	}
	return ""
}

// recorded is the SHA-256 that hosts record of this restore's source; empty: none does.
func (r *restorePlanner) recorded() string {
	for _, s := range r.Members {
		if s.Stage != membership.Untouched && s.Source == r.want.Restore.Source {
			return s.Snapshot
		}
	}
	return ""
}
