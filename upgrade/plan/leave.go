package plan

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// dead tells whether a voter will come back neither by itself nor by a start.
func dead(s membership.MemberStatus) bool {
	if s.Barred != "" { // its host answers, and the member may serve
		return false
	}
	switch s.State {
	case membership.Unreachable, membership.Stopped, membership.Unhealthy, membership.Blocked:
		// A run does not wait for a member in this state if the configuration no longer has it.
		return !s.Desired || rebuildable(s)
	}
	return s.HasNothing()
}

// wayOn is what to do about a member that cannot join. A host that answers is not to be given up for its credentials.
func wayOn(s membership.MemberStatus) string {
	return cmp.Or(s.Barred, "fix that, or give the member another address")
}

// removeDead removes one dead voter, and the next one only after the first has its replacement.
func (c *planner) removeDead() (membership.Step, bool) {
	n, healthy := c.Size(), len(c.Healthy())
	if !c.HasQuorum() || n%2 == 0 && n <= len(c.want.Members) && c.hasJoinable() {
		return membership.Step{}, false
	}
	for _, s := range c.Voters() {
		if s.Barred != "" && !s.Desired {
			c.defers(s, membership.NotRemoved, "it cannot be removed: "+s.Why+", and it may serve", s.Barred+"; or switch the host off; where another machine has its address by now, etcdctl member remove "+s.ID+" ends it")
			continue
		}
		if !dead(s) || c.staysListed(s) {
			continue
		}
		if s.ID != "" && s.ID == c.Leader { // it is dead only as seen from here
			return c.defers(s, membership.NotRemoved, "it cannot be removed: "+s.Why+", and it leads", "make its host reachable, or switch it off, so that another voter leads")
		}
		if healthy < membership.Quorum(n-1) {
			return c.defers(s, membership.NotRemoved, fmt.Sprintf("it cannot be removed: of %d voters %d would be healthy, and %d are needed", n-1, healthy, membership.Quorum(n-1)), c.bringBack())
		}
		if before, needed := c.secure(); needed {
			return before, true
		}
		remove := step(membership.Remove, s)
		remove.Why = "dead, " + s.Why
		if s.Why == "" {
			remove.Why = "dead"
		}
		if rebuildable(s) {
			remove.Why = "to be built anew (" + s.Rebuild + "), " + s.Why
		}
		remove.Sum = voters(n, n-1, healthy)
		return remove, true
	}
	return membership.Step{}, false
}

// staysListed tells whether a dead voter stays in the member list for now because its replacement cannot join yet. The
// list then shows that a member is missing.
func (c *planner) staysListed(s membership.MemberStatus) bool {
	if s.Failed != "" {
		return true
	}
	if s.Desired && s.State == membership.Foreign {
		c.defers(s, membership.NotAdded, s.Why, "give the member another address")
		return true
	}
	if (s.Desired || c.awaitsReplacement(s)) && c.joinVersion() == "" {
		c.uncarried(s)
		return true
	}
	heir, found := first(c.Members, func(h membership.MemberStatus) bool { return h.Desired && h.Name == s.Name && h.Address != s.Address })
	if by, occupied := c.occupant(heir); found && heir.Role == membership.Absent && joinable(heir) && occupied {
		c.deferToOccupant(heir, by)
		return true
	}
	if found && heir.Role == membership.Absent && !joinable(heir) {
		c.defers(heir, membership.NotAdded, heir.Why, wayOn(heir)+"; the dead member stays in the list until its replacement can come")
		return true
	}
	return false
}

// removeLeaver removes one healthy voter that is no longer desired, once there are more voters than desired: its
// replacement joins first.
func (c *planner) removeLeaver() (membership.Step, bool) {
	n, healthy := c.Size(), len(c.Healthy())
	if n <= len(c.want.Members) || !c.HasQuorum() {
		return membership.Step{}, false
	}
	// A member whose replacement has yet to join waits for that, and the leader goes last.
	leaves := func(s membership.MemberStatus) bool { return !s.Desired && s.State == membership.Healthy }
	follows := func(s membership.MemberStatus) bool { return leaves(s) && s.ID != c.Leader }
	replaced := func(s membership.MemberStatus) bool { return !c.awaitsReplacement(s) }
	var s membership.MemberStatus
	found := false
	for _, is := range []func(membership.MemberStatus) bool{
		func(s membership.MemberStatus) bool { return follows(s) && replaced(s) },
		func(s membership.MemberStatus) bool { return leaves(s) && replaced(s) },
		follows, leaves,
	} {
		if s, found = first(c.Voters(), is); found {
			break
		}
	}
	switch {
	case !found:
		return membership.Step{}, false
	case healthy < n:
		return c.defers(s, membership.NotRemoved, fmt.Sprintf("it cannot be removed: %d of %d voters are healthy, and all have to be", healthy, n), c.bringBack())
	case len(c.Learners()) > 0:
		return membership.Step{}, false
	case !c.led():
		return c.defers(s, membership.NotRemoved, "it cannot be removed: no healthy voter is known to lead", "apply again once the members have elected a leader")
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	if s.ID == c.Leader {
		return c.lead(s, "leaves the cluster")
	}
	remove := step(membership.Remove, s)
	remove.Why = "no longer in the configuration"
	remove.Sum = voters(n, n-1, healthy-1)
	return remove, true
}

// awaitsReplacement tells whether a leaving member's replacement, of the same name, has not joined yet.
func (c *planner) awaitsReplacement(s membership.MemberStatus) bool {
	_, found := first(c.Members, func(heir membership.MemberStatus) bool {
		return heir.Desired && heir.Name == s.Name && heir.Role == membership.Absent
	})
	return found
}

// led tells whether the leader is known and is a healthy voter.
func (c *planner) led() bool {
	_, found := first(c.Healthy(), func(s membership.MemberStatus) bool { return s.ID == c.Leader })
	return found
}

// lead moves the leadership from a member to another healthy voter, preferably one that stays and runs its desired
// configuration.
func (c *planner) lead(from membership.MemberStatus, why string) (membership.Step, bool) {
	other := func(s membership.MemberStatus) bool { return s.Member != from.Member }
	to, found := first(c.Healthy(), func(s membership.MemberStatus) bool { return other(s) && s.Desired && len(s.Outdated) == 0 })
	if !found {
		to, found = first(c.Healthy(), func(s membership.MemberStatus) bool { return other(s) && s.Desired })
	}
	if !found {
		to, found = first(c.Healthy(), other)
	}
	if !found {
		return c.defers(from, membership.NotRemoved, "it leads, and there is no other healthy voter to take over", c.bringBack())
	}
	move := step(membership.MoveLeader, from)
	move.Member, move.At = from.Name, from.Address
	move.To, move.Why = to.String(), why
	return move, true
}

// bringBack returns the remedy that names the voters to bring back.
func (c *planner) bringBack() string { return cmp.Or(c.downVoters(), "apply again") }

// downVoters is bringBack, and empty if all voters are healthy.
func (c *planner) downVoters() string {
	var down, barred []string
	for _, s := range c.Voters() {
		if s.Barred != "" {
			barred = append(barred, fmt.Sprintf("%s could not be asked (%s): %s", s, s.Why, s.Barred))
			continue
		}
		if s.State != membership.Healthy {
			text := fmt.Sprintf("%s is %s", s, s.State)
			if s.Why != "" {
				text += " (" + s.Why + ")"
			}
			down = append(down, text)
		}
	}
	if len(down) > 0 {
		barred = append([]string{"bring back what is down: " + strings.Join(down, "; ")}, barred...)
	}
	return strings.Join(barred, "; ")
}
