package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// stays tells whether a voter or learner is desired.
func stays(s membership.MemberStatus) bool { return s.Desired && s.Role != membership.Absent }

// canBringUp tells whether a run brings a member up: a voter that stays, and, while the others are no quorum, also a
// voter that is to leave or to be built anew.
func (c *planner) canBringUp(s membership.MemberStatus) bool {
	return s.Failed == "" && s.Role == membership.Voter && (s.Desired && s.Rebuild == "" || !c.HasQuorum()) && !c.WasPutBack(s)
}

// mustConfigureFirst tells whether a member that is down has to be configured before its start. A newer etcd alone
// does not require it: the member starts as it is and rolls with the others, since a roll can be rolled back, and
// takes a snapshot first, which needs a quorum. But if the cluster has agreed on a newer etcd, the member cannot start
// as it is.
func (c *planner) mustConfigureFirst(s membership.MemberStatus) bool {
	if s.From == "" {
		return c.misconfigured(s)
	}
	// The list already has the member at its new address, and nobody serves: it comes up there, with the others.
	s.Outdated = append(slices.Clone(s.Outdated), "address")
	return s.Moved && !c.HasQuorum() && c.Size() > 1 && c.misconfigured(s)
}

// misconfigured is mustConfigureFirst for a member that is not re-addressed; a re-address configures the member too.
func (c *planner) misconfigured(s membership.MemberStatus) bool {
	if len(s.Outdated) == 0 || !c.canBringUp(s) || s.State != membership.Unhealthy && s.State != membership.Stopped {
		return false
	}
	if s.Certified && s.State == membership.Unhealthy && !c.HasQuorum() {
		return false // wait for it first: members that could not be asked may have served all the time
	}
	if s.Behind {
		return true
	}
	newer := func(a, b string) bool { return s.Version != "" && membership.CompareVersions(a, b) > 0 }
	if newer(c.want.Version, s.Version) && len(s.Outdated) == 1 || newer(membership.Minor(c.want.Version), membership.Minor(s.Version)) && !c.HasQuorum() {
		return false
	}
	return !c.goesDown() || c.comesDown()
}

// couldBeAsked tells whether a member that runs could be asked whether it serves: its certificates hold, its process
// trusts their authorities, and it lets clients in.
func (c *planner) couldBeAsked(s membership.MemberStatus) bool {
	seen := c.observed.Member(s.Member)
	return seen != nil && !seen.NeedsCertificates() && !seen.NoClients && trusts(*seen, seen.Issued.By)
}

// isCertifiedLater tells whether a member that is down gets its certificates with its configuration, before its next
// start: it could be asked with the ones that it has, and does not serve. Where it may not be stopped for that, they
// are renewed without a restart.
func (c *planner) isCertifiedLater(s membership.MemberStatus) bool {
	return c.mustConfigureFirst(s) && c.couldBeAsked(s) && (c.HasQuorum() || len(c.Healthy()) == 0)
}

// lacksStore tells whether a member that is down lacks only its store to start, which a stage installs again. A member
// that is configured before its start gets the desired store with that.
func (c *planner) lacksStore(s membership.MemberStatus) bool {
	return s.Storeless && s.Version != "" && c.canBringUp(s) && !c.mustConfigureFirst(s) && (s.State == membership.Stopped || s.State == membership.Unhealthy)
}

// heal brings up members that are down and have all that they need, with as few steps as possible. It configures an
// outdated member first, which takes service from nobody.
func (c *planner) heal() (membership.Step, bool) {
	if s, found := first(c.Members, func(s membership.MemberStatus) bool {
		return s.State == membership.StoreMissing && s.Staged == "" && s.Failed == ""
	}); found {
		return c.stage(s, c.want.Version), true
	}
	if s, found := first(c.Members, c.lacksStore); found {
		return c.stage(s, s.Version), true
	}
	if step, found := c.moveDown(); found {
		return step, true
	}
	// Before any member is stopped: without a valid certificate and its key, a member cannot even be asked.
	if s, found := first(c.Members, func(s membership.MemberStatus) bool {
		return c.canBringUp(s) && s.LacksCertificates() && s.State == membership.Unhealthy && trusts(s, c.sign) && !c.isCertifiedLater(s)
	}); found {
		return c.certificates(s), true
	}
	if s, found := first(c.Members, func(s membership.MemberStatus) bool { return c.mustConfigureFirst(s) && s.Staged != c.want.Version }); found {
		return c.stage(s, c.want.Version), true
	}
	waiting := len(c.deferred)
	if step, found := c.configureDown(); found || len(c.deferred) > waiting {
		return step, found
	}
	if step, found := c.stopForCertificates(); found {
		return step, true
	}
	if s, found := first(c.Members, func(s membership.MemberStatus) bool {
		return c.canBringUp(s) && s.LacksCertificates() && s.State == membership.Stopped
	}); found {
		return c.certificates(s), true
	}
	if s, found := first(c.Members, func(s membership.MemberStatus) bool {
		return c.canBringUp(s) && (s.State == membership.Stopped || s.Disabled && runs(s))
	}); found {
		start := step(membership.Start, s)
		if s.Disabled && runs(s) {
			start.Why = "its unit is disabled, and would not start at boot"
		}
		return start, true
	}
	if _, found := first(c.Members, func(s membership.MemberStatus) bool {
		return c.canBringUp(s) && s.State == membership.Unhealthy && waitedFor(c.ClusterStatus, s) && !c.heldByPeer(s) && !c.crashLoops(s)
	}); found {
		return bootstrap.Agree(len(c.Voters())), true
	}
	// An outdated member may be unready for what its restart changes, so it does not count here.
	if _, found := first(c.Healthy(), func(s membership.MemberStatus) bool {
		return s.Desired && s.Unready && len(s.Outdated) == 0 && s.Failed == ""
	}); found {
		return bootstrap.Agree(len(c.Voters())), true
	}
	for _, s := range c.Members {
		if c.heldByPeer(s) {
			c.defers(s, membership.NotStarted, "it does not start, since a peer holds different data, and it is not known yet which of the serving members is right", "make sure that all of them answer (check their disks and the network between them), and plan again")
		}
		if c.crashLoops(s) {
			c.defers(s, membership.NotStarted, s.Why+", with its desired configuration", fmt.Sprintf("fix what ends it (see journalctl -u etcd@%s on its host), and apply again; if its data is the cause, give the member another rebuild: it is built anew from the others", c.want.Name))
		}
		switch {
		case stays(s) && s.Alone:
			c.defers(s, membership.NotStarted, s.Why, "give the member another rebuild: it is built anew from the others, which are left as they are until then")
		case stays(s) && s.State == membership.Blocked:
			c.defers(s, membership.NotStarted, s.Why, "fix that on the host, and apply again; the others are left as they are")
		}
	}
	return membership.Step{}, false
}

// crashLoops tells whether a member's process ends at each start with its desired configuration while the others
// serve, so that waiting for it is of no use. What a member looped by before this run put its store back says nothing.
func (c *planner) crashLoops(s membership.MemberStatus) bool {
	return c.canBringUp(s) && s.State == membership.Unhealthy && s.Looping && s.Staged == "" && !s.Differs && len(s.Outdated) == 0 && !s.LacksCertificates() && s.From == "" && c.HasQuorum()
}

// configureDown stops members that must be configured first, and configures them.
func (c *planner) configureDown() (membership.Step, bool) {
	if _, found := first(c.Members, c.mustConfigureFirst); !found {
		return membership.Step{}, false
	}
	if before, needed := c.secure(); needed && len(c.Healthy()) > 0 {
		return before, true
	}
	stopped, isStopped := first(c.Members, func(s membership.MemberStatus) bool { return c.mustConfigureFirst(s) && s.State == membership.Stopped })
	if c.mayServeAgain() {
		// One after another, so that the running members stay a quorum: each starts before the next one stops.
		if isStopped {
			return step(membership.Configure, stopped), true
		}
		if _, found := first(c.Members, func(s membership.MemberStatus) bool { return c.canBringUp(s) && s.State == membership.Stopped }); found {
			return membership.Step{}, false
		}
	}
	failing := func(s membership.MemberStatus) bool {
		return c.mustConfigureFirst(s) && s.State == membership.Unhealthy
	}
	if s, found := first(c.Members, failing); found && !c.HasQuorum() && len(c.Healthy()) > 0 {
		return c.defers(s, membership.NotRestarted, fmt.Sprintf("it seems to serve nobody, and is outdated (%s), and it is not known whether the others are a quorum without it", strings.Join(s.Outdated, ", ")), c.bringBack())
	}
	if s, found := first(c.Members, func(s membership.MemberStatus) bool { return failing(s) && c.mayStopUnhealthy(s) }); found {
		stop := step(membership.Stop, s)
		stop.To = "it serves nobody, and is outdated: " + strings.Join(append(slices.Clone(s.Outdated), oldAddress(s)...), ", ")
		return stop, true
	}
	return step(membership.Configure, stopped), isStopped
}

// stopForCertificates stops a member that does not serve, and whose process trusts no authority that can sign its own
// certificate: a process reads its authorities only at its start. A member that is to be configured is stopped for that
// anyway.
func (c *planner) stopForCertificates() (membership.Step, bool) {
	s, found := first(c.Members, func(s membership.MemberStatus) bool {
		return c.canBringUp(s) && s.State == membership.Unhealthy && s.LacksCertificates() && c.canSign() && !trusts(s, c.sign) && !c.mustConfigureFirst(s) && c.mayStopUnhealthy(s)
	})
	if !found {
		return membership.Step{}, false
	}
	if s.Staged == "" {
		return c.stage(s, c.want.Version), true
	}
	if before, needed := c.secure(); needed && len(c.Healthy()) > 0 {
		return before, true
	}
	stop := step(membership.Stop, s)
	stop.To = "it serves nobody, and comes to trust authority " + c.sign.Without(s.Issued.Trusts).String()
	return stop, true
}

// mayServeAgain tells whether nobody serves while a voter that has served since its start still runs: the next election
// may bring the quorum back.
func (c *planner) mayServeAgain() bool {
	_, found := first(c.Voters(), func(s membership.MemberStatus) bool { return s.State == membership.Unhealthy && s.Active })
	return found && !c.HasQuorum()
}

// mayStopUnhealthy tells whether a voter that does not serve may be stopped: the others serve without it, or it has
// not served since its start, so that a stop takes nothing away. If no voter serves any more, those that have served
// have to be a quorum, since otherwise they only lack the others; and the running voters have to stay a quorum.
func (c *planner) mayStopUnhealthy(s membership.MemberStatus) bool {
	if c.HasQuorum() || !s.Active || c.Size() == 1 {
		return true
	}
	running, active := 0, 0
	for _, v := range c.Voters() {
		if runs(v) && !v.Looping {
			running++
		}
		if runs(v) && v.Active {
			active++
		}
	}
	return active >= membership.Quorum(c.Size()) && running-1 >= membership.Quorum(c.Size())
}

// runs tells whether the member's process runs.
func runs(s membership.MemberStatus) bool {
	return s.State == membership.Healthy || s.State == membership.Unhealthy
}

// renewCertificates issues new certificates to running members, without a restart: first to those whose present ones do
// not hold, or have the wrong things beside them.
func (c *planner) renewCertificates() (membership.Step, bool) {
	renews := func(s membership.MemberStatus) bool {
		return stays(s) && s.State == membership.Healthy && s.Invalid != "" && s.Failed == "" && (c.canSign() || s.KeepsCertificates())
	}
	s, found := first(c.Members, func(s membership.MemberStatus) bool {
		return renews(s) && c.observed.Member(s.Member).Invalid != ""
	})
	if !found {
		s, found = first(c.Members, renews)
	}
	return c.certificates(s), found
}

func (c *planner) certificates(s membership.MemberStatus) membership.Step {
	renew := step(membership.RenewCertificates, s)
	renew.Why, renew.Keeps = s.Invalid, s.KeepsCertificates()
	return renew
}

// syncConfiguration writes the current members into every member's configuration, unless a learner is joining.
func (c *planner) syncConfiguration() (membership.Step, bool) {
	if _, found := first(c.Members, outOfSync); !found || len(c.Learners()) > 0 {
		return membership.Step{}, false
	}
	var names []string
	for _, v := range c.Voters() {
		name := v.Name
		if !v.Desired {
			name = v.String() // its replacement may have the same name
		}
		names = append(names, name)
	}
	return membership.Step{Kind: membership.SyncConfiguration, To: strings.Join(names, ", ")}, true
}

// outOfSync tells whether a healthy member's configuration names other members than the cluster has.
func outOfSync(s membership.MemberStatus) bool {
	return stays(s) && s.State == membership.Healthy && s.Unsynced && s.Failed == ""
}

// disarm disarms the alarm NOSPACE of members whose databases have reached their quota, as far as it can be.
func (c *planner) disarm() (membership.Step, bool) {
	if c.HasQuorum() && slices.ContainsFunc(c.Full, func(id string) bool { return disarms(c.ClusterStatus, id) }) {
		return membership.Step{Kind: membership.Disarm}, true
	}
	for _, s := range c.Members {
		if s.Role == membership.Voter && slices.Contains(c.Full, s.ID) {
			c.deferAs(&membership.Refusal{Summary: membership.StillAlarmed, Member: s.Name, At: s.Address,
				Rule:   "it has raised the alarm NOSPACE, which only the member itself can disarm, while it serves; the cluster takes no writes until then",
				Remedy: "bring the member back, and the next apply disarms it, or give the member another host: its alarm goes with it"})
		}
	}
	return membership.Step{}, false
}

// disarms tells whether a step disarms the alarm NOSPACE of the member of this ID. Members that are gone cannot do that
// themselves.
func disarms(p membership.ClusterStatus, id string) bool {
	for _, s := range p.Members {
		if s.ID == id && s.Role != membership.Absent {
			return s.Role == membership.Voter && s.State == membership.Healthy
		}
	}
	return !slices.ContainsFunc(p.Unmanaged, func(s membership.UnmanagedMember) bool { return s.ID == id })
}

// secure returns what has to come before a risky change: the desired store on every host that needs it, with its flags
// tried, and then a snapshot. false means that all of that is done.
func (c *planner) secure() (membership.Step, bool) {
	for _, s := range c.Members {
		switch {
		case s.Failed != "":
		case c.rolls(s):
			if s.Staged != c.want.Version {
				return c.stage(s, c.want.Version), true
			}
		case joinable(s) || s.Desired && s.Role == membership.Voter && (s.HasNothing() && s.State != membership.Foreign || rebuildable(s)):
			if s.Staged == "" {
				return c.stage(s, c.arrivalVersion()), true
			}
		case s.Desired && s.Role == membership.Learner && s.State != membership.Healthy && s.State != membership.Foreign && !stuck(s):
			if version := c.joinVersion(); s.Staged != version && version != "" {
				return c.stage(s, version), true
			}
		}
	}
	if c.Saved {
		return membership.Step{}, false
	}
	// The snapshot needs room, belongs on a host that stays, and should not load the leader.
	for _, from := range []func(membership.MemberStatus) bool{
		func(s membership.MemberStatus) bool { return s.Desired && s.ID != c.Leader && !s.Cramped },
		func(s membership.MemberStatus) bool { return s.Desired && !s.Cramped },
		func(s membership.MemberStatus) bool { return !s.Cramped },
		func(s membership.MemberStatus) bool { return s.Desired && s.ID != c.Leader },
		func(s membership.MemberStatus) bool { return s.Desired },
		func(s membership.MemberStatus) bool { return true },
	} {
		if s, found := first(c.Healthy(), from); found {
			return step(membership.Snapshot, s), true
		}
	}
	return membership.Step{}, false
}

func (c *planner) stage(s membership.MemberStatus, version string) membership.Step {
	stage := step(membership.Stage, s)
	stage.To = version
	return stage
}

// voters describes a change of membership: voters before and after, their quorum, and how many are healthy.
func voters(before, after, healthy int) string {
	if before == after {
		return fmt.Sprintf("voters %d, quorum %d, healthy %d", before, membership.Quorum(before), healthy)
	}
	return fmt.Sprintf("voters %d -> %d, quorum %d, healthy %d", before, after, membership.Quorum(after), healthy)
}

// rebuildable tells whether a member is to be rebuilt on its host, and the host allows that.
func rebuildable(s membership.MemberStatus) bool {
	if s.Rebuild == "" || !s.Desired {
		return false
	}
	switch s.State {
	case membership.Healthy, membership.Unhealthy, membership.Stopped:
		return true
	}
	return s.Alone
}

// rebuild removes a healthy voter that is to be rebuilt; cleanUp then clears its host, and the member joins like any
// other. removeDead removes a voter that does not serve. Since all voters have to be healthy, no other member is
// touched before this one votes again.
func (c *planner) rebuild() (membership.Step, bool) {
	asked := func(s membership.MemberStatus) bool {
		return s.Desired && s.Rebuild != "" && s.Role == membership.Voter
	}
	for _, s := range c.Members {
		if asked(s) && !rebuildable(s) {
			c.defers(s, membership.NotRebuilt, "it cannot be built anew: "+s.Why, cmp.Or(s.Barred, "fix that, and apply again; or give the member another address"))
		}
	}
	healthy, n := len(c.Healthy()), c.Size()
	serves := func(s membership.MemberStatus) bool { return asked(s) && s.State == membership.Healthy }
	s, found := first(c.Members, func(s membership.MemberStatus) bool { return serves(s) && s.ID != c.Leader })
	if !found {
		s, found = first(c.Members, serves)
	}
	switch {
	case !found:
		return membership.Step{}, false
	case n == 1:
		return c.defers(s, membership.NotRebuilt, "it cannot be built anew: nobody else has its data", "let the cluster have three members, and apply again; or restore a snapshot")
	case healthy < n:
		return c.defers(s, membership.NotRebuilt, fmt.Sprintf("it cannot be built anew: %d of %d voters are healthy, and all have to be", healthy, n), c.bringBack())
	case n != len(c.want.Members) || len(c.Learners()) > 0:
		return c.defers(s, membership.NotRebuilt, fmt.Sprintf("it cannot be built anew: there are %d voters and %d learners, and %d voters are desired", n, len(c.Learners()), len(c.want.Members)), "wait until the cluster has its desired size")
	case !c.led():
		return c.defers(s, membership.NotRebuilt, "it cannot be built anew: no healthy voter is known to lead", "apply again once the members have elected a leader")
	case c.joinVersion() == "":
		return c.uncarried(s)
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	if s.ID == c.Leader {
		return c.lead(s, "is built anew")
	}
	remove := step(membership.Remove, s)
	remove.Why = "to be built anew (" + s.Rebuild + ")"
	remove.Sum = voters(n, n-1, healthy-1)
	return remove, true
}
