package upgrade

import (
	"context"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// backUp has the hosts of members that serve back the cluster up as it is wanted. It disturbs nobody, and comes last:
// until there are the members that are wanted, those that were there before make the backups.
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

// backUp tells all hosts that back the cluster up, and do so otherwise than is wanted, how.
func (r *changeRun) backUp(ctx context.Context) error {
	var members []membership.Member
	for _, s := range r.status.Members {
		if backsUp(s) && s.Unbacked != "" {
			members = append(members, s.Member)
		}
	}
	return r.run.backUp(ctx, members, r.order.Owner)
}

func (r *run) backUp(ctx context.Context, members []membership.Member, owner string) error {
	return together(members, func(m membership.Member) error {
		if err := r.tell(ctx, m, api.OpBackUp, api.BackUpRequest{Owner: owner, Backup: r.Cluster.Backup}); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
		return nil
	})
}
