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

// Formed is a cluster that has come to life.
type Formed struct {
	Owner   string            // the token that its hosts carry
	Reports bootstrap.Reports // the last look at its hosts
}

// Form makes the hosts one cluster, or goes on where an earlier run stopped. fresh identifies the
// attempt if it is the first. No host is changed before all were found fit.
func (e *Executor) Form(ctx context.Context, fresh bootstrap.Formation) (Formed, error) {
	r := e.newRun(e.Cluster.Members)
	r.contact(ctx)
	look := func(ctx context.Context) {
		r.lookAtForming(ctx)
		// Without the lock, a marker may be the work of a run that is about to finish its cluster.
		if !r.decided {
			r.formation, r.decided = r.Cluster.Resume(byName(r.reports), fresh), r.locked
		}
	}
	if err := r.repeat(ctx, loop{look: look, plan: r.planForming, act: r.actForming, finish: r.handOver}); err != nil {
		return Formed{}, err
	}
	return Formed{Owner: r.formation.Owner, Reports: r.reports}, nil
}

// contact learns of every host what can be known of it before a store is there.
func (r *run) contact(ctx context.Context) {
	r.reports = each(r.members, func(m membership.Member) bootstrap.Report {
		contact, err := r.Hosts[m].Contact(ctx, r.Cluster.Name, r.Cluster.Ask())
		return bootstrap.Report{Contact: contact, Err: err}
	})
}

// lookAtForming observes every host that has the desired store; of the others, the first contact
// has said all that can be known.
func (r *run) lookAtForming(ctx context.Context) {
	known := r.reports
	r.reports = each(r.members, func(m membership.Member) bootstrap.Report {
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
	return bootstrap.Form(r.Cluster.Assess(byName(r.reports), r.formation, r.Now()), r.Cluster.Spec)
}

// byName is reports of members of which no two have one name.
func byName(reports bootstrap.Reports) map[string]bootstrap.Report {
	named := map[string]bootstrap.Report{}
	for m, report := range reports {
		named[m.Name] = report
	}
	return named
}

// handOver marks all hosts as those of a finished cluster, which no create goes on with any more. It is
// no step of the plan but the create's last word, said right before its result: a create that is cut
// off at any of its steps, the last one too, is gone on with by the next.
func (r *run) handOver(ctx context.Context) error {
	ctx, cancel := r.step(ctx)
	defer cancel()
	return together(r.Cluster.Members, func(m membership.Member) error {
		if err := r.syncConfiguration(ctx, m, api.PhaseFormed); err != nil {
			return fmt.Errorf("hand over %s: %w", m, err)
		}
		return nil
	})
}

// LookToForm reads hosts that a new cluster is to be formed on, as Form does before it changes anything.
func (e *Executor) LookToForm(ctx context.Context, members []membership.Member) bootstrap.Reports {
	w := e.newRun(members)
	w.contact(ctx)
	w.lookAtForming(ctx)
	return w.reports
}

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
