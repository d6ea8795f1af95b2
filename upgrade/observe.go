package upgrade

import (
	"context"
	"errors"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Observe reads the hosts of these members, each through the store that the cluster selects there. Where there is
// none, the first contact tells what the host is, and any store that is there will do: a create or a join that
// was cut short may have left a marker, or somebody has removed the store from under a member. It changes
// nothing.
func (e *Executor) Observe(ctx context.Context, members []membership.Member) bootstrap.Reports {
	return e.observeAll(ctx, members, func(membership.Member) time.Duration { return e.Patience })
}

// observeAll is Observe with a patience for each member.
func (e *Executor) observeAll(ctx context.Context, members []membership.Member, patience func(membership.Member) time.Duration) bootstrap.Reports {
	reports := each(members, func(m membership.Member) bootstrap.Report {
		report := e.observe(ctx, m, "", patience(m))
		if report.Err != nil || report.Observation != nil {
			return report
		}
		contact, err := e.Hosts[m].Contact(ctx, e.Cluster.Name, e.Cluster.Ask())
		if err == nil && len(contact.Installed) > 0 {
			report = e.observe(ctx, m, contact.Installed[0], patience(m))
			err = report.Err
		}
		return bootstrap.Report{Contact: contact, Observation: report.Observation, Err: err}
	})
	e.compare(ctx, reports)
	return reports
}

// observe reads one host through one of its stores. Where there is none, the report holds neither observation
// nor error.
func (e *Executor) observe(ctx context.Context, m membership.Member, store string, patience time.Duration) bootstrap.Report {
	ask := e.Cluster.Ask()
	ask.Patience = patience
	o, err := call[api.Observation](ctx, e.Hosts[m], store, api.OpObserve, e.Cluster.Name, "", ask)
	var refusal *api.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == api.CodeNoStore:
		return bootstrap.Report{}
	case err != nil:
		return bootstrap.Report{Err: err}
	}
	return bootstrap.Report{Observation: &o}
}

// target is whom calls to a member's host mean: the machine and the member that were seen there. The host compares it
// with what it is.
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

// touch notes that a call of this run has changed a host since it was looked at: what it carries may be another by now.
func (r *run) touch(m membership.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched[m] = true
}
