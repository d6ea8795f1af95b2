package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// goesDown tells whether the desired minor version of etcd is older than what a member runs.
func (c *planner) goesDown() bool {
	_, found := first(c.Members, func(s membership.MemberStatus) bool {
		return s.Role != membership.Absent && s.Version != "" && membership.CompareVersions(membership.Minor(c.want.Version), membership.Minor(s.Version)) < 0
	})
	return found
}

// cancel cancels a downgrade to another minor version than the desired one.
func (c *planner) cancel() (membership.Step, bool) {
	if c.Downgrade == "" || c.Downgrade == membership.Minor(c.want.Version) || !c.HasQuorum() {
		return membership.Step{}, false
	}
	return membership.Step{Kind: membership.Cancel, To: c.Downgrade}, true
}

// comesDown tells whether members can restart on an older minor version of etcd as they are: their storage has been
// downgraded to it, or has never left it since an upgrade is unfinished. An upgrade finishes a few seconds after the
// last member was rolled, whatever the members have agreed on until then.
func (c *planner) comesDown() bool {
	minor := membership.Minor(c.want.Version)
	if c.Downgrade != "" {
		return c.Downgrade == minor && c.Lowered
	}
	_, unfinished := first(c.Voters(), func(s membership.MemberStatus) bool {
		return !s.HasNothing() && s.Version != "" && membership.CompareVersions(membership.Minor(s.Version), minor) <= 0
	})
	return unfinished && c.ClusterVersion != "" && membership.CompareVersions(c.ClusterVersion, minor) <= 0
}

// rollForward rolls members one by one to their desired configuration and version.
func (c *planner) rollForward() (membership.Step, bool) {
	if c.goesDown() {
		return membership.Step{}, false
	}
	return c.roll()
}

// rollBackward rolls members one by one to an older minor version of etcd. If all of them have agreed on the newer
// one, their storage is downgraded first: a member that restarts on the older etcd before that does not start, and
// neither do the others.
func (c *planner) rollBackward() (membership.Step, bool) {
	minor := membership.Minor(c.want.Version)
	if !c.goesDown() || len(c.Learners()) > 0 || !c.HasQuorum() {
		return membership.Step{}, false
	}
	if c.comesDown() {
		return c.roll()
	}
	if healthy, n := len(c.Healthy()), c.Size(); healthy < n {
		c.deferAs(&membership.Refusal{Summary: "The cluster cannot be downgraded now", Attribute: "version", Waits: true,
			Rule: fmt.Sprintf("etcd cannot be downgraded to %s: %d of %d voters are healthy, and all have to be", minor, healthy, n), Remedy: c.bringBack()})
		return membership.Step{}, false
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	return membership.Step{Kind: membership.Downgrade, To: minor}, true
}

// next is the member to restart next, of those for which is holds: zone by zone, so that no more than one zone is short
// of members at a time, the leader's zone last, and in each zone the leader last. Apart from that the order of names
// decides.
func (c *planner) next(is func(membership.MemberStatus) bool) (membership.MemberStatus, bool) {
	leads := func(s membership.MemberStatus) bool { return s.ID != "" && s.ID == c.Leader }
	leader, _ := first(c.Members, leads)
	var next membership.MemberStatus
	found := false
	for _, s := range c.Members {
		if is(s) && (!found || c.before(s, next, leader)) {
			next, found = s, true
		}
	}
	return next, found
}

// before tells whether a restarts before b. If neither comes first by these rules, the order of the list decides.
func (c *planner) before(a, b, leader membership.MemberStatus) bool {
	last := c.want.Zones[leader.Name]
	zoneA, zoneB := c.want.Zones[a.Name], c.want.Zones[b.Name]
	switch {
	case zoneA != zoneB && (zoneA == last || zoneB == last):
		return zoneB == last
	case zoneA != zoneB:
		return zoneA < zoneB
	}
	return b.ID == leader.ID && a.ID != leader.ID
}

// roll rolls the next member, the leader last.
func (c *planner) roll() (membership.Step, bool) {
	s, found := c.next(func(s membership.MemberStatus) bool { return c.rolls(s) && s.From == "" })
	if !found || !c.HasQuorum() {
		return c.hold()
	}
	what := fmt.Sprintf("it cannot be restarted (%s)", strings.Join(s.Outdated, ", "))
	if step, stops := c.mayStop(s, membership.NotRestarted, what, "is rolled last"); stops {
		return step, step != (membership.Step{})
	}
	n, healthy := c.Size(), len(c.Healthy())
	roll := step(membership.Roll, s)
	roll.To, roll.Why = c.want.Version, strings.Join(s.Outdated, ", ")
	roll.Sum = voters(n, n, healthy-1) + " meanwhile"
	if n == 1 {
		roll.Sum = "a cluster of one has no spare: it serves nobody meanwhile"
	}
	return roll, true
}

// rolls tells whether a member that serves is to be restarted by what is desired.
func (c *planner) rolls(s membership.MemberStatus) bool {
	return stays(s) && s.Role == membership.Voter && s.State == membership.Healthy && len(s.Outdated) > 0 && !c.restartHeldBack(s)
}

// restartHeldBack tells whether a member that serves is left as it is, though it is outdated.
func (c *planner) restartHeldBack(s membership.MemberStatus) bool {
	return c.want.HoldRestarts && s.Unasked && s.Version == c.want.Version
}

// hold defers the restarts that hold_restarts holds back, with their reasons.
func (c *planner) hold() (membership.Step, bool) {
	var names, reasons []string
	for _, s := range c.Members {
		if stays(s) && s.State == membership.Healthy && len(s.Outdated) > 0 && c.restartHeldBack(s) {
			names, reasons = append(names, s.String()), append(reasons, strings.Join(s.Outdated, ", "))
		}
	}
	if len(names) == 0 || slices.ContainsFunc(c.deferred, func(r *membership.Refusal) bool { return r.HeldBack() }) {
		return membership.Step{}, false
	}
	c.deferred = append(c.deferred, &membership.Refusal{
		Summary: "Restarts are held back", Attribute: membership.HoldRestarts,
		Rule: fmt.Sprintf("hold_restarts holds back a restart of %s: only this release of the provider asks for it (%s), and not the configuration",
			strings.Join(names, ", "), strings.Join(slices.Compact(reasons), "; ")),
		Remedy: "set hold_restarts to false when a rolling restart suits",
	})
	return membership.Step{}, false
}

// mayStop returns the step that has to come before a serving voter stops for a moment, or the zero Step if the stop has
// to wait. false: it may stop now. summary and what say in the refusal what cannot be done, and last says why the
// leadership moves.
func (c *planner) mayStop(s membership.MemberStatus, summary, what, last string) (before membership.Step, stops bool) {
	n, healthy := c.Size(), len(c.Healthy())
	hold := func(rule, remedy string) (membership.Step, bool) {
		step, _ := c.defers(s, summary, what+rule, remedy)
		return step, true
	}
	switch {
	case n == 1 && c.hasJoinable() && !unreachable(s):
		return membership.Step{}, true // it will have a second voter then
	case s.Closed != "":
		return hold(", since it would not come up: "+s.Closed, "fix that, and plan again with a refresh")
	case len(c.Learners()) > 0:
		return hold(" while a learner is under way", "find out what keeps the learner")
	case healthy < n:
		return hold(fmt.Sprintf(": %d of %d voters are healthy, and all have to be", healthy, n), c.bringBack())
	case n > 1 && healthy-1 < membership.Quorum(n):
		return hold(fmt.Sprintf(": %d of %d voters would be healthy, and %d are needed", healthy-1, n, membership.Quorum(n)), "wait until the cluster has an odd number of voters")
	case !c.led():
		return hold(": no healthy voter is known to lead", "apply again once the members have elected a leader")
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	if s.ID == c.Leader && n > 1 {
		step, _ := c.lead(s, last)
		return step, true
	}
	return membership.Step{}, false
}
