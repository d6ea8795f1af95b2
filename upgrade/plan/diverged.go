package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// disputed refuses a cluster whose members hold different data, where no quorum that serves holds the same; nil: it is none.
func disputed(p membership.ClusterStatus, want membership.Spec) error {
	serve := map[string][]membership.MemberStatus{}
	for _, s := range p.Healthy() {
		if s.Data != "" {
			serve[s.Data] = append(serve[s.Data], s)
		}
	}
	_, differs := first(p.Voters(), func(s membership.MemberStatus) bool { return s.Differs && !s.Diverged })
	_, diverged := first(p.Voters(), func(s membership.MemberStatus) bool { return s.Diverged })
	_, open := first(p.Voters(), comes)
	switch {
	case p.Corrupt && !p.Agreed && !open && quorumInReach(p, want) == nil:
	case !p.Corrupt && differs && !diverged && len(serve) > 1:
	default:
		return nil
	}
	var hold []string
	for _, s := range p.Voters() {
		switch {
		case s.Differs && s.Data != "":
			hold = append(hold, fmt.Sprintf("%s does not start, since a peer holds other data than it does, and held %s", s, s.Data))
		case s.Differs:
			hold = append(hold, fmt.Sprintf("%s does not start, since a peer holds other data than it does", s))
		case s.Data != "":
			hold = append(hold, fmt.Sprintf("%s holds %s", s, s.Data))
		default:
			hold = append(hold, fmt.Sprintf("%s could not be compared (%s)", s, s.State))
		}
	}
	rule := "members that serve hold different data"
	if p.Corrupt {
		rule = "an alarm says that the data of the members differs (CORRUPT)"
	}
	return &membership.Refusal{
		Summary: "Members hold different data",
		Rule:    fmt.Sprintf("%s, and no quorum of the %d voters that serves is seen to hold the same: %s", rule, p.Size(), strings.Join(hold, ", ")),
		Remedy:  decide(p, want, serve),
	}
}

// decide says how it can be found out whose data is right, and what to do then.
func decide(p membership.ClusterStatus, want membership.Spec, serve map[string][]membership.MemberStatus) string {
	restore := "restore a snapshot of before that (see restore), or decide for one member: stop the others for good, take their data or their hosts away, and name it in recover_from"
	held := map[string]int{} // by those as well that would start if nobody held anything else
	unstarted := ""
	for _, s := range p.Voters() {
		if s.Data != "" {
			held[s.Data]++
		}
		if s.Differs {
			unstarted = s.String()
		}
	}
	stop := func(s membership.MemberStatus) string {
		return fmt.Sprintf("stop %s (systemctl stop etcd@%s on its host)", s, want.Name)
	}
	for data, n := range held {
		if n < membership.Quorum(p.Size()) || unstarted == "" {
			continue
		}
		var wrong []string
		for other, members := range serve {
			if other == data {
				continue
			}
			for _, s := range members {
				wrong = append(wrong, stop(s))
			}
		}
		if len(wrong) == 0 {
			continue
		}
		slices.Sort(wrong)
		return fmt.Sprintf("%d of %d voters held %s, and a quorum could serve it: %s, which nothing can be changed without now; %s comes up then by itself; then plan again, and apply: what was stopped is built anew from the others (give it another rebuild, so that it is not started first)",
			n, p.Size(), data, strings.Join(wrong, ", "), unstarted)
	}
	if unstarted != "" && len(serve) > 1 {
		return fmt.Sprintf("find out who else holds what %s does: stop those that hold one of these (systemctl stop etcd@%s on their hosts); where it comes up by itself then, plan again, and apply: what was stopped is built anew from the others (give it another rebuild, so that it is not started first); "+
			"where it does not, start those again, and stop those that hold another; where it comes up with none of them, nobody but you can say whose data is right: %s", unstarted, want.Name, restore)
	}
	return "bring up those that could not be compared, and plan again; where it stays so, nobody but you can say whose data is right: " + restore
}

// comes tells whether a voter may be compared once it was brought up.
func comes(s membership.MemberStatus) bool {
	return s.Desired && s.Failed == "" && s.Data == "" && !s.Differs && s.State != membership.Unreachable && s.State != membership.Blocked && !s.HasNothing()
}

// keptBack tells whether a member does not start since a peer holds other data, and that peer may serve still.
func (c *planner) keptBack(s membership.MemberStatus) bool {
	if !s.Differs || s.Diverged || s.State != membership.Unhealthy {
		return false
	}
	_, other := first(c.Voters(), func(o membership.MemberStatus) bool {
		return (o.State == membership.Healthy || o.Diverged) && (s.Data == "" || o.Data != s.Data)
	})
	return other
}

// acquit takes the alarm back that data differs, once every voter that there is holds the same.
func (c *planner) acquit() (membership.Step, bool) {
	_, other := first(c.Voters(), func(s membership.MemberStatus) bool {
		return s.Diverged || s.Data == "" || s.State != membership.Healthy
	})
	if other || !c.Agreed {
		return membership.Step{}, false
	}
	return membership.Step{Kind: membership.Disarm, To: bootstrap.AlarmCorrupt}, true
}

// expel removes a voter whose data is not that of a quorum: it may give wrong answers to anybody who reads from it. It joins
// anew once the alarm is taken back.
func (c *planner) expel() (membership.Step, bool) {
	// Without the alarm, one that does not even start is removed like any other that is dead.
	s, found := first(c.Voters(), func(s membership.MemberStatus) bool { return s.Diverged && s.Failed == "" && (c.Corrupt || !s.Differs) })
	if !found || len(c.Healthy()) < membership.Quorum(c.Size()) {
		return membership.Step{}, false
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	if s.ID == c.Leader {
		return c.lead(s, "holds other data than a quorum")
	}
	remove := step(membership.Remove, s)
	remove.Why = s.Why
	remove.Sum = voters(c.Size(), c.Size()-1, len(c.Healthy()))
	return remove, true
}

// dispute says what keeps the alarm that data differs.
func (c *planner) dispute() (membership.Step, bool) {
	for _, s := range c.Voters() {
		switch {
		case s.Diverged:
		case s.State == membership.Healthy && s.Data == "":
			c.defers(s, "the alarm that data differs (CORRUPT) stays until every voter was compared, and it was not yet", "apply again once it has come up")
		case s.State != membership.Healthy:
			c.defers(s, "it could not be compared, and the alarm that data differs (CORRUPT) stays until every voter was: "+s.Why, "bring it up, or give the member another address; until then the cluster takes no writes")
		}
	}
	return membership.Step{}, false
}
