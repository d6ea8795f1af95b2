package plan

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// rebuildable tells whether a member is to be built anew where it is, and its host lets that be done.
func rebuildable(s membership.MemberStatus) bool {
	if s.Rebuild == "" || !s.Desired {
		return false
	}
	switch s.State {
	case membership.Healthy, membership.Unhealthy, membership.Stopped:
		return true
	}
	return false
}

// rebuild removes a healthy voter that is to be built anew: what is left of it is cleared then, and it joins like any
// other. One that serves nobody is removed as a dead one is. No other is touched before it votes again, since all voters
// have to be healthy.
func (c *planner) rebuild() (membership.Step, bool) {
	asked := func(s membership.MemberStatus) bool {
		return s.Desired && s.Rebuild != "" && s.Role == membership.Voter
	}
	for _, s := range c.Members {
		if asked(s) && !rebuildable(s) {
			c.defers(s, "it cannot be built anew: "+s.Why, "mend that, and apply again; or give the member another address")
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
		return c.defers(s, "it cannot be built anew: nobody else has its data", "let the cluster have three members, and apply again; or restore a snapshot")
	case healthy < n:
		return c.defers(s, fmt.Sprintf("it cannot be built anew: %d of %d voters are healthy, and all have to be", healthy, n), c.missed())
	case n != len(c.want.Members) || len(c.Learners()) > 0:
		return c.defers(s, fmt.Sprintf("it cannot be built anew: there are %d voters and %d learners, and %d voters are wanted", n, len(c.Learners()), len(c.want.Members)), "let the cluster come to its size first")
	case !c.led():
		return c.defers(s, "it cannot be built anew: no healthy voter is known to lead", "apply again once the members have elected a leader")
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
