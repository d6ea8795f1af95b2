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
		if refilters(c.ClusterStatus, s, c.want) {
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

// refilters tells whether a member's host is to filter otherwise, and can be told. A host that is about to be given a
// member is told with its configuration, and one whose member has left with its retirement.
func refilters(p membership.ClusterStatus, s membership.MemberStatus, want membership.Spec) bool {
	if s.Failed != "" || s.Role == membership.Absent || s.OldStore {
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

// unfilterable refuses a firewall that a host cannot have, before any host has one.
func unfilterable(p membership.ClusterStatus, want membership.Spec) error {
	var refusals []error
	for _, s := range p.Members {
		if want.Firewall != "" && s.NoNftables != "" && (s.Desired || s.Role != membership.Absent) {
			refusals = append(refusals, &membership.Refusal{Summary: "A host cannot have a firewall", Attribute: "firewall", Member: s.Name, At: s.Address, Rule: s.NoNftables,
				Remedy: "take firewall out of the configuration, or give the host a kernel with nftables"})
		}
	}
	return membership.JoinRefusals(refusals...)
}
