package upgrade

import (
	"context"
	"errors"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// as is the cluster as a member's configuration has it: with those that vote now, and itself.
func (l *changeRun) as(m membership.Member, version string) bootstrap.Cluster {
	c := l.Cluster.As(l.picture).With(m).At(m)
	if version != c.Version {
		c.Version, c.Stores = version, c.StoresOf[version]
	}
	return c
}

// formation is what the cluster was formed with.
func (l *changeRun) formation() bootstrap.Formation {
	f := bootstrap.Formation{Owner: l.order.Owner}
	for _, m := range l.seats {
		if marker := l.marker(m); marker != nil && marker.Owner == l.order.Owner && f.Token == "" {
			f.Token = marker.Token
		}
	}
	return f
}

// marker is the marker of a seat's host; nil: it has none.
func (l *changeRun) marker(m membership.Member) *api.Marker {
	if o := l.reports[m].Observation; o != nil {
		return o.Marker
	}
	return l.reports[m].Contact.Marker
}

// architecture is that of a seat's host, as Go names it.
func (l *changeRun) architecture(m membership.Member) string {
	if o := l.reports[m].Observation; o != nil {
		return o.Facts.Architecture
	}
	return bootstrap.Architecture(l.reports[m].Contact.Machine)
}

// wanted is what a member is to run by: everything but its certificates.
func (l *changeRun) wanted(m membership.Member, version string, phase api.Phase) (api.ConfigureRequest, error) {
	o := l.reports[m].Observation
	if o == nil {
		return api.ConfigureRequest{}, errors.New("its host was not observed")
	}
	c, f := l.as(m, version), l.formation()
	unit, err := c.Unit(o.Facts.MemoryBytes)
	if err != nil {
		return api.ConfigureRequest{}, err
	}
	store := c.Stores[o.Facts.Architecture]
	if store == "" { // it keeps the one that it has been given
		store = o.Store.Selected
	}
	marker := c.Marker(m, f, phase)
	marker.Store, marker.ClusterID, marker.MemberID = store, l.clusterID(), l.seat(m).ID
	if phase != api.PhaseJoining { // it goes on with the data that it has
		marker.Rebuild = o.Marker.Rebuild
	}
	return api.ConfigureRequest{Marker: marker, Store: store, Flags: c.Flags(m, f, bootstrap.StateExisting), Unit: unit}, nil
}

// clusterID is etcd's ID of the cluster, as its hosts have recorded it.
func (l *changeRun) clusterID() string {
	for _, m := range l.seats {
		if marker := l.marker(m); marker != nil && marker.Owner == l.order.Owner && marker.ClusterID != "" {
			return marker.ClusterID
		}
	}
	return ""
}

// present is what a member is configured with now.
func (l *changeRun) present(m membership.Member) api.ConfigureRequest {
	o := l.reports[m].Observation
	return api.ConfigureRequest{Marker: *o.Marker, Store: o.Store.Selected, Flags: o.Flags, Unit: o.Unit.Text}
}

// stage puts the store on the host that it is to run, and tries the flags against it.
func (l *changeRun) stage(ctx context.Context, m membership.Member, version string) error {
	c := l.as(m, version)
	store := c.Stores[l.architecture(m)]
	if store == "" {
		// It runs the wanted version already, of a store that this build of the provider does not carry.
		o := l.reports[m].Observation
		if o == nil || o.Store.Selected == "" {
			return fmt.Errorf("this build of the provider carries no store of etcd %s for linux/%s", version, l.architecture(m))
		}
		store = o.Store.Selected
	} else if err := l.Hosts[m].Install(ctx, store); err != nil {
		return err
	}
	if err := l.roomToJoin(ctx, m, store); err != nil {
		return err
	}
	flags := c.Flags(m, l.formation(), bootstrap.StateExisting)
	if _, err := call[api.Done](ctx, l.Hosts[m], store, api.OpTry, l.Cluster.Name, "", api.TryRequest{Store: store, Flags: flags}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.staged[m] = version
	return nil
}

// roomToJoin refuses a host on which the database of the others has no room, for a member that is to copy it. Once it is in
// the list it is too late: it would fill its disk, and be a member that never comes up.
func (l *changeRun) roomToJoin(ctx context.Context, m membership.Member, store string) error {
	switch s := l.seat(m); {
	case s.State == membership.Missing, s.State == membership.Lost, rebuildable(s): // what it has is moved aside
	default:
		return nil // it has its data
	}
	report := l.observe(ctx, m, store, 0)
	if report.Err != nil {
		return report.Err
	}
	if report.Observation == nil {
		return errors.New("the store that was installed on it is gone")
	}
	var database int64
	for _, s := range l.picture.Healthy() {
		database = max(database, l.reports[s.Member].Observation.Member.DBSizeBytes)
	}
	if why := bootstrap.Cramped(report.Observation.Data, database); why != "" {
		return &membership.Refusal{Rule: why, Remedy: "make room there, or give the member another host; the member list is as it was"}
	}
	return nil
}

// certificates has the host make the keys that it lacks, and signs what it requests.
func (w *work) certificates(ctx context.Context, m membership.Member, marker api.Marker) (map[string]string, error) {
	return w.certificatesFor(ctx, m, marker, w.Cluster.Keys(m))
}

func (w *work) certificatesFor(ctx context.Context, m membership.Member, marker api.Marker, keys []api.KeyRequest) (map[string]string, error) {
	prepared, err := ask[api.Prepared](ctx, w, m, api.OpPrepare, api.PrepareRequest{Marker: marker, Keys: keys})
	if err != nil {
		return nil, err
	}
	certificates := map[string]string{}
	for _, want := range keys {
		request, made := prepared.Requests[want.Name]
		if !made {
			return nil, fmt.Errorf("its store made no certificate request for key %s", want.Name)
		}
		if certificates[want.Name], err = w.Signer.Sign(ctx, want, request); err != nil {
			return nil, fmt.Errorf("sign the certificate of key %s: %w", want.Name, err)
		}
	}
	return certificates, nil
}

// configure writes all that a member runs by that serves nobody.
func (l *changeRun) configure(ctx context.Context, m membership.Member) error {
	request, err := l.wanted(m, l.Cluster.Version, l.phase(m))
	if err != nil {
		return err
	}
	return l.certified(ctx, m, request)
}

// certified writes a configuration together with new certificates.
func (l *changeRun) certified(ctx context.Context, m membership.Member, request api.ConfigureRequest) (err error) {
	if request.Certificates, err = l.certificates(ctx, m, request.Marker); err != nil {
		return err
	}
	request.PeerCA, request.ClientCA = l.Cluster.PeerCA, l.Cluster.ClientCA
	return l.tell(ctx, m, api.OpConfigure, request)
}

// phase is how far the member has come.
func (l *changeRun) phase(m membership.Member) api.Phase {
	if l.seat(m).Role == membership.Voter {
		return api.PhaseFormed
	}
	return api.PhaseJoining
}

// renewCertificates issues certificates anew, and changes nothing else. A member that runs takes them up by itself, and
// is waited for where that may be all that it lacks.
func (l *changeRun) renewCertificates(ctx context.Context, m membership.Member) error {
	if err := l.certified(ctx, m, l.present(m)); err != nil {
		return err
	}
	l.mu.Lock()
	l.renewed[m] = true
	l.mu.Unlock()
	if s := l.seat(m); s.State == membership.Unhealthy && len(s.Outdated) == 0 && l.picture.HasQuorum() {
		return l.awaitReady(ctx, m)
	}
	return nil
}

// syncConfiguration writes into every member's configuration which members there are. They run on meanwhile.
func (l *changeRun) syncConfiguration(ctx context.Context, step membership.Step) error {
	var seats []membership.Member
	for _, s := range l.picture.Seats {
		if outOfSync(s) {
			seats = append(seats, s.Member)
		}
	}
	return together(seats, func(m membership.Member) error {
		request, err := l.wanted(m, l.Cluster.Version, api.PhaseFormed)
		if err != nil {
			return err
		}
		// What takes a restart is for the roll, with its gate.
		now := l.present(m)
		request.Store, request.Marker.Store, request.Unit = now.Store, now.Marker.Store, now.Unit
		request.Flags = bootstrap.Synced(now.Flags, request.Flags)
		request.Marker.ClientPort, request.Marker.MetricsPort = now.Marker.ClientPort, now.Marker.MetricsPort
		if err := l.tell(ctx, m, api.OpConfigure, request); err != nil {
			return l.endure(step, m, fmt.Errorf("%s: %w", m, err))
		}
		return nil
	})
}
