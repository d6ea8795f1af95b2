package upgrade

import (
	"context"
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Formed is a cluster that has come to life.
type Formed struct {
	Owner string          // the token that its hosts carry
	Sight bootstrap.Sight // the last look at its hosts
}

// Form makes the hosts one cluster, or goes on where an earlier run stopped. fresh identifies the
// attempt if it is the first. No host is changed before all were found fit.
func (e *Executor) Form(ctx context.Context, fresh bootstrap.Formation) (Formed, error) {
	w := e.work(e.Cluster.Members)
	w.contact(ctx)
	look := func(ctx context.Context) {
		w.lookAtForming(ctx)
		// Without the lock, a marker may be the work of a run that is about to finish its cluster.
		if !w.decided {
			w.formation, w.decided = w.Cluster.Resume(byName(w.reports), fresh), w.locked
		}
	}
	if err := w.run(ctx, job{look: look, plan: w.planForming, act: w.actForming, finish: w.handOver}); err != nil {
		return Formed{}, err
	}
	return Formed{Owner: w.formation.Owner, Sight: w.reports}, nil
}

// contact learns of every host what can be known of it before a store is there.
func (w *work) contact(ctx context.Context) {
	w.reports = each(w.seats, func(m membership.Member) bootstrap.Report {
		contact, err := w.Hosts[m].Contact(ctx, w.Cluster.Name, w.Cluster.Ask())
		return bootstrap.Report{Contact: contact, Err: err}
	})
}

// lookAtForming observes every host that has the wanted store; of the others, the first contact
// has said all that can be known.
func (w *work) lookAtForming(ctx context.Context) {
	known := w.reports
	w.reports = each(w.seats, func(m membership.Member) bootstrap.Report {
		report := known[m]
		store := w.Cluster.Store(report.Contact)
		if report.Err != nil || !slices.Contains(report.Contact.Installed, store) {
			return report
		}
		fresh := w.observe(ctx, m, store, w.Patience)
		fresh.Contact = report.Contact
		if fresh.Err == nil && fresh.Observation == nil {
			fresh.Err = fmt.Errorf("the store that was installed on it is gone")
		}
		return fresh
	})
}

func (w *work) planForming() ([]membership.Step, error) {
	return bootstrap.Form(w.Cluster.Judge(byName(w.reports), w.formation, w.Now()), w.Cluster.Spec)
}

// byName is a sight of seats of which no two have one name.
func byName(sight bootstrap.Sight) map[string]bootstrap.Report {
	reports := map[string]bootstrap.Report{}
	for m, report := range sight {
		reports[m.Name] = report
	}
	return reports
}

// handOver marks all hosts as those of a finished cluster, which no create goes on with any more. It is
// no step of the plan but the create's last word, said right before its result: a create that is cut
// off at any of its steps, the last one too, is gone on with by the next.
func (w *work) handOver(ctx context.Context) error {
	ctx, cancel := w.step(ctx)
	defer cancel()
	return together(w.Cluster.Members, func(m membership.Member) error {
		if err := w.syncConfiguration(ctx, m, api.PhaseFormed); err != nil {
			return fmt.Errorf("hand over %s: %w", m, err)
		}
		return nil
	})
}
