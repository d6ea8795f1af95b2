package plan

import (
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// after returns what a successful step makes of a cluster.
func after(p membership.ClusterStatus, want membership.Spec, done membership.Step) membership.ClusterStatus {
	p = p.Clone()
	if s := p.Member(done.Subject()); s != nil {
		effectOnMember(p, s, want, done)
	}
	switch done.Kind {
	case membership.Stage:
		if s := p.Member(done.Subject()); s != nil && s.State == membership.StoreMissing {
			s.State = membership.Healthy // as far as is known, it was never stopped
			elect(&p)
		}
	case membership.Snapshot:
		p.Saved = true
	case membership.Agree:
		all, before, left := !p.HasQuorum(), p.Clone(), newPlanner(p, want).leaveUnsignable()
		for i := range p.Members {
			if s := &p.Members[i]; before.WasPutBack(*s) {
				s.State, s.Why = membership.Lost, membership.PutBack(s.Index, s.Had)
			} else if s.Role == membership.Voter && s.State == membership.Unhealthy && s.Failed == "" && !slices.Contains(left, s.Member) && (s.Desired && s.Rebuild == "" || all) && waitedFor(before, *s) {
				s.State, s.Looping = membership.Healthy, false
			}
			p.Members[i].Unready = p.Members[i].Unready && len(p.Members[i].Outdated) > 0
		}
		for i := range p.Members {
			if all && p.HasQuorum() {
				p.Members[i].Unlisted = "" // a quorum has the list now
			}
		}
	case membership.SyncConfiguration:
		left := newPlanner(p, want).leaveUnsignable()
		for i := range p.Members {
			if outOfSync(p.Members[i]) && !slices.Contains(left, p.Members[i].Member) {
				p.Members[i].Unsynced = false
			}
		}
	case membership.RenewOnHosts:
		for i := range p.Members {
			if changesRenewals(p.Members[i], want) {
				p.Members[i].Unrenewed, p.Members[i].OldRenewals = "", false
			}
		}
	case membership.Firewall:
		for i := range p.Members {
			if refilters(p, p.Members[i], want) {
				filtered(p, &p.Members[i], want)
			}
		}
	case membership.BackUp:
		for i := range p.Members {
			if backsUp(p.Members[i]) {
				p.Members[i].Unbacked, p.Members[i].OldRuns = "", false
			}
		}
	case membership.MoveLeader:
		for _, s := range p.Healthy() {
			if s.String() == done.To {
				p.Leader = s.ID
			}
		}
	case membership.Remove:
		p.Unmanaged = slices.DeleteFunc(p.Unmanaged, func(s membership.UnmanagedMember) bool { return s.ID == done.To })
	case membership.Cancel:
		p.Downgrade, p.Lowered = "", false
	case membership.Downgrade:
		p.Downgrade, p.Lowered, p.ClusterVersion = done.To, true, done.To
	case membership.Disarm:
		if done.To == bootstrap.AlarmCorrupt {
			p.Corrupt, p.Agreed = false, false
		} else {
			p.Full = slices.DeleteFunc(p.Full, func(id string) bool { return disarms(p, id) })
		}
	case membership.Recover:
		recovered(&p, want, done)
	}
	if done.Kind == membership.Agree || done.Kind == membership.Remove || done.Kind == membership.Readdress {
		elect(&p)
	}
	if p.Downgrade != "" && allRun(p, p.Downgrade) {
		p.Downgrade, p.Lowered = "", false // etcd ends it by itself
	}
	p.Members = slices.DeleteFunc(p.Members, func(s membership.MemberStatus) bool {
		return !s.Desired && s.Role == membership.Absent && !s.Traces
	})
	return p
}

// upTo returns the first steps of a plan, without those at their end that only prepare the next one, and the cluster as
// it is once they are done.
func upTo(p membership.ClusterStatus, want membership.Spec, steps []membership.Step) ([]membership.Step, membership.ClusterStatus) {
	n := len(steps)
	for n > 0 && slices.Contains([]membership.Kind{membership.Stage, membership.Snapshot}, steps[n-1].Kind) {
		n--
	}
	for _, step := range steps[:n] {
		p = after(p, want, step)
	}
	return steps[:n:n], p
}

// statuses are the cluster before each step of a plan, and after the last one.
func statuses(p membership.ClusterStatus, want membership.Spec, steps []membership.Step) []membership.ClusterStatus {
	along := []membership.ClusterStatus{p}
	for _, step := range steps {
		p = after(p, want, step)
		along = append(along, p)
	}
	return along
}

// firstStep returns the index of the first step for whose index is holds, or -1.
func firstStep(steps []membership.Step, is func(int) bool) int {
	for i := range steps {
		if is(i) {
			return i
		}
	}
	return -1
}

// broughtUp returns how many of the steps it takes until the last one that brings up a member: configures it, starts
// it, or waits until it serves. along are the cluster before each step, and after the last one.
func broughtUp(m membership.Member, along []membership.ClusterStatus, steps []membership.Step) (n int) {
	serves := func(p membership.ClusterStatus) bool {
		return p.Member(m) != nil && p.Member(m).State == membership.Healthy
	}
	for i, step := range steps {
		starts := slices.Contains([]membership.Kind{membership.Configure, membership.Start}, step.Kind) && step.Subject() == m
		if starts || step.Kind == membership.Agree && !serves(along[i]) && serves(along[i+1]) {
			n = i + 1
		}
	}
	return n
}

// rewriteRuns marks the units of backups and of renewals of a member that gets another store as outdated, if they are
// an older store's.
func rewriteRuns(s *membership.MemberStatus) {
	if s.OldRenewals && s.Unrenewed == "" {
		s.Unrenewed = bootstrap.OtherRenewals
	}
	if s.OldRuns && s.Unbacked == "" {
		s.Unbacked = bootstrap.OtherRuns
	}
}

// effectOnMember applies a step to the member that it is done to.
func effectOnMember(p membership.ClusterStatus, s *membership.MemberStatus, want membership.Spec, done membership.Step) {
	switch done.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Roll, membership.Join, membership.Readdress:
		issue(p, s, done)
	}
	peer(s, done)
	switch done.Kind {
	case membership.Stop, membership.Roll, membership.Join, membership.Readdress, membership.Recover, membership.SetAside, membership.Retire, membership.Remove:
		if done.Kind != membership.Readdress || !s.There || s.State != membership.Healthy { // else it is not restarted
			s.Serves = membership.Served{}
		}
	}
	switch done.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Roll, membership.Join, membership.Readdress, membership.Promote:
		if want.Firewall != "" {
			filtered(p, s, want) // with what it is written, and before the step takes effect
		}
	case membership.Retire:
		s.Unfiltered, s.Admits = "", ""
	}
	switch done.Kind {
	case membership.Stage:
		s.Staged = done.To
		s.Storeless = s.Storeless && done.To != s.Version
	case membership.Stop:
		s.State, s.Looping, s.Active = membership.Stopped, false, false
	case membership.Start:
		s.Disabled = false
		if s.State == membership.Stopped {
			s.State = membership.Unhealthy
		}
	case membership.Configure:
		s.Move = membership.Move{}
		s.Outdated, s.Behind, s.Version, s.Storeless, s.OldStore = nil, false, want.Version, false, false
		certify(s, done)
		rewriteRuns(s)
	case membership.RenewCertificates:
		if s.Invalid, s.Certified = "", true; !done.Keeps {
			s.Due = ""
		}
		if s.State == membership.Unhealthy && p.HasQuorum() { // its certificate was the cause
			s.State = membership.Healthy
		}
	case membership.Readdress:
		s.Due = ""
		listed := s.Moved
		s.Move = membership.Move{}
		if (&planner{ClusterStatus: p, want: want}).misconfigured(*s) {
			s.Outdated, s.Behind, s.Version, s.OldStore = nil, false, want.Version, false
			rewriteRuns(s)
		}
		s.State, s.Disabled, s.Looping = membership.Healthy, false, false
		if !listed {
			unsync(p) // the others: its own configuration names it already
		}
		s.Unsynced = false
	case membership.Roll:
		s.Outdated, s.Version, s.Storeless, s.OldStore = nil, want.Version, false, false
		rewriteRuns(s)
	case membership.SetAside:
		s.State, s.Traces, s.Looping, s.Storeless, s.Alone, s.Behind = membership.Missing, false, false, false, false, false
	case membership.Retire:
		s.State, s.Traces, s.Looping, s.Alone = membership.Missing, false, false, false
	case membership.AddLearner:
		s.Role, s.ID, s.Started = membership.Learner, "new "+s.Address, false
	case membership.Join:
		s.State, s.Started, s.Traces, s.Version = membership.Healthy, true, true, done.To
		s.Outdated, s.Invalid, s.Due, s.Disabled, s.Rebuild, s.Storeless, s.OldStore = nil, "", "", false, "", false, false
		if want.Backups != "" {
			s.Unbacked = bootstrap.NoBackups
		}
		if want.Renewals != "" {
			s.Unrenewed = bootstrap.NoRenewals
		}
		if done.To != want.Version {
			s.Outdated = []string{fmt.Sprintf("etcd %s -> %s", done.To, want.Version)}
		}
	case membership.Promote:
		unsync(p) // the others: its own configuration names it already
		s.Role, s.Unsynced = membership.Voter, false
	case membership.Remove:
		voted := s.Role == membership.Voter
		if s.Diverged && !s.Differs {
			startUncontradicted(p, *s)
		}
		s.Role, s.ID, s.Started, s.Diverged, s.Data = membership.Absent, "", false, false, ""
		ended(s)
		s.Move = membership.Move{}
		if voted {
			unsync(p)
		}
		s.Unsynced = false
	}
}

// ended has a member that served end, as one does that is no member any more.
func ended(s *membership.MemberStatus) {
	if s.State == membership.Healthy {
		s.State = membership.Stopped
	}
}

// issue applies a step that gives a member authorities.
func issue(p membership.ClusterStatus, s *membership.MemberStatus, did membership.Step) {
	trusts, signers := did.Trusts, did.Signers
	if trusts == (membership.Authorities{}) {
		trusts = p.Trusts
	}
	if signers == (membership.Authorities{}) {
		signers = p.Signers.First()
	}
	switch s.Issued.Files = trusts; did.Kind {
	case membership.Roll:
		s.Issued.Trusts = trusts
	case membership.RenewCertificates:
		if !did.Keeps {
			s.Issued.By = signers
		}
		if s.State == membership.Stopped {
			s.Issued.Trusts = trusts
		}
	case membership.Readdress:
		s.Issued.By = signers
		if !s.There || s.State != membership.Healthy { // else it is not restarted
			s.Issued.Trusts = trusts
		}
	default:
		if s.Issued.Trusts = trusts; !did.Keeps {
			s.Issued.By = signers
		}
	}
}

// certify applies to a member that it was configured: with new certificates, unless it keeps its own, and with what
// lies beside them.
func certify(s *membership.MemberStatus, done membership.Step) {
	switch {
	case !done.Keeps:
		s.Invalid, s.Due = "", ""
	case s.KeepsCertificates():
		s.Invalid = ""
	}
}

// startUncontradicted starts the members that the removed member kept from starting, if it is the last one that serves
// data other than a quorum's.
func startUncontradicted(p membership.ClusterStatus, removed membership.MemberStatus) {
	if _, found := first(p.Voters(), func(s membership.MemberStatus) bool { return s.Diverged && !s.Differs && s.Member != removed.Member }); found {
		return
	}
	healthy := p.Healthy()
	for i := range p.Members {
		if s := &p.Members[i]; s.Differs && !s.Diverged && len(healthy) > 0 {
			s.Differs, s.Looping, s.Data = false, false, healthy[0].Data // otherwise it would not start either
		}
	}
}

// allRun tells whether every member is seen to run a minor version of etcd.
func allRun(p membership.ClusterStatus, minor string) bool {
	_, found := first(p.Members, func(s membership.MemberStatus) bool {
		return s.Role != membership.Absent && (s.State != membership.Healthy || membership.Minor(s.Version) != minor)
	})
	return !found
}

// elect makes a healthy voter the leader if a step has restored a quorum or removed the leader. Which voter it will be
// cannot be known; the next observation shows it.
func elect(p *membership.ClusterStatus) {
	for _, s := range p.Voters() {
		if p.Leader != "" && s.ID == p.Leader {
			return
		}
	}
	if p.Leader = ""; p.HasQuorum() {
		p.Leader = p.Healthy()[0].ID
	}
}

// unsync marks every voter's configuration as naming other members than the cluster has.
func unsync(p membership.ClusterStatus) {
	for i := range p.Members {
		// A re-address writes the whole configuration.
		if p.Members[i].Role == membership.Voter && p.Members[i].From == "" {
			p.Members[i].Unsynced = true
		}
	}
}

// Targets returns the members that a step without a named member is done to, as the rule that planned the step chose
// them.
func Targets(p membership.ClusterStatus, want membership.Spec, kind membership.Kind) (members []membership.Member) {
	c := &planner{ClusterStatus: p, want: want}
	is := map[membership.Kind]func(membership.MemberStatus) bool{
		membership.BackUp:            func(s membership.MemberStatus) bool { return backsUp(s) && s.Unbacked != "" },
		membership.RenewOnHosts:      func(s membership.MemberStatus) bool { return changesRenewals(s, want) },
		membership.Firewall:          func(s membership.MemberStatus) bool { return refilters(p, s, want) },
		membership.SyncConfiguration: outOfSync,
		membership.Agree:             func(s membership.MemberStatus) bool { return c.canBringUp(s) && runs(s) && waitedFor(p, s) },
		membership.Disarm: func(s membership.MemberStatus) bool {
			return s.Role == membership.Voter && s.State == membership.Healthy
		},
	}[kind]
	for _, s := range p.Members {
		if is(s) {
			members = append(members, s.Member)
		}
	}
	return members
}

// Misconfigured tells whether a member may be down because of its configuration, so that it gets everything desired
// before it is started again. A re-address includes that in its step.
func Misconfigured(p membership.ClusterStatus, want membership.Spec, m membership.Member) bool {
	s := p.Member(m)
	return s != nil && (&planner{ClusterStatus: p, want: want}).misconfigured(*s)
}

// CopiesData tells whether a member will copy the data of the others instead of starting with its own.
func CopiesData(p membership.ClusterStatus, m membership.Member) bool {
	s := p.Member(m)
	return s != nil && (s.State == membership.Missing || s.State == membership.Lost || rebuildable(*s))
}
