package plan

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// A re-addressed member stays on its machine and keeps its data and its ID. The list gets its new peer URL, and the
// member restarts with flags and certificates for its new address.

// moves tells whether a member is to be re-addressed.
func moves(s membership.MemberStatus) bool {
	return s.From != "" && s.Failed == "" && s.Desired && s.Role == membership.Voter
}

// moves tells whether a member can be re-addressed now: the list has no other member at its new address.
func (c *planner) moves(s membership.MemberStatus) bool {
	_, occupied := c.occupant(s)
	return moves(s) && !occupied
}

// deferSwapped defers members that are to get each other's addresses: etcd accepts no peer URL twice.
func (c *planner) deferSwapped() (membership.Step, bool) {
	for _, s := range c.Members {
		if by, occupied := c.occupant(s); moves(s) && !s.Moved && occupied {
			c.deferToOccupant(s, by)
		}
	}
	return membership.Step{}, false
}

// unreachable tells whether nobody can reach a member where its cluster knows it: its machine has lost that address,
// or the member already runs at its new one.
func unreachable(s membership.MemberStatus) bool {
	return s.From != "" && !s.Moved && (s.Gone || s.There)
}

// waitedFor tells whether the run waits for a member that runs and does not serve, without changing it. A member that
// is to be re-addressed may lack its old address, so the run waits for it only if the other running members cannot be
// a quorum without it.
func waitedFor(p membership.ClusterStatus, s membership.MemberStatus) bool {
	if !moves(s) || s.State == membership.Healthy {
		return true
	}
	if unreachable(s) {
		return false
	}
	others := 0
	for _, v := range p.Voters() {
		if runs(v) && (v.State == membership.Healthy || !moves(v)) {
			others++
		}
	}
	return others < membership.Quorum(p.Size())
}

// moveDown re-addresses a member that does not serve: it may be down because its old address is gone. The others have
// to be a quorum, which alone can update the list. A single member comes up whatever its own list says; if it serves,
// nobody could join it before its list has its new address. A member that already runs at its new address is not
// restarted.
func (c *planner) moveDown() (membership.Step, bool) {
	s, found := first(c.Members, func(s membership.MemberStatus) bool {
		down, serves := s.State == membership.Unhealthy || s.State == membership.Stopped, s.State == membership.Healthy
		return c.moves(s) && (c.HasQuorum() && (down || serves && s.There) || c.Size() == 1 && (down || serves && unreachable(s)))
	})
	if !found {
		return membership.Step{}, false
	}
	if s.State == membership.Healthy && !s.There {
		return c.move()
	}
	if s.State == membership.Unhealthy && !c.mayStopUnhealthy(s) {
		return membership.Step{}, false // the run waits for it
	}
	if c.misconfigured(s) && s.Staged != c.want.Version {
		return c.stage(s, c.want.Version), true
	}
	if before, needed := c.secure(); needed && len(c.Healthy()) > 0 {
		return before, true
	}
	n, healthy := c.Size(), len(c.Healthy())
	move := readdress(s)
	move.Sum = voters(n, n, healthy)
	if s.State != membership.Healthy {
		move.Sum = "it serves nobody; " + move.Sum
	}
	return move, true
}

// move re-addresses the next serving member, the leader last.
func (c *planner) move() (membership.Step, bool) {
	able := func(s membership.MemberStatus) bool { return c.moves(s) && s.State == membership.Healthy }
	s, found := c.next(able)
	if !found || !c.HasQuorum() {
		return c.deferSwapped()
	}
	what := fmt.Sprintf("it cannot be given another address than %s, which takes a restart", readdress(s).To)
	if step, stops := c.mayStop(s, membership.NotReaddressed, what, "is re-addressed last"); stops {
		return step, step != (membership.Step{})
	}
	n, healthy := c.Size(), len(c.Healthy())
	move := readdress(s)
	move.Sum = voters(n, n, healthy-1) + " meanwhile"
	if n == 1 {
		move.Sum = "a cluster of one has no spare: it serves nobody meanwhile"
	}
	return move, true
}

// oldAddress returns the address that a member still runs by, as a reason why it is outdated.
func oldAddress(s membership.MemberStatus) []string {
	if s.From == "" {
		return nil
	}
	return []string{"it runs by " + membership.HostOf(s.From)}
}

// readdress returns the step, which names its assumptions.
func readdress(s membership.MemberStatus) membership.Step {
	move := step(membership.Readdress, s)
	if move.To = membership.HostOf(s.From); move.To == s.Address {
		move.To = s.From // another port
	}
	switch {
	case s.There && s.State == membership.Healthy:
		move.Why = "it runs at its new address already, and only the member list is updated"
	case s.Unheard:
		move.Why = "nobody answers there; the plan assumes that no other machine runs it"
	}
	return move
}
