package plan

import (
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// backUp has the hosts of members that serve back the cluster up as it is desired. It disturbs nobody, and comes last:
// until there are the members that are desired, those that were there before make the backups.
func (c *planner) backUp() (membership.Step, bool) {
	var names []string
	for _, s := range c.Members {
		if backsUp(s) && s.Unbacked != "" {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return membership.Step{}, false
	}
	return bootstrap.BackUp(names, c.want), true
}

// backsUp tells whether a member's host is one of those that back the cluster up, and can be told how.
func backsUp(s membership.MemberStatus) bool {
	return stays(s) && s.Role == membership.Voter && s.State == membership.Healthy
}
