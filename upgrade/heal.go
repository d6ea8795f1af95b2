package upgrade

import (
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// stays tells whether a seat is a member that is wanted.
func stays(s membership.Seat) bool { return s.Wanted && s.Role != membership.Absent }

// begun tells whether a seat's member is more than an entry in the list.
func begun(s membership.Seat) bool { return s.Role == membership.Voter || s.Started }

// heal brings up what is down and has all that it needs, with the least that does it: what runs by
// something else than is wanted is configured first, since it serves nobody while that is done. An older
// etcd it is not given here: that is for the roll, once the others are ready for it.
func (c *choice) heal() (membership.Step, bool) {
	down := func(state membership.State) func(membership.Seat) bool {
		return func(s membership.Seat) bool {
			return stays(s) && s.State == state && len(s.Outdated) > 0 && !c.goesDown()
		}
	}
	if s, found := first(c.Seats, down(membership.Failing)); found {
		stop := step(membership.Stop, s)
		stop.To = "it serves nobody, and is outdated: " + strings.Join(s.Outdated, ", ")
		return stop, true
	}
	if s, found := first(c.Seats, down(membership.Stopped)); found {
		if !s.Staged {
			return c.stage(s, c.want.Version), true
		}
		if before, needed := c.secure(); needed && c.HasQuorum() {
			return before, true
		}
		return step(membership.Configure, s), true
	}
	if s, found := first(c.Seats, func(s membership.Seat) bool {
		return stays(s) && s.Invalid != "" && (s.State == membership.Stopped || s.State == membership.Failing)
	}); found {
		return c.certificates(s), true
	}
	if s, found := first(c.Seats, func(s membership.Seat) bool {
		return stays(s) && (s.State == membership.Stopped || s.Disabled && runs(s))
	}); found {
		start := step(membership.Start, s)
		if s.Disabled && runs(s) {
			start.Why = "its unit is disabled, and would not come up with the machine"
		}
		return start, true
	}
	if _, found := first(c.Seats, func(s membership.Seat) bool {
		return stays(s) && s.State == membership.Failing && begun(s)
	}); found {
		return bootstrap.Agree(len(c.Voters())), true
	}
	for _, s := range c.Seats {
		if stays(s) && s.State == membership.Blocked {
			c.hold(s, s.Why, "mend that on the host, and apply again; the others are left as they are")
		}
	}
	return membership.Step{}, false
}

// runs tells whether a process is there.
func runs(s membership.Seat) bool {
	return s.State == membership.Serving || s.State == membership.Failing
}

// certify issues certificates anew, for members that run on meanwhile.
func (c *choice) certify() (membership.Step, bool) {
	s, found := first(c.Seats, func(s membership.Seat) bool {
		return stays(s) && s.State == membership.Serving && s.Invalid != ""
	})
	return c.certificates(s), found
}

func (c *choice) certificates(s membership.Seat) membership.Step {
	certify := step(membership.Certify, s)
	certify.Why = s.Invalid
	return certify
}

// settle writes into every member's configuration which members there are, whenever no learner is
// under way.
func (c *choice) settle() (membership.Step, bool) {
	if _, found := first(c.Seats, settles); !found || len(c.Learners()) > 0 {
		return membership.Step{}, false
	}
	var names []string
	for _, v := range c.Voters() {
		name := v.Name
		if !v.Wanted {
			name = v.String() // its heir may have the same name
		}
		names = append(names, name)
	}
	return membership.Step{Kind: membership.Settle, To: strings.Join(names, ", ")}, true
}

// settles tells whether a seat's configuration names other members than there are, and can be mended.
func settles(s membership.Seat) bool {
	return stays(s) && s.State == membership.Serving && s.Unsettled
}

// disarm takes back the alarm that a database has reached its quota.
func (c *choice) disarm() (membership.Step, bool) {
	if !c.Full || !c.HasQuorum() {
		return membership.Step{}, false
	}
	return membership.Step{Kind: membership.Disarm}, true
}

// secure is what comes before a change that could go wrong: the wanted store on every host that will
// run it, its flags tried, and then a snapshot. false: all of that is done.
func (c *choice) secure() (membership.Step, bool) {
	for _, s := range c.Seats {
		if s.Staged || !s.Wanted {
			continue
		}
		switch {
		case s.Role == membership.Voter && s.State == membership.Serving && len(s.Outdated) > 0:
			return c.stage(s, c.want.Version), true
		case joinable(s) || s.Role == membership.Voter && dead(s) && s.State != membership.Taken:
			return c.stage(s, c.joinVersion()), true
		}
	}
	if c.Saved {
		return membership.Step{}, false
	}
	healthy := c.Healthy()
	from, found := first(healthy, func(s membership.Seat) bool { return s.ID != c.Leader })
	if !found && len(healthy) > 0 {
		from = healthy[0]
	}
	return step(membership.Snapshot, from), true
}

func (c *choice) stage(s membership.Seat, version string) membership.Step {
	stage := step(membership.Stage, s)
	stage.To = version
	return stage
}

// voters says how their number and their health stand, before and after a change.
func voters(before, after, healthy int) string {
	if before == after {
		return fmt.Sprintf("voters %d, quorum %d, healthy %d", before, membership.Quorum(before), healthy)
	}
	return fmt.Sprintf("voters %d -> %d, quorum %d, healthy %d", before, after, membership.Quorum(after), healthy)
}
