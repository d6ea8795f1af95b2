package host

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
)

// Observe reads everything that the host knows about the cluster. For as long as the request says, it waits for a
// member that was just started, and checks again on a member that no longer serves, until the failure has lasted: one
// request without a timely answer is no failure.
func (m *Machine) Observe(ctx context.Context, cluster string, r api.ObserveRequest) (api.Observation, error) {
	patience := min(r.Patience, api.LongestWait)
	begun := time.Now()
	var leaderless time.Duration // when the look began
	known := false               // nothing is to be found out in between two starts
	var process idleness
	for first := true; ; first = false {
		o, err := m.look(ctx, cluster, r, time.Since(begun))
		waited, idle := time.Since(begun), process.of(m.proc().Work(o.Unit.MainPID), time.Now())
		if first && err == nil && o.Unit.Looping && o.Unit.MainPID != 0 && o.Data.HasMember {
			_, known = m.damage(o.Data.Path, o.Unit.Restarts).Known(ctx)
		}
		if first && err == nil && m.mayComeYet(o, patience, waited) {
			leaderless = m.leaderless(ctx, o.Unit, cluster)
		}
		soon := !known && err == nil && m.maySoonCrash(o, r.Patience, waited, idle)
		if err != nil || !(waited < patience && m.mayComeYet(o, patience, leaderless+waited) || soon) {
			return m.withLog(ctx, cluster, r, o), err
		}
		if !m.pause(ctx, cluster, o.Unit, soon) {
			return m.withLog(ctx, cluster, r, o), nil
		}
	}
}

// pause waits until it is time for another observation; false means that ctx has ended. If a process may soon end,
// pause waits for that end with as little work as possible: the time between two starts is short, and an observation
// may take longer on a busy host.
func (m *Machine) pause(ctx context.Context, cluster string, seen api.UnitState, soon bool) bool {
	for paused := unitPoll; ; paused += unitPoll {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(unitPoll):
		}
		if !soon || paused >= crashPause || !m.runsStill(ctx, cluster, seen) {
			return true
		}
	}
}

// runsStill tells whether a unit's process is still the observed one, and not active by now.
func (m *Machine) runsStill(ctx context.Context, cluster string, seen api.UnitState) bool {
	now, err := m.Units.State(ctx, api.Unit(cluster))
	return err == nil && now.MainPID == seen.MainPID && now.ActiveState == seen.ActiveState
}

// leaderless returns for how long a member that does not serve has known no leader, or 0 if its journal does not say.
func (m *Machine) leaderless(ctx context.Context, unit api.UnitState, cluster string) time.Duration {
	if unit.ActiveState != "active" {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, units.Timeout)
	defer cancel()
	return m.journal().Leaderless(ctx, api.Unit(cluster), unit.MainPID)
}

// withLog adds how the log of a member ends that does not serve. The log of a serving member is agreed on.
func (m *Machine) withLog(ctx context.Context, cluster string, r api.ObserveRequest, o api.Observation) api.Observation {
	if !o.Data.HasMember || serves(o.Member) {
		return o
	}
	o.Data.Log = m.etcd(o.Data.Path).Log(o.Unit.MainPID != 0)
	if !crashes(o) {
		return o
	}
	runs := o.Unit.MainPID != 0
	switch {
	case !runs:
		o.Data.Damage = m.damage(o.Data.Path, o.Unit.Restarts).Find(ctx)
	case o.Unit.Looping: // what the start before has ended by holds until this one has come further
		o.Data.Damage, _ = m.damage(o.Data.Path, o.Unit.Restarts).Known(ctx)
	default:
		return o
	}
	o.Data.Differs = o.Data.Damage == "" && units.Differs(o.Unit.Journal)
	if o.Data.Differs {
		o.Data.Own = units.ComparedHash(o.Unit.Journal)
	}
	if l := o.Data.Log; o.Data.Damage == "" && l.Error == "" {
		l.Acknowledged = units.Acknowledged(o.Unit.Journal, l.Index)
	}
	if runs {
		return o
	}
	// A large database takes minutes to read: somebody may have repaired meanwhile what ended the member.
	if now, err := m.Units.State(ctx, api.Unit(cluster)); err == nil && now.ActiveState == "active" {
		if fresh, err := m.look(ctx, cluster, r, 0); err == nil && !crashes(fresh) {
			return m.withLog(ctx, cluster, r, fresh)
		}
	}
	return o
}

// look reads everything that the host knows about the cluster, apart from the log. It changes nothing. What could not
// be found out about a member says so in its own field. A host that cannot be read is an error, since unknown must not
// pass for missing. waited is for how long the caller has asked the member in vain.
func (m *Machine) look(ctx context.Context, cluster string, r api.ObserveRequest, waited time.Duration) (api.Observation, error) {
	var o api.Observation
	var err error
	if o.Facts, err = m.facts(); err != nil {
		return o, err
	}
	if o.Store, err = m.stores().State(cluster); err != nil {
		return o, err
	}
	if o.Marker, err = m.records().Marker(cluster); err != nil {
		return o, err
	}
	under, err := m.records().Restoration(cluster)
	if err != nil {
		return o, err
	}
	if under != nil {
		o.Restore = &under.Restoration
	}
	if o.Unit, err = m.unit(ctx, cluster); err != nil {
		return o, err
	}
	if o.Flags, err = m.flags(cluster); err != nil {
		return o, err
	}
	dir := r.DataDir
	if o.Marker != nil {
		dir = o.Marker.DataDir
	}
	if dir != "" {
		if o.Data, err = m.dataDir(dir).Data(); err != nil {
			return o, err
		}
	}
	if o.Marker != nil {
		var refused error
		if o.GuardCheck, refused = m.maySetOut(*o.Marker, o.Flags, o.Unit.MainPID != 0 && m.proc().Runs(o.Unit.MainPID)); refused != nil {
			o.Guard = refused.Error()
		}
		if o.Backup, err = m.Backups().Status(ctx, *o.Marker); err != nil {
			return o, err
		}
		if o.Renewal, err = m.Renewals().Status(ctx, cluster); err != nil {
			return o, err
		}
		if o.Firewall, err = m.Firewalls().Status(ctx, cluster); err != nil {
			return o, err
		}
	}
	if r.Firewall {
		o.NoNftables = m.Firewalls().Unusable()
	}
	if o.Listeners, err = m.proc().Listeners(r.Ports, o.Unit.MainPID); err != nil {
		return o, err
	}
	o.Certificates, o.ClientCRL = m.keys().Held(ctx, cluster)
	var served map[string]api.Served
	var asking sync.WaitGroup
	asking.Go(func() { served = m.served(ctx, o, waited) })
	view := m.ask(ctx, o, waited)
	asking.Wait()
	o.Member, o.Served = view, served
	o.Unit.Looping = m.loops(o.Unit)
	if dir != "" {
		o.Data.Cramped, err = m.isCramped(dir, o.Member)
	}
	return o, err
}

// longestAsk bounds the questions to a member that has been asked in vain for a while. etcd itself gives up a read
// after 7 s, by its default election timeout.
const longestAsk = 10 * time.Second

// after is the member as a look asks it that has asked in vain for so long.
func (m *Machine) after(marker api.Marker, waited time.Duration) etcdclient.Local {
	return m.local(marker).After(min(waited, longestAsk))
}

// ask asks the member for its status, if there can be a member to answer.
func (m *Machine) ask(ctx context.Context, o api.Observation, waited time.Duration) api.Member {
	switch {
	case o.Marker == nil:
		return api.Member{Error: records.NoCluster}
	case o.Unit.ActiveState != "active":
		// The member opens its client port to nobody before it is ready.
		return api.Member{Error: "its unit is " + o.Unit.ActiveState}
	}
	return m.after(*o.Marker, waited).Look(ctx)
}

// served returns what the ports of a started member serve, or nil if the member has not started.
func (m *Machine) served(ctx context.Context, o api.Observation, waited time.Duration) map[string]api.Served {
	if o.Marker == nil || o.Unit.ActiveState != "active" {
		return nil
	}
	flags := o.Flags
	if o.Unit.Process != nil {
		flags = o.Unit.Process.Flags
	}
	return m.after(*o.Marker, waited).Served(ctx, flags)
}

// flags returns the lines of the flags file, or nil if there is none. A link or a pipe in its place holds no flags, and
// the next configuration replaces it.
func (m *Machine) flags(cluster string) ([]string, error) {
	text, err := inside.ReadFile(m.path(api.FlagsFile(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil && !inside.IsNoFile(err) {
		return nil, err
	}
	lines := []string{}
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, nil
}
