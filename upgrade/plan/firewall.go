package plan

import (
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// firewall has hosts let in every member, and everybody who is to become one, and nobody else. It comes before all
// other rules: it interrupts no service, hosts let a member in before it joins, and shut a removed one out before
// anything else is done. It never shuts out a member that etcd's list has (ClusterStatus.Peers).
func (c *planner) firewall() (membership.Step, bool) {
	var names []string
	for _, s := range c.Members {
		switch {
		case !filtersOtherwise(c.ClusterStatus, s, c.want):
		case s.NoNftables != "":
			c.deferAs(&membership.Refusal{Summary: membership.NoFirewall, Attribute: "firewall", Waits: true, Member: s.Name, At: s.Address, Rule: "its host cannot filter: " + s.NoNftables, Remedy: membership.FilterRemedy})
		default:
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return membership.Step{}, false
	}
	step := membership.Step{Kind: membership.Firewall, Why: strings.Join(names, ", ")}
	if c.want.Firewall != "" {
		step.To = c.want.Firewall + ", peers " + strings.Join(c.Peers(), ", ")
	}
	return step, true
}

// refilters tells whether a member's host is to filter otherwise, and can.
func refilters(p membership.ClusterStatus, s membership.MemberStatus, want membership.Spec) bool {
	return filtersOtherwise(p, s, want) && s.NoNftables == ""
}

// filtersOtherwise tells whether a member's host is to filter otherwise, and can be told. A host that is about to be
// given a member is told with its configuration, and one whose member has left with its retirement. A store of another
// release that filters already can be told.
func filtersOtherwise(p membership.ClusterStatus, s membership.MemberStatus, want membership.Spec) bool {
	if s.Failed != "" || s.Role == membership.Absent || s.OldStore && s.Admits == "" {
		return false
	}
	switch s.State {
	case membership.Healthy, membership.Unhealthy, membership.Stopped:
		return s.Unfiltered != "" || want.Firewall != "" && s.Admits != strings.Join(p.Peers(), ", ")
	}
	return false
}

// filtered notes that a member's host was told who may reach it.
func filtered(p membership.ClusterStatus, s *membership.MemberStatus, want membership.Spec) {
	s.Unfiltered, s.Admits = "", ""
	if want.Firewall != "" {
		s.Admits = strings.Join(p.Peers(), ", ")
	}
}

// keepsOut tells whether a host could not be told of the peers to let in, and may keep a new member out.
func (c *planner) keepsOut() bool {
	_, found := first(c.Members, func(s membership.MemberStatus) bool {
		return s.Failed != "" && s.Role != membership.Absent && s.Admits != "" && s.Admits != strings.Join(c.Peers(), ", ")
	})
	return found && c.want.Firewall != ""
}

// unfilterable refuses a firewall that a host cannot have, before any host has one, and a new member on such a host. A
// member whose host has lost nftables, or that leaves, keeps nothing else waiting.
func unfilterable(p membership.ClusterStatus, want membership.Spec) error {
	var refusals []error
	_, begun := first(p.Members, func(s membership.MemberStatus) bool { return s.Role != membership.Absent && s.Admits != "" })
	for _, s := range p.Members {
		if want.Firewall != "" && s.NoNftables != "" && s.Desired && (s.Role == membership.Absent || !begun) {
			refusals = append(refusals, &membership.Refusal{Summary: membership.NoFirewall, Attribute: "firewall", Member: s.Name, At: s.Address, Rule: s.NoNftables,
				Remedy: membership.FilterRemedy})
		}
	}
	return membership.JoinRefusals(refusals...)
}
