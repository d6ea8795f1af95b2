package plan

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
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

// renewOnHosts configures the hosts of serving members to renew certificates by themselves, and every host that answers
// to renew none any more: no host keeps the key for the signing server because its member is down. It disturbs nobody.
func (c *planner) renewOnHosts() (membership.Step, bool) {
	var names []string
	for _, s := range c.Members {
		switch {
		case changesRenewals(s, c.want):
			names = append(names, s.Name)
		case backsUp(s) && s.Unrenewed == bootstrap.LostRenewals:
			c.deferAs(&membership.Refusal{Summary: membership.UnknownRenewals, Member: s.Name, At: s.Address, Rule: s.Unrenewed,
				Remedy: fmt.Sprintf("apply once with the signers of both authorities; or, where one cannot be had, have the host forget what it did for that one, and apply: systemctl disable --now %s.timer, and remove %s on it",
					api.RenewalUnit(c.want.Name), api.RenewalFile(c.want.Name))})
		case backsUp(s) && s.OldStore: // why it does not get another one is said already
		case stays(s) && s.Unrenewed != "":
			c.defers(s, membership.NotToldRenewals, s.Unrenewed+", and its host is told only once it is a healthy voter", c.bringBack())
		}
	}
	if len(names) == 0 {
		return membership.Step{}, false
	}
	return bootstrap.RenewOnHosts(names, c.want), true
}

// endRenewals has hosts renew certificates no more. Unlike the beginning of it, that needs no signer.
func (c *planner) endRenewals() (membership.Step, bool) {
	if c.want.Renewals != "" {
		return membership.Step{}, false
	}
	return c.renewOnHosts()
}

// changesRenewals tells whether a member's host is one that is to renew certificates otherwise, and can be told. A
// store that may not understand it is exchanged first, by whatever configures the member.
func changesRenewals(s membership.MemberStatus, want membership.Spec) bool {
	return s.Unrenewed != "" && s.Unrenewed != bootstrap.LostRenewals && !s.OldStore && (backsUp(s) || want.Renewals == "" && s.State != membership.Unreachable && s.State != membership.Foreign)
}

// backsUp tells whether a member's host is one that backs the cluster up and renews certificates, and can be configured
// to.
func backsUp(s membership.MemberStatus) bool {
	return stays(s) && s.Role == membership.Voter && s.State == membership.Healthy
}
