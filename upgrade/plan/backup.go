package plan

import (
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// backUp configures backups on the hosts of serving members. It disturbs nobody, and comes last: until the desired
// members are there, the previous ones make the backups.
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

// renewOnHosts configures the hosts of serving members to renew certificates by themselves, or no longer. It disturbs nobody.
func (c *planner) renewOnHosts() (membership.Step, bool) {
	var names []string
	for _, s := range c.Members {
		if backsUp(s) && s.Unrenewed != "" {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return membership.Step{}, false
	}
	return bootstrap.RenewOnHosts(names, c.want), true
}

// backsUp tells whether a member's host is one that backs the cluster up and renews certificates, and can be configured to.
func backsUp(s membership.MemberStatus) bool {
	return stays(s) && s.Role == membership.Voter && s.State == membership.Healthy
}
