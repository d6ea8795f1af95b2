package upgrade

import (
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// dead tells whether a voter will not come back by itself, or by being started.
func dead(s membership.Seat) bool {
	switch s.State {
	case membership.Empty, membership.Lost, membership.Taken:
		return true
	case membership.Silent, membership.Stopped, membership.Failing, membership.Blocked:
		return !s.Wanted // whoever is taken out of the configuration in such a state is not waited for
	}
	return false
}

// removeDead removes one dead voter, and the next only after the first was replaced.
func (c *choice) removeDead() (membership.Step, bool) {
	s, found := first(c.Voters(), dead)
	if !found || !c.HasQuorum() {
		return membership.Step{}, false
	}
	n, healthy := c.Size(), len(c.Healthy())
	if _, waits := first(c.Seats, joinable); waits && n%2 == 0 {
		return membership.Step{}, false
	}
	if s.Wanted && s.State == membership.Taken {
		return c.hold(s, s.Why, "give the member another address")
	}
	if heir, found := first(c.Seats, func(h membership.Seat) bool { return h.Wanted && h.Name == s.Name && h.Address != s.Address }); found && heir.Role == membership.Absent && !joinable(heir) {
		return c.hold(heir, heir.Why, "mend that, or give the member another address; the dead member stays in the list until its replacement can come")
	}
	switch {
	case healthy < membership.Quorum(n-1):
		return c.hold(s, fmt.Sprintf("it cannot be removed: of %d voters %d would be healthy, and %d are needed", n-1, healthy, membership.Quorum(n-1)), c.bringBack())
	case len(c.Learners()) > 0:
		return c.hold(s, "it cannot be removed while a learner is under way", "see what keeps the learner")
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	remove := step(membership.Remove, s)
	remove.Why = "dead, " + s.Why
	if s.Why == "" {
		remove.Why = "dead"
	}
	remove.Sum = voters(n, n-1, healthy)
	return remove, true
}

// removeLeaver removes one healthy voter that is wanted no longer, where there are more than are
// wanted: whoever replaces it came first.
func (c *choice) removeLeaver() (membership.Step, bool) {
	n, healthy := c.Size(), len(c.Healthy())
	if n <= len(c.want.Members) || !c.HasQuorum() {
		return membership.Step{}, false
	}
	// The one that leads goes last.
	leaves := func(s membership.Seat) bool { return !s.Wanted && s.State == membership.Serving }
	s, found := first(c.Voters(), func(s membership.Seat) bool { return leaves(s) && s.ID != c.Leader })
	if !found {
		s, found = first(c.Voters(), leaves)
	}
	switch {
	case !found:
		return membership.Step{}, false
	case healthy < n:
		return c.hold(s, fmt.Sprintf("it cannot be removed: %d of %d voters are healthy, and all have to be", healthy, n), c.bringBack())
	case len(c.Learners()) > 0:
		return membership.Step{}, false
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	if s.ID == c.Leader {
		return c.lead(s, "leaves the cluster")
	}
	remove := step(membership.Remove, s)
	remove.Why = "no longer wanted"
	remove.Sum = voters(n, n-1, healthy-1)
	return remove, true
}

// lead moves the leadership from a seat to a healthy voter that stays, and that runs what is wanted
// where there is one.
func (c *choice) lead(from membership.Seat, why string) (membership.Step, bool) {
	stays := func(s membership.Seat) bool { return s.Wanted && s.Member != from.Member }
	to, found := first(c.Healthy(), func(s membership.Seat) bool { return stays(s) && len(s.Outdated) == 0 })
	if !found {
		to, found = first(c.Healthy(), stays)
	}
	if !found {
		return c.hold(from, "it leads, and no healthy voter that stays can take over", c.bringBack())
	}
	move := step(membership.MoveLeader, from)
	move.Member, move.At = from.Name, from.Address
	move.To, move.Why = to.String(), why
	return move, true
}

// bringBack names the voters that are missed.
func (c *choice) bringBack() string {
	var missed []string
	for _, s := range c.Voters() {
		if s.State != membership.Serving {
			text := fmt.Sprintf("%s is %s", s, s.State)
			if s.Why != "" {
				text += " (" + s.Why + ")"
			}
			missed = append(missed, text)
		}
	}
	if len(missed) == 0 {
		return "apply again"
	}
	return "bring back what is down: " + strings.Join(missed, "; ")
}
