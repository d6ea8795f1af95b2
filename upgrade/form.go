package upgrade

import (
	"context"
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// Formed is a cluster that was formed.
type Formed struct {
	Owner   string            // the token that its hosts carry
	Reports bootstrap.Reports // the last observation of its hosts

	// Unrenewed is why hosts do not renew certificates by themselves yet; nil: they do as desired. The next change
	// configures them again.
	Unrenewed error
	Seen
}

// Seen is what a run has found out about hosts that were new to their cluster. Its callers turn it into warnings.
type Seen struct {
	Doubts    []string          // from what the hosts have tried, each with its member
	Inspected bootstrap.Reports // from an inventory, before anything was written to the host
}

// seen returns what the run has found out about new hosts.
func (r *run) seen() Seen { return Seen{r.doubts, r.inspected} }

// Form makes the hosts one cluster, or continues where an earlier run stopped. fresh identifies the attempt if it is
// the first. No host is changed before all are found fit.
func (e *Executor) Form(ctx context.Context, fresh bootstrap.Formation) (Formed, error) {
	e.Cluster = e.Cluster.Peered()
	r := e.newRun(e.Cluster.Members)
	r.contact(ctx)
	r.noteInspected(r.reports)
	look := func(ctx context.Context) {
		r.lookAtForming(ctx)
		// Without the lock, a marker may belong to a run that is about to finish its cluster.
		if !r.decided {
			r.formation, r.decided = r.Cluster.Resume(byName(r.reports), fresh), r.locked
		}
	}
	var unrenewed error
	forming := loop{look: look, plan: r.planForming, act: r.actForming}
	forming.finish = func(ctx context.Context) error {
		if step, needed := bootstrap.FormRenewals(r.assess(), r.Cluster.Spec); needed {
			unrenewed = r.do(ctx, forming, []membership.Step{step}, 1)
		}
		return r.handOver(ctx)
	}
	if err := r.repeat(ctx, forming); err != nil {
		return Formed{}, err
	}
	return Formed{Owner: r.formation.Owner, Reports: r.reports, Unrenewed: unrenewed, Seen: r.seen()}, nil
}

// contact reads from every host what can be known before a store is installed.
func (r *run) contact(ctx context.Context) {
	r.reports = askEach(r.members, func(m membership.Member) bootstrap.Report { return r.Executor.contact(ctx, m) })
}

// lookAtForming observes every host that has the desired store. The other hosts are known from the first contact.
func (r *run) lookAtForming(ctx context.Context) {
	known := r.reports
	r.reports = askEach(r.members, func(m membership.Member) bootstrap.Report {
		report := known[m]
		store := r.Cluster.Store(report.Contact)
		if report.Err != nil || !slices.Contains(report.Contact.Installed, store) {
			return report
		}
		fresh := r.observe(ctx, m, store, r.Patience)
		fresh.Contact = report.Contact
		if fresh.Err == nil && fresh.Observation == nil {
			fresh.Err = fmt.Errorf("the store that was installed on it is gone")
		}
		return fresh
	})
}

func (r *run) planForming() ([]membership.Step, error) {
	return bootstrap.Form(r.assess(), r.Cluster.Spec)
}

// assess returns what the hosts are to the create.
func (r *run) assess() membership.Observed {
	return r.Cluster.Assess(byName(r.reports), r.formation, r.Now())
}

// byName keys reports by name. No two of the members may share a name.
func byName(reports bootstrap.Reports) map[string]bootstrap.Report {
	named := map[string]bootstrap.Report{}
	for m, report := range reports {
		named[m.Name] = report
	}
	return named
}

// handOver marks all hosts as those of a finished cluster, which no create continues. It is not a step of the plan but
// the last thing that a create does before it returns its result. So a create that is cut off at any step, even the
// last one, is resumed by the next.
func (r *run) handOver(ctx context.Context) error {
	ctx, cancel := r.step(ctx)
	defer cancel()
	return inParallel(r.Cluster.Members, func(m membership.Member) error {
		if err := r.syncConfiguration(ctx, m, api.PhaseFormed); err != nil {
			return fmt.Errorf("hand over %s: %w", m, err)
		}
		return nil
	})
}

// LookToForm observes the hosts of a cluster to be formed, as Form does before it changes anything.
func (e *Executor) LookToForm(ctx context.Context, members []membership.Member) bootstrap.Reports {
	w := e.newRun(members)
	w.contact(ctx)
	w.lookAtForming(ctx)
	return w.reports
}

// Retire removes the cluster from all of its hosts, continuing where an earlier run stopped. The data is moved aside,
// or deleted if purge is set. A host that carries no part of the cluster, or another owner's, is left as it is.
//
// Retire refuses to begin while a host cannot be reached, unless that host is abandoned: switched on later with its
// unit enabled, it would run as part of a cluster that nobody manages. It also refuses while an abandoned host
// answers, since that host is not lost.
func (e *Executor) Retire(ctx context.Context, r plan.Retirement) error {
	w := e.newRun(e.Cluster.Members)
	w.retirement = api.RetireRequest{Owner: r.Owner, Purge: r.Purge}
	return w.repeat(ctx, loop{
		look: func(ctx context.Context) { w.reports = e.Observe(ctx, w.members) },
		plan: func() ([]membership.Step, error) { return plan.Retire(e.Cluster, w.reports, r) },
		act:  w.actForming,
	})
}
