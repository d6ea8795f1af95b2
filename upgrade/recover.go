package upgrade

import (
	"context"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// recover makes one member the whole of its cluster.
func (r *changeRun) recover(ctx context.Context, m membership.Member) error {
	seen := r.member(m)
	if r.Cluster.Recover.Member == "" {
		if err := r.quiet(ctx, m); err != nil {
			return err
		}
	}
	as, err := r.moveTo(ctx, m)
	if err != nil {
		return err
	}
	done, err := ask[api.Recovered](ctx, r.run, m, api.OpRecover, api.RecoverRequest{Owner: r.order.Owner, ClusterID: r.clusterID(), Term: seen.Term, Index: seen.Index, Timeout: stall})
	if err != nil {
		return err
	}
	r.Progress(fmt.Sprintf("%s: a copy of its data as it was lies in %s", m, done.Path))
	return r.moved(ctx, m, as)
}
