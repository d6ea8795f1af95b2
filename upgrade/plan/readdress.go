package plan

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// A member that is re-addressed stays on its machine, and keeps its data and its ID: the list has another peer URL for it,
// and it is restarted with flags and certificates of its new address.

// moves tells whether a member is one that can be re-addressed.
func moves(s membership.MemberStatus) bool {
	return s.From != "" && s.Failed == "" && s.Desired && s.Role == membership.Voter
}

// moves tells whether a member can be re-addressed now: the list has nobody else at its new address.
func (c *planner) moves(s membership.MemberStatus) bool {
	_, occupied := c.occupied(s)
	return moves(s) && !occupied
}

// crossed defers members that are to be re-addressed to where the list has each other: etcd gives no peer URL twice.
func (c *planner) crossed() (membership.Step, bool) {
	for _, s := range c.Members {
		if by, occupied := c.occupied(s); moves(s) && !s.Moved && occupied {
			c.waits(s, by)
		}
	}
	return membership.Step{}, false
}

// unreachable tells whether nobody can reach a member where its cluster knows it, since its machine has lost that address, or
// it runs at its new one already.
func unreachable(s membership.MemberStatus) bool {
	return s.From != "" && !s.Moved && (s.Gone || s.There)
}

// waitedFor tells whether a member that runs and serves nobody is waited for where it is. One that is to be re-addressed may lack
// its old address: it is waited for only where the others that run cannot be a quorum without it.
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

// moveDown re-addresses a member that serves nobody: it may be down since its old address is gone. The others have to be a
// quorum, which alone can change the list. One that is alone comes up whatever its own list says; where it serves, nobody
// could join it before its list says where it is. One that is there already is not restarted.
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
	if s.State == membership.Unhealthy && !c.spared(s) {
		return membership.Step{}, false // it is waited for
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

// move re-addresses the next member that serves, the leader last.
func (c *planner) move() (membership.Step, bool) {
	able := func(s membership.MemberStatus) bool { return c.moves(s) && s.State == membership.Healthy }
	s, found := c.next(able)
	if !found || !c.HasQuorum() {
		return c.crossed()
	}
	what := fmt.Sprintf("it cannot be given another address than %s, which takes a restart", readdress(s).To)
	if step, stops := c.mayStop(s, what, "is re-addressed last"); stops {
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

// elsewhere is the address that a member runs by still, as a reason why it is outdated.
func elsewhere(s membership.MemberStatus) []string {
	if s.From == "" {
		return nil
	}
	return []string{"it runs by " + membership.HostOf(s.From)}
}

// readdress is the step, which says what it takes for granted.
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
