package upgrade

import (
	"context"
	"errors"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Observe reads the hosts of these members, each through the store that the cluster selects there. If none is
// selected, the first contact tells what the host is, and any installed store is used: an interrupted create or join
// may have left a marker, or somebody has removed the selected store. Observe changes nothing.
func (e *Executor) Observe(ctx context.Context, members []membership.Member) bootstrap.Reports {
	return e.observeAll(ctx, members, func(membership.Member) time.Duration { return e.Patience })
}

// observeAll is Observe with a patience for each member.
func (e *Executor) observeAll(ctx context.Context, members []membership.Member, patience func(membership.Member) time.Duration) bootstrap.Reports {
	reports := askEach(members, func(m membership.Member) bootstrap.Report {
		report := e.observe(ctx, m, "", patience(m))
		if report.Err != nil || report.Observation != nil {
			return report
		}
		found := e.contact(ctx, m)
		if found.Err == nil && len(found.Contact.Installed) > 0 {
			report = e.observe(ctx, m, found.Contact.Installed[0], patience(m))
			found.Observation, found.Err = report.Observation, report.Err
			if report.Clock.Known {
				found.Clock = report.Clock
			}
		}
		return found
	})
	e.compare(ctx, reports)
	return reports
}

// contact reads what one host tells before a store is called on it.
func (e *Executor) contact(ctx context.Context, m membership.Member) bootstrap.Report {
	asked := e.clock()
	contact, err := e.Hosts[m].Contact(ctx, e.Cluster.Name, e.Cluster.AskOf(m))
	return bootstrap.Report{Contact: contact, Err: err, Clock: clocks.Of(asked, e.clock(), contact.Time, time.Second)}
}

// clock returns the operator's time; zero: nobody asks for it.
func (e *Executor) clock() time.Time {
	if e.Now == nil {
		return time.Time{}
	}
	return e.Now()
}

// observe reads one host through one of its stores. Without a store the report has neither an observation nor an
// error.
func (e *Executor) observe(ctx context.Context, m membership.Member, store string, patience time.Duration) bootstrap.Report {
	ask := e.Cluster.AskOf(m)
	ask.Patience = patience
	asked := e.clock()
	o, err := call[api.Observation](ctx, e.Hosts[m], store, api.OpObserve, e.Cluster.Name, "", ask)
	var refusal *api.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == api.CodeNoStore:
		return bootstrap.Report{}
	case err != nil:
		return bootstrap.Report{Err: err}
	}
	return bootstrap.Report{Observation: &o, Clock: clocks.Of(asked, e.clock(), o.Facts.Time, 0)}
}

// target names whom calls to a member's host are meant for: the machine and the member that were observed there. The
// host compares it with its own identity.
func (r *run) target(m membership.Member) *api.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.reports[m]
	t := &api.Target{MachineID: report.Machine(), For: m.Name, Seen: !r.touched[m]}
	if marker := report.Marker(); marker != nil {
		t.Member, t.MemberID = marker.Member, marker.MemberID
	}
	return t
}

// touch records that a call of this run has changed a host since it was observed, so that its member may differ by
// now.
func (r *run) touch(m membership.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched[m] = true
}
