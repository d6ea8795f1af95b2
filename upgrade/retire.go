package upgrade

import (
	"context"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// Retire takes the cluster off all of its hosts, from wherever an earlier run stopped. The data is
// moved aside, or deleted where purge says so. A host that carries no part of it, or one that
// another owner's token is on by now, is left as it is.
//
// It refuses to begin while a host cannot be asked, unless that very host is abandoned: a member that is switched
// on again later, with its unit enabled, would be half a cluster that nobody manages. And it refuses while a host
// that is abandoned answers: that one is not lost.
func (e *Executor) Retire(ctx context.Context, r plan.Retirement) error {
	w := e.newRun(e.Cluster.Members)
	w.retirement = api.RetireRequest{Owner: r.Owner, Purge: r.Purge}
	return w.repeat(ctx, loop{
		look: func(ctx context.Context) { w.reports = e.Observe(ctx, w.members) },
		plan: func() ([]membership.Step, error) { return plan.Retire(e.Cluster, w.reports, r) },
		act:  w.actForming,
	})
}
