package upgrade

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// joinable tells whether a wanted member can be added to the list.
func joinable(s membership.Seat) bool {
	return s.Wanted && s.Role == membership.Absent && (s.State == membership.Empty || hasLeft(s))
}

// hasLeft tells whether a host carries what is left of a member that is in no list any more.
func hasLeft(s membership.Seat) bool {
	if s.Role != membership.Absent || !s.Traces {
		return false
	}
	switch s.State {
	case membership.Serving, membership.Failing, membership.Stopped, membership.Lost:
		return true
	}
	return !s.Wanted && s.State == membership.Empty
}

// clear takes what is left of a member off its host: for good where it has left, and to make room for a
// new beginning where it is to come back.
func (c *choice) clear() (membership.Step, bool) {
	s, found := first(c.Seats, hasLeft)
	if !found || !c.HasQuorum() { // without a quorum nobody can say who is in the list
		return membership.Step{}, false
	}
	if s.Wanted {
		aside := step(membership.SetAside, s)
		aside.To = "it is no longer in the list, and joins anew"
		return aside, true
	}
	retire := step(membership.Retire, s)
	retire.To = "data moved aside"
	return retire, true
}

// tidy removes learners that nobody wants, and those that cannot go on from where they are.
func (c *choice) tidy() (membership.Step, bool) {
	if !c.HasQuorum() {
		return membership.Step{}, false
	}
	for _, s := range c.Strangers {
		if s.Ours && s.Role == membership.Learner {
			return membership.Step{Kind: membership.Remove, Member: strangerName(s), At: s.PeerURL, To: s.ID, Why: "a learner that an earlier change has left"}, true
		}
	}
	for _, s := range c.Learners() {
		remove := step(membership.Remove, s)
		switch {
		case !s.Wanted:
			remove.Why = "a learner that is no longer wanted"
		case s.Started && (s.State == membership.Empty || s.State == membership.Lost):
			remove.Why = "a learner that has lost its data, and joins anew"
		case s.State == membership.Taken:
			remove.Why = "a learner whose host is not to be touched: " + s.Why
		default:
			continue
		}
		return remove, true
	}
	return membership.Step{}, false
}

// admit goes on with the learner that is under way until it votes.
func (c *choice) admit() (membership.Step, bool) {
	learners := c.Learners()
	if len(learners) == 0 || !c.HasQuorum() {
		return membership.Step{}, false
	}
	s := learners[0]
	n, healthy := c.Size(), len(c.Healthy())
	switch {
	case s.State == membership.Silent || s.State == membership.Blocked:
		return c.hold(s, fmt.Sprintf("it is a learner that has not caught up, and %s", s.Why), "mend that, or give the member another address; no other member is added or removed meanwhile")
	case s.State == membership.Empty && !s.Staged:
		return c.stage(s, c.joinVersion()), true
	case s.State == membership.Empty:
		join := step(membership.Join, s)
		join.To = c.joinVersion()
		return join, true
	case s.State != membership.Serving:
		return membership.Step{}, false
	case healthy+1 < membership.Quorum(n+1):
		return c.hold(s, fmt.Sprintf("it cannot be given a vote: of %d voters %d would be healthy, and %d are needed", n+1, healthy+1, membership.Quorum(n+1)), "bring back a member that is down")
	}
	promote := step(membership.Promote, s)
	promote.Sum = voters(n, n+1, healthy+1)
	return promote, true
}

// replenish adds a member at an even size: every even size tolerates no more than the odd one below it,
// and is only passed through.
func (c *choice) replenish() (membership.Step, bool) {
	if c.Size()%2 != 0 || c.Size() >= len(c.want.Members)+1 {
		return membership.Step{}, false
	}
	return c.add()
}

// arrive adds a member at an odd size, where all voters are healthy.
func (c *choice) arrive() (membership.Step, bool) { return c.add() }

// add adds the next member that is wanted and is not there.
func (c *choice) add() (membership.Step, bool) {
	if len(c.Learners()) > 0 || !c.HasQuorum() {
		return membership.Step{}, false
	}
	s, found := first(c.Seats, joinable)
	if !found {
		return c.barred()
	}
	n, healthy := c.Size(), len(c.Healthy())
	if n%2 != 0 && healthy < n {
		return c.hold(s, fmt.Sprintf("it cannot be added: %d of %d voters are healthy, and all have to be", healthy, n), c.bringBack())
	}
	if healthy < membership.Quorum(n+1) && healthy < n {
		return c.hold(s, fmt.Sprintf("it cannot be added: of %d voters %d would be healthy without it, and %d are needed", n+1, healthy, membership.Quorum(n+1)), c.bringBack())
	}
	if c.joinVersion() == "" {
		return c.hold(s, fmt.Sprintf("it cannot be added: the cluster runs etcd %s, and this provider carries none of that line to join it with", c.ClusterVersion), "put back the version that runs, add the member, and change the version afterwards")
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	return step(membership.AddLearner, s), true
}

// barred names the members that are wanted and whose hosts cannot take them.
func (c *choice) barred() (membership.Step, bool) {
	for _, s := range c.Seats {
		if s.Wanted && s.Role == membership.Absent {
			c.hold(s, s.Why, "mend that, or give the member another address; it is not added meanwhile")
		}
	}
	return membership.Step{}, false
}

// joinVersion is the version that a member joins with: the wanted one, unless the others have yet to
// come to its line. A member that is replaced in the middle of an upgrade or before a downgrade begins
// as the others are, and is rolled with them.
func (c *choice) joinVersion() string {
	line := c.ClusterVersion
	if c.Downgrade != "" {
		line = c.Downgrade
	}
	if line == "" || line == membership.Line(c.want.Version) {
		return c.want.Version
	}
	return membership.NewestOf(line, c.want.Carried)
}
