package upgrade

import (
	"context"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// backUp tells all hosts that back the cluster up, and do so otherwise than is desired, how.
func (r *changeRun) backUp(ctx context.Context) error {
	return r.run.backUp(ctx, plan.Targets(r.status, membership.BackUp), r.order.Owner)
}

func (r *run) backUp(ctx context.Context, members []membership.Member, owner string) error {
	return together(members, func(m membership.Member) error {
		if err := r.tell(ctx, m, api.OpBackUp, api.BackUpRequest{Owner: owner, Backup: r.Cluster.Backup}); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
		return nil
	})
}
