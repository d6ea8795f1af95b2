package upgrade

import (
	"context"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// LookToForm reads hosts that a new cluster is to be formed on, as Form does before it changes anything.
func (e *Executor) LookToForm(ctx context.Context, members []membership.Member) bootstrap.Reports {
	w := e.newRun(members)
	w.contact(ctx)
	w.lookAtForming(ctx)
	return w.reports
}
