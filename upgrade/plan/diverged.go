package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// disputed refuses a cluster whose members hold different data if no serving quorum holds the same. Otherwise it
// returns nil.
func disputed(p membership.ClusterStatus, want membership.Spec) error {
	serve := map[string][]membership.MemberStatus{}
	for _, s := range p.Healthy() {
		if s.Data != "" {
			serve[s.Data] = append(serve[s.Data], s)
		}
	}
	_, differs := first(p.Voters(), func(s membership.MemberStatus) bool { return s.Differs && !s.Diverged })
	_, diverged := first(p.Voters(), func(s membership.MemberStatus) bool { return s.Diverged })
	_, open := first(p.Voters(), mayCompareLater)
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
			hold = append(hold, fmt.Sprintf("%s does not start, since a peer holds different data, and held %s", s, s.Data))
		case s.Differs:
			hold = append(hold, fmt.Sprintf("%s does not start, since a peer holds different data", s))
		case s.Data != "":
			hold = append(hold, fmt.Sprintf("%s holds %s", s, s.Data))
		default:
			hold = append(hold, fmt.Sprintf("%s could not be compared (%s)", s, s.State))
		}
	}
	rule := "members that serve hold different data"
	if p.Corrupt {
		rule = "the alarm CORRUPT says that members hold different data"
	}
	return &membership.Refusal{
		Summary: "Members hold different data",
		Rule:    fmt.Sprintf("%s, and no serving quorum of the %d voters is seen to hold the same: %s", rule, p.Size(), strings.Join(hold, ", ")),
		Remedy:  howToDecide(p, want, serve),
	}
}

// LastResort is what is left to do where only the user can say whose data is right.
const LastResort = "restore an older snapshot (see restore), or choose one member: stop the others for good, remove their data or their hosts, and name it in recover_from"

// howToDecide tells the user how to find out whose data is right, and what to do then.
func howToDecide(p membership.ClusterStatus, want membership.Spec, serve map[string][]membership.MemberStatus) string {
	held := map[string]int{} // also by members that would start if no peer held different data
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
		return fmt.Sprintf("%d of %d voters held %s, and could serve it as a quorum: %s; %s starts by itself then; give every stopped member another rebuild, so that it is not started first, plan again, and apply: it is built anew from the others",
			n, p.Size(), data, strings.Join(wrong, ", "), unstarted)
	}
	if unstarted != "" && len(serve) > 1 {
		return fmt.Sprintf("find out which data %s holds: stop the members that hold one of these (systemctl stop etcd@%s on their hosts); if it starts by itself then, give the stopped members another rebuild, so that they are not started first, plan again, and apply: they are built anew from the others; "+
			"if it does not, start those again, and stop the members that hold another; if it never starts, only you can say whose data is right: %s", unstarted, want.Name, LastResort)
	}
	return "bring up the members that could not be compared, and plan again; if that settles nothing, only you can say whose data is right: " + LastResort
}

// mayCompareLater tells whether a voter may be compared once it is up.
func mayCompareLater(s membership.MemberStatus) bool {
	return s.Desired && s.Failed == "" && s.Data == "" && !s.Differs && s.State != membership.Unreachable && s.State != membership.Blocked && !s.HasNothing()
}

// heldByPeer tells whether a member does not start because a peer holds different data, and that peer may still serve.
func (c *planner) heldByPeer(s membership.MemberStatus) bool {
	if !s.Differs || s.Diverged || s.State != membership.Unhealthy {
		return false
	}
	_, other := first(c.Voters(), func(o membership.MemberStatus) bool {
		return (o.State == membership.Healthy || o.Diverged) && (s.Data == "" || o.Data != s.Data)
	})
	return other
}

// clearCorrupt clears the alarm CORRUPT once all voters hold the same data.
func (c *planner) clearCorrupt() (membership.Step, bool) {
	_, other := first(c.Voters(), func(s membership.MemberStatus) bool {
		return s.Diverged || s.Data == "" || s.State != membership.Healthy
	})
	if other || !c.Agreed {
		return membership.Step{}, false
	}
	return membership.Step{Kind: membership.Disarm, To: bootstrap.AlarmCorrupt}, true
}

// expel removes a voter whose data is not that of a quorum, since it may give wrong answers to its readers. The member
// joins anew once the alarm is cleared.
func (c *planner) expel() (membership.Step, bool) {
	// Without the alarm, a member that does not even start is removed like any other dead one.
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

// deferCorrupt says what keeps the alarm CORRUPT from being cleared.
func (c *planner) deferCorrupt() (membership.Step, bool) {
	for _, s := range c.Voters() {
		switch {
		case s.Diverged:
		case s.State == membership.Healthy && s.Data == "":
			c.defers(s, membership.CorruptStays, "the alarm CORRUPT stays until every voter was compared, and this one was not yet", "apply again once it is up")
		case s.State != membership.Healthy:
			c.defers(s, membership.CorruptStays, "it could not be compared, and the alarm CORRUPT stays until every voter was: "+s.Why, "bring it up, or give the member another address; until then the cluster takes no writes")
		}
	}
	return membership.Step{}, false
}
