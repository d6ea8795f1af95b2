package upgrade

import (
	"context"
	"errors"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Retire takes the cluster off all of its hosts, from wherever an earlier run stopped. The data is
// moved aside, or deleted where purge says so. A host that carries no part of it, or one that
// another owner's token is on by now, is left as it is.
//
// It refuses to begin while a host cannot be asked: a member that is switched on again later, with
// its unit enabled, would be half a cluster that nobody manages.
func (e *Executor) Retire(ctx context.Context, owner string, purge bool) error {
	w := e.work(e.Cluster.Members)
	w.retirement = api.RetireRequest{Owner: owner, Purge: purge}
	return w.run(ctx, job{
		look: func(ctx context.Context) { w.reports = e.Observe(ctx, w.seats) },
		plan: func() ([]membership.Step, error) { return planRetirement(e.Cluster, w.reports, owner, purge) },
		act:  w.actForming,
	})
}

// planRetirement is a step for every host that carries a part of the owner's cluster.
func planRetirement(cluster bootstrap.Cluster, reports bootstrap.Sight, owner string, purge bool) ([]membership.Step, error) {
	var steps []membership.Step
	var refusals []error
	fate := "data moved aside"
	if purge {
		fate = "data deleted"
	}
	for _, m := range cluster.Members {
		report := reports[m]
		if report.Err != nil {
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("it cannot be asked: %s", report.Err),
				Remedy: "bring it back and destroy again; if it is gone for good, remove the cluster from the state (terraform state rm) once its other hosts are clean"})
			continue
		}
		switch o, seen := report.Observation, report.Contact.Marker; {
		case o != nil && o.Marker != nil && o.Marker.Owner == owner:
			steps = append(steps, membership.Step{Kind: membership.Retire, Member: m.Name, At: m.Address, To: fate})
		case o == nil && (report.Contact.MarkerError != "" || seen != nil && seen.Owner == owner):
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: "it carries a part of the cluster, and no store to take that off with",
				Remedy: fmt.Sprintf("copy %s from another member's host, or stop and disable %s and remove %s by hand; then destroy again", api.StoreRoot, api.Unit(cluster.Name), api.ConfigDir(cluster.Name))})
		}
	}
	return steps, errors.Join(refusals...)
}
