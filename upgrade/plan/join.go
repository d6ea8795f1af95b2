package plan

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// joinable tells whether a desired member can be added to the list.
func joinable(s membership.MemberStatus) bool {
	return s.Desired && s.Role == membership.Absent && s.Failed == "" && (s.State == membership.Missing || hasLeft(s))
}

// occupant returns the member that the list still has at s's address, if any. etcd accepts no second member there
// before that one is re-addressed.
func (c *planner) occupant(s membership.MemberStatus) (by membership.MemberStatus, is bool) {
	return first(c.Members, func(o membership.MemberStatus) bool {
		return o.Member != s.Member && o.Role != membership.Absent && o.From != "" && !o.Moved && membership.HostOf(o.From) == s.Address
	})
}

// addable tells whether a member can be added at its address now.
func (c *planner) addable(s membership.MemberStatus) bool {
	_, occupied := c.occupant(s)
	return joinable(s) && !occupied
}

// deferToOccupant defers a member whose address the list still has for another one.
func (c *planner) deferToOccupant(s, by membership.MemberStatus) {
	c.defers(s, membership.NotAdded, fmt.Sprintf("the member list has %s at this address until that is re-addressed", by.Name), "give one of the two another address, or apply them one after the other")
}

// hasLeft tells whether a host carries remains of a member that is no longer in the list.
func hasLeft(s membership.MemberStatus) bool {
	if s.Role != membership.Absent || !s.Traces || s.Failed != "" || mayHaveStayed(s) != "" {
		return false
	}
	switch s.State {
	case membership.Unhealthy, membership.Stopped, membership.Lost:
		return true
	}
	return s.Alone || !s.Desired && s.State == membership.Missing
}

// mayHaveStayed returns why a member that the list lacks may be a member all the same; empty: it is none.
func mayHaveStayed(s membership.MemberStatus) string {
	switch {
	case s.Role != membership.Absent:
		return ""
	case s.State == membership.Healthy:
		return "it serves, and the member list that the others tell lacks it: the list may be older than the member"
	case s.Unlisted != "":
		return isUnlisted(s)
	}
	return ""
}

// deferUnlisted defers all that would be done to the host of a member that may have stayed.
func (c *planner) deferUnlisted() {
	for _, s := range c.Members {
		if why := mayHaveStayed(s); why != "" && s.Traces && s.Failed == "" {
			c.defers(s, membership.NotCleanedUp, why, fmt.Sprintf("plan again; if it stays so, ask it and the others for their lists (etcdctl member list), and stop it if it is wrong (systemctl stop etcd@%s on its host)", c.want.Name))
		}
	}
}

// cleanUp removes a member's remains from its host: for good if the member has left, or to make room if it joins anew.
func (c *planner) cleanUp() (membership.Step, bool) {
	if !c.HasQuorum() { // without a quorum nobody can say who is in the list
		return membership.Step{}, false
	}
	for _, s := range c.Members {
		if !s.Desired && s.Role == membership.Absent && s.Traces && s.State == membership.Blocked && !s.Alone {
			c.defers(s, membership.NotCleanedUp, "it has left the cluster, and its host still carries it: "+s.Why, "fix that on the host, and apply again: its data is moved aside then")
		}
	}
	c.deferUnlisted()
	s, found := first(c.Members, hasLeft)
	if !found {
		return membership.Step{}, false
	}
	if s.Desired {
		aside := step(membership.SetAside, s)
		aside.To = "it is no longer in the member list, and joins anew"
		return aside, true
	}
	retire := step(membership.Retire, s)
	retire.To = "data moved aside"
	return retire, true
}

// removeStaleLearners removes learners that are not desired, and learners that cannot catch up from where they are. It
// leaves them while members are left alone that lack certificates: no quorum counts a learner, and no other comes then.
func (c *planner) removeStaleLearners() (membership.Step, bool) {
	if _, lacking := first(c.Members, func(s membership.MemberStatus) bool { return s.Lacks }); lacking || !c.HasQuorum() {
		return membership.Step{}, false
	}
	for _, s := range c.Unmanaged {
		if s.Ours && s.Role == membership.Learner {
			return c.withdraw(membership.Step{Kind: membership.Remove, Member: unmanagedName(s), At: s.PeerURL, To: s.ID, Why: "a learner that an earlier change left behind"})
		}
	}
	for _, s := range c.Learners() {
		remove := step(membership.Remove, s)
		switch {
		case !s.Desired:
			remove.Why = "a learner that is no longer in the configuration"
		case s.State == membership.Lost, s.State == membership.Missing && s.Started:
			remove.Why = "a learner that has lost its data, and joins anew"
		case s.From != "":
			remove.Why = fmt.Sprintf("a learner at %s, which joins anew at its new address", membership.HostOf(s.From))
		case s.State == membership.Foreign:
			remove.Why = "a learner whose host is not to be touched: " + s.Why
		default:
			continue
		}
		return c.withdraw(remove)
	}
	return membership.Step{}, false
}

// withdraw removes a learner. No quorum counts it.
func (c *planner) withdraw(remove membership.Step) (membership.Step, bool) {
	if before, needed := c.secure(); needed {
		return before, true
	}
	return remove, true
}

// stuck tells whether a learner can neither continue nor be removed until somebody fixes its host.
func stuck(s membership.MemberStatus) bool {
	return s.State == membership.Unreachable || s.State == membership.Blocked || s.Failed != ""
}

// hasJoinable tells whether a desired member that does not vote yet can join.
func (c *planner) hasJoinable() bool {
	if learner, found := first(c.Learners(), func(membership.MemberStatus) bool { return true }); found {
		return !stuck(learner)
	}
	_, found := first(c.Members, joinable)
	return found && c.joinVersion() != ""
}

// admit continues with the current learner until it votes.
func (c *planner) admit() (membership.Step, bool) {
	learners := c.Learners()
	if len(learners) == 0 || !c.HasQuorum() {
		return membership.Step{}, false
	}
	s := learners[0]
	n, healthy := c.Size(), len(c.Healthy())
	if stuck(s) {
		return c.defers(s, membership.NotPromoted, fmt.Sprintf("it is a learner that has not caught up, and %s", s.Why), wayOn(s)+"; no other member is added, rolled or replaced meanwhile")
	}
	if s.State != membership.Healthy { // the join is safe to repeat, however far it has come
		version := c.joinVersion()
		if version == "" {
			return c.uncarried(s)
		}
		if s.Staged != version {
			return c.stage(s, version), true
		}
		join := step(membership.Join, s)
		join.To = version
		return join, true
	}
	// The other voters have to be a quorum without the learner: it may fail the moment it has its vote.
	if healthy < n && healthy < membership.Quorum(n+1) {
		return c.defers(s, membership.NotPromoted, fmt.Sprintf("it cannot be given a vote: of %d voters %d would be healthy without it, and %d are needed", n+1, healthy, membership.Quorum(n+1)), c.bringBack())
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	promote := step(membership.Promote, s)
	promote.Sum = voters(n, n+1, healthy+1)
	return promote, true
}

// replenish adds a member at an even size. An even size tolerates no more failures than the odd one below it, so a
// cluster only passes through it.
func (c *planner) replenish() (membership.Step, bool) {
	if c.Size()%2 != 0 || c.Size() >= len(c.want.Members)+1 || c.keepsOut() {
		return membership.Step{}, false
	}
	return c.add()
}

// arrive adds a member at an odd size, where all voters are healthy.
func (c *planner) arrive() (membership.Step, bool) { return c.add() }

// add adds the next desired member that the cluster does not have.
func (c *planner) add() (membership.Step, bool) {
	if len(c.Learners()) > 0 || !c.HasQuorum() {
		return membership.Step{}, false
	}
	// A member that replaces nobody comes before one that takes over from a healthy voter.
	s, found := first(c.Members, func(s membership.MemberStatus) bool { return c.addable(s) && !c.inPlace(s) })
	if !found {
		s, found = first(c.Members, c.addable)
	}
	if !found {
		return c.deferUnaddable()
	}
	n, healthy := c.Size(), len(c.Healthy())
	if n%2 != 0 && healthy < n {
		return c.defers(s, membership.NotAdded, fmt.Sprintf("it cannot be added: %d of %d voters are healthy, and all have to be", healthy, n), c.bringBack())
	}
	if healthy < membership.Quorum(n+1) && healthy < n {
		return c.defers(s, membership.NotAdded, fmt.Sprintf("it cannot be added: of %d voters %d would be healthy without it, and %d are needed", n+1, healthy, membership.Quorum(n+1)), c.bringBack())
	}
	version := c.joinVersion()
	if version == "" {
		return c.uncarried(s)
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	if s.Staged != version {
		return c.stage(s, version), true
	}
	return step(membership.AddLearner, s), true
}

// inPlace tells whether a member of this name votes at another address.
func (c *planner) inPlace(s membership.MemberStatus) bool {
	_, found := first(c.Voters(), func(v membership.MemberStatus) bool { return v.Name == s.Name && v.Address != s.Address })
	return found
}

// deferUnaddable defers the desired members whose hosts cannot take them.
func (c *planner) deferUnaddable() (membership.Step, bool) {
	for _, s := range c.Members {
		if by, occupied := c.occupant(s); joinable(s) && occupied {
			c.deferToOccupant(s, by)
		} else if s.Desired && s.Role == membership.Absent && s.Failed == "" {
			c.defers(s, membership.NotAdded, s.Why, wayOn(s)+"; it is not added meanwhile")
		}
	}
	return membership.Step{}, false
}

// uncarried defers a member that would join with a version of etcd that this provider does not carry.
func (c *planner) uncarried(s membership.MemberStatus) (membership.Step, bool) {
	return c.defers(s, membership.NotAdded, fmt.Sprintf("it cannot join: the others run etcd %[1]s, which an older etcd cannot join, and this provider carries no etcd %[1]s", c.joinMinor()), "apply with a release of this provider that carries it")
}

// joinMinor returns the minor version of etcd that a member joins with: the desired one once a voter runs it, and
// until then the one that the voters run. So a member that joins in the middle of a version change begins like the
// others. The progress of a downgrade does not count, since etcd continues it between two observations.
func (c *planner) joinMinor() string {
	desired := membership.Minor(c.want.Version)
	minor := ""
	for _, s := range c.Voters() {
		switch of := membership.Minor(s.Version); {
		case s.Version == "" || dead(s):
		case of == desired:
			return desired
		case minor == "" || membership.CompareVersions(of, minor) < 0:
			minor = of
		}
	}
	if minor == "" {
		return desired
	}
	return minor
}

// joinVersion returns the version that a member joins with now. If this provider carries no patch of that minor
// version, a newer desired version works as well, as in any upgrade. It is empty if the desired version is older.
func (c *planner) joinVersion() string {
	minor := c.joinMinor()
	if minor == membership.Minor(c.want.Version) {
		return c.want.Version
	}
	version := membership.NewestOf(minor, c.want.Carried)
	if version == "" && membership.CompareVersions(membership.Minor(c.want.Version), minor) > 0 {
		return c.want.Version
	}
	return version
}

// arrivalVersion returns the version to stage on a new member's host: the one that the member joins with, or, if it
// joins after an upgrade, the version after that upgrade.
func (c *planner) arrivalVersion() string {
	later := !c.goesDown() && len(c.Learners()) == 0 && c.Size()%2 != 0 && len(c.Healthy()) == c.Size()
	if version := c.joinVersion(); version != "" && !later {
		return version
	}
	return c.want.Version
}
