package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// actForming does one step of those that bring a cluster to life or take it off its hosts.
func (w *work) actForming(ctx context.Context, step membership.Step) error {
	if step.Kind == membership.Agree {
		return w.awaitAgreement(ctx)
	}
	if step.Kind == membership.BackUp {
		return w.backUp(ctx, w.Cluster.Members, w.formation.Owner)
	}
	m := step.Subject()
	switch step.Kind {
	case membership.Install:
		return w.install(ctx, m)
	case membership.Configure:
		return w.configureForming(ctx, m)
	case membership.SyncConfiguration:
		return w.syncConfiguration(ctx, m, api.PhaseForming)
	case membership.Start:
		return w.tell(ctx, m, api.OpStart, api.StartRequest{})
	case membership.Stop:
		return w.tell(ctx, m, api.OpStop, api.StopRequest{Owner: w.owner(m)})
	case membership.Retire:
		retired, err := ask[api.Retired](ctx, w, m, api.OpRetire, w.retirement)
		w.sayWhere(m, retired.Path)
		return err
	case membership.SetAside:
		aside, err := ask[api.SetAside](ctx, w, m, api.OpSetAside, api.SetAsideRequest{Owner: w.owner(m), Why: "unfinished"})
		w.sayWhere(m, aside.Path)
		return err
	}
	return fmt.Errorf("this build of the provider cannot carry out a step of kind %q", step.Kind)
}

// sayWhere tells of data that was moved aside; path is empty where there was none.
func (w *work) sayWhere(m membership.Member, path string) {
	if path != "" {
		w.say(fmt.Sprintf("%s: its data now lies in %s", m, path))
	}
}

// say tells of something that a step has met. Steps of one batch do so at the same time.
func (w *work) say(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Progress(line)
}

// tell makes one call that changes a member's host, and wants nothing back.
func (w *work) tell(ctx context.Context, m membership.Member, op api.Operation, body any) error {
	_, err := ask[api.Done](ctx, w, m, op, body)
	return err
}

// ask makes one call to a member's host, under the lock.
func ask[R any](ctx context.Context, w *work, m membership.Member, op api.Operation, body any) (R, error) {
	result, err := request[R](ctx, w.Hosts[m], w.storeToCall(m), api.Request{Operation: op, Cluster: w.Cluster.Name, Holder: w.Holder.ID, Target: w.target(m)}, body)
	if !op.ReadOnly() {
		w.touch(m)
	}
	return result, err
}

func (w *work) install(ctx context.Context, m membership.Member) error {
	w.mu.Lock()
	report := w.reports[m]
	w.mu.Unlock()
	store := w.Cluster.Store(report.Contact)
	if err := w.Hosts[m].Install(ctx, store); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	report.Contact.Installed = append(report.Contact.Installed, store)
	w.reports[m] = report
	return nil
}

// configureForming has the host make its keys, signs what it requests, and writes all that it runs by.
func (w *work) configureForming(ctx context.Context, m membership.Member) error {
	marker := w.Cluster.Marker(m, w.formation, api.PhaseForming)
	certificates, err := w.certificates(ctx, m, marker)
	if err != nil {
		return err
	}
	configuration, err := w.configuration(m, marker, bootstrap.StateNew)
	if err != nil {
		return err
	}
	configuration.Certificates = certificates
	configuration.PeerCA, configuration.ClientCA = w.Cluster.PeerCA, w.Cluster.ClientCA
	return w.tell(ctx, m, api.OpConfigure, configuration)
}

// syncConfiguration rewrites the flags for the life of a member, as opposed to its birth.
func (w *work) syncConfiguration(ctx context.Context, m membership.Member, phase api.Phase) error {
	marker := w.Cluster.Marker(m, w.formation, phase)
	member := w.reports[m].Observation.Member
	marker.ClusterID, marker.MemberID = member.ClusterID, member.MemberID
	configuration, err := w.configuration(m, marker, bootstrap.StateExisting)
	if err != nil {
		return err
	}
	return w.tell(ctx, m, api.OpConfigure, configuration)
}

// configuration is what a member runs by, its certificates aside.
func (w *work) configuration(m membership.Member, marker api.Marker, state string) (api.ConfigureRequest, error) {
	report := w.reports[m]
	unit, err := w.Cluster.Unit(report.Observation.Facts.MemoryBytes)
	marker.Store = w.Cluster.Store(report.Contact)
	return api.ConfigureRequest{
		Marker: marker,
		Store:  marker.Store,
		Flags:  w.Cluster.Flags(m, w.formation, state),
		Unit:   unit,
	}, err
}

// owner is the owner that the member's host itself names.
func (w *work) owner(m membership.Member) string {
	if marker := w.reports[m].Observation.Marker; marker != nil {
		return marker.Owner
	}
	return w.formation.Owner
}

// awaitAgreement waits on all hosts at once until each member is ready; those that are not by then are
// named with what they say.
func (w *work) awaitAgreement(ctx context.Context) error {
	_, err := w.allReady(ctx, w.Cluster.Members)
	return err
}

// allReady waits until each of these members is ready, and knows as many as are wanted.
func (w *work) allReady(ctx context.Context, members []membership.Member) (bootstrap.Sight, error) {
	request := api.AwaitRequest{ObserveRequest: w.Cluster.Ask(), Members: len(w.Cluster.Members), Timeout: stall}
	ready := func(report bootstrap.Report) string { return notReady(report, request.Members) }
	reports := w.awaitAll(ctx, members, ready, func(m membership.Member) (api.Observation, error) {
		return ask[api.Observation](ctx, w, m, api.OpAwait, request)
	})
	return reports, failures(members, reports, ready)
}

// failures names those that are not ready, with what they say.
func failures(members []membership.Member, reports bootstrap.Sight, ready func(bootstrap.Report) string) error {
	var failures []error
	for _, m := range members {
		if why := ready(reports[m]); why != "" {
			failures = append(failures, fmt.Errorf("%s is not ready: %s", m, why))
		}
	}
	return errors.Join(failures...)
}

// notReady says why a member is no healthy part of a cluster of this many; empty where it is.
func notReady(report bootstrap.Report, members int) string {
	if report.Err != nil {
		return report.Err.Error()
	}
	unit, member := report.Observation.Unit, report.Observation.Member
	var why []string
	if unit.ActiveState != "active" {
		why = append(why, fmt.Sprintf("its unit is %s (%s, result %s)", unit.ActiveState, unit.SubState, unit.Result))
	}
	switch {
	case !member.Responding:
		why = append(why, "it does not answer: "+member.Error)
	case !member.Healthy:
		why = append(why, "a linearizable read fails: "+member.HealthError)
	case !member.Ready:
		why = append(why, "its /readyz says no")
	case len(member.Members) != members:
		why = append(why, fmt.Sprintf("it knows %d members and there should be %d", len(member.Members), members))
	}
	if len(why) > 0 && len(unit.Journal) > 0 {
		why = append(why, "its journal says\n  "+strings.Join(unit.Journal, "\n  "))
	}
	return strings.Join(why, "; ")
}
