package plan

import "github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"

// Targets returns the members that a step without a named member is done to, as the rule that planned the step chose
// them.
func Targets(p membership.ClusterStatus, want membership.Spec, kind membership.Kind) (members []membership.Member) {
	c := &planner{ClusterStatus: p, want: want}
	is := map[membership.Kind]func(membership.MemberStatus) bool{
		membership.BackUp:            func(s membership.MemberStatus) bool { return backsUp(s) && s.Unbacked != "" },
		membership.RenewOnHosts:      func(s membership.MemberStatus) bool { return changesRenewals(s, want) },
		membership.SyncConfiguration: outOfSync,
		membership.Agree:             func(s membership.MemberStatus) bool { return c.canBringUp(s) && runs(s) && waitedFor(p, s) },
		membership.Disarm: func(s membership.MemberStatus) bool {
			return s.Role == membership.Voter && s.State == membership.Healthy
		},
	}[kind]
	for _, s := range p.Members {
		if is(s) {
			members = append(members, s.Member)
		}
	}
	return members
}

// Misconfigured tells whether a member may be down because of its configuration, so that it gets everything desired
// before it is started again. A re-address includes that in its step.
func Misconfigured(p membership.ClusterStatus, want membership.Spec, m membership.Member) bool {
	s := p.Member(m)
	return s != nil && (&planner{ClusterStatus: p, want: want}).misconfigured(*s)
}

// CopiesData tells whether a member will copy the data of the others instead of starting with its own.
func CopiesData(p membership.ClusterStatus, m membership.Member) bool {
	s := p.Member(m)
	return s != nil && (s.State == membership.Missing || s.State == membership.Lost || rebuildable(*s))
}
