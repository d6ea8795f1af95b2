package upgrade_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

const (
	older      = "3.6.16"
	cluster    = "prod"
	worldHosts = 12 // hosts of every formed site: for seven members, and to move to
)

// life is a site whose cluster was formed and holds data.
type life struct {
	*site
	owner, token string
	forgotten    map[string]bool              // addresses of hosts that could not be asked when their member had left
	versions     map[string]map[string]string // stores by version
}

// serving forms a cluster of n members that runs this version, and writes a key.
func serving(t tb, n int, version string) *life {
	t.Helper()
	s := newSiteWith(t, n, worldHosts)
	s.world.Lasting = true
	l := &life{site: s, forgotten: map[string]bool{}, versions: map[string]map[string]string{nodetest.EtcdVersion: s.world.Stores, older: s.world.AddStores(older)}}
	s.cluster.StoresOf = l.versions
	s.cluster.Carried = []string{older, nodetest.EtcdVersion}
	l.run(version)
	formed := s.mustForm()
	l.owner, l.token = formed.Owner, fmt.Sprintf("token-%d", s.runs)
	s.members = slices.Clone(s.cluster.Members)
	l.put()
	return l
}

// bubble runs a test in a time of its own, which passes when everybody waits.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// put writes a key through every member that accepts it.
func (l *life) put() {
	l.Helper()
	if err := l.world.Put(cluster); err != nil {
		l.Errorf("put: %v", err)
	}
}

// want changes the desired members: "a" stays where it is, "b@21" is at 192.0.2.21.
func (l *life) want(members ...string) {
	var desired []membership.Member
	for _, text := range members {
		name, last, moves := strings.Cut(text, "@")
		at := "192.0.2." + last
		if i := slices.IndexFunc(l.cluster.Members, func(m membership.Member) bool { return m.Name == name }); !moves && i >= 0 {
			at = l.cluster.Members[i].Address
		} else if !moves {
			at = fmt.Sprintf("192.0.2.%d", 11+name[0]-'a')
		}
		desired = append(desired, membership.Member{Name: name, Address: at})
	}
	l.cluster.Members = membership.Sort(desired)
}

// run changes the desired version.
func (l *life) run(version string) {
	l.cluster.Version, l.cluster.Stores = version, l.versions[version]
}

// look returns what is observed of all hosts that the state or the configuration knows.
func (l *life) look() membership.ClusterStatus {
	members := slices.Clone(l.members)
	for _, m := range l.cluster.Members {
		if !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	return l.cluster.Status(l.owner, l.executor().Observe(context.Background(), members), l.world.Now())
}

// planned returns the plan as it is shown before anything is done.
func (l *life) planned() plan.Plan {
	l.Helper()
	l.world.Forget()
	plan, err := plan.Change(l.look(), l.cluster.Spec)
	if err != nil {
		l.Fatalf("plan: %v", err)
	}
	if changes := l.world.Changes(); len(changes) > 0 {
		l.Errorf("a plan has changed hosts: %v", changes)
	}
	return plan
}

// change is one apply by a new process. The state follows what it returns.
func (l *life) change(ctx context.Context, approved []membership.Step) (upgrade.Outcome, error) {
	e := l.executor()
	outcome, err := e.Change(ctx, upgrade.Order{Owner: l.owner, Members: l.members, Approved: approved})
	e.Signer.(*witness).mustSignWhatItSays(l, outcome.Done, err == nil)
	l.acknowledged(outcome.Acknowledged)
	complete := err == nil && len(outcome.Deferred) == 0 // the state stays otherwise
	seen := l.cluster.Status(l.owner, outcome.Reports, l.world.Now())
	for _, s := range seen.Members {
		known := slices.Index(l.members, s.Member)
		switch left := !s.Desired && s.Role == membership.Absent && !s.Traces && complete; {
		case left && known >= 0:
			l.members = slices.Delete(l.members, known, known+1)
		case !left && known < 0:
			l.members = append(l.members, s.Member)
		}
	}
	if complete {
		l.members = slices.DeleteFunc(l.members, func(m membership.Member) bool {
			left := seen.Member(m) == nil
			l.forgotten[m.Address] = l.forgotten[m.Address] || left && outcome.Reports[m].Err != nil
			return left
		})
	}
	return outcome, err
}

// acknowledged returns what a state keeps of the entries that members had on their disks.
func (l *life) acknowledged(entries map[string]uint64) {
	known := maps.Clone(l.cluster.Acknowledged)
	if known == nil {
		known = map[string]uint64{}
	}
	for id, index := range entries {
		known[id] = max(known[id], index)
	}
	l.cluster.Acknowledged = known
}

// mustChange carries out what was planned, all of it and nothing else. Nothing is left to do then.
func (l *life) mustChange() upgrade.Outcome {
	l.Helper()
	plan := l.planned()
	l.world.Forget()
	outcome, err := l.change(context.Background(), plan.Steps)
	if err != nil {
		l.Fatalf("change: %v\nplan:\n%s\nprogress:\n%s", err, texts(plan.Steps), strings.Join(l.progress, "\n"))
	}
	if diff := cmp.Diff(texts(plan.Steps), texts(outcome.Done)); diff != "" {
		l.Errorf("done differs from planned (-planned +done):\n%s", diff)
	}
	l.mustHaveLocked()
	if len(outcome.Deferred) == 0 {
		l.mustBeAsDesired()
	}
	l.mustBeDone()
	return outcome
}

// mustHaveLocked fails the test if a host was changed before the lock was taken.
func (l *life) mustHaveLocked() {
	l.Helper()
	for _, c := range l.world.Calls() {
		switch {
		case c.Operation == api.OpLock:
			return
		case c.Changes():
			l.Errorf("%s of %s came before the lock", c.Operation, c.Address)
		}
	}
}

// mustBeDone fails the test if another change has anything left to do.
func (l *life) mustBeDone() {
	l.Helper()
	l.world.Forget()
	again, err := l.change(context.Background(), []membership.Step{})
	if err != nil || len(again.Done) > 0 {
		l.Errorf("a second change: %v\n%s", err, texts(again.Done))
	}
	if changes := l.world.Changes(); len(changes) > 0 {
		l.Errorf("a second change changed hosts: %v", changes)
	}
}

// texts returns steps as a plan shows them, without the leader, since a plan does not know who leads after an election.
func texts(steps []membership.Step) string {
	var lines []string
	for _, step := range steps {
		lines = append(lines, step.String())
	}
	return strings.Join(lines, "\n")
}

// mustBeAsDesired fails the test if the content of the hosts is not exactly what is desired, if anything is left on
// another host, or if a write is lost.
func (l *life) mustBeAsDesired() {
	l.Helper()
	for _, why := range l.world.Unhealthy(cluster, l.cluster.Addresses()...) {
		l.Errorf("not healthy: %s", why)
	}
	for _, lost := range l.world.Lost(cluster) {
		l.Errorf("lost: %s", lost)
	}
	if err := l.world.Put(cluster); err != nil {
		l.Errorf("put after the change: %v", err)
	}
	e := l.executor()
	reports := e.Observe(context.Background(), l.cluster.Members)
	for _, m := range l.cluster.Members {
		if reports[m].Observation == nil {
			l.Errorf("%s was not observed: %+v", m.Name, reports[m])
			continue
		}
		l.mustRunAsDesired(m, *reports[m].Observation)
	}
	for last := range worldHosts {
		address := fmt.Sprintf("192.0.2.%d", 11+last)
		host := l.world.Host(address)
		if _, err := host.Contact(context.Background(), cluster, l.cluster.Ask()); err != nil || l.forgotten[address] || l.carries(host) {
			continue
		}
		if left := host.Leftovers(cluster, l.cluster.DataDir); len(left) > 0 {
			l.Errorf("%s is no host of the cluster, and carries %v", address, left)
		}
	}
}

// carries tells whether a host, under any of its addresses, is that of a member.
func (l *life) carries(host *nodetest.Host) bool {
	return slices.ContainsFunc(l.cluster.Members, func(m membership.Member) bool { return l.world.Host(m.Address) == host })
}

// readdress gives a member another address on its machine, and removes the old one if it is lost.
func (l *life) readdress(name, last string, lost bool) {
	old := ""
	for i, m := range l.cluster.Members {
		if m.Name == name {
			old = m.Address
			l.cluster.Members[i].Address = "192.0.2." + last
		}
	}
	l.cluster.Members = slices.Clone(l.cluster.Members)
	l.world.Readdress(old, "192.0.2."+last)
	if lost {
		l.world.LoseAddress(old)
	}
}

// renumber gives members other addresses at once, and removes the old ones.
func (l *life) renumber(names ...string) {
	for _, name := range names {
		l.readdress(name, "5"+string('1'+name[0]-'a'), true)
	}
	for range 3 {
		l.world.Tick()
	}
}

// mustRunAsDesired fails the test if a member's host is not exactly what is desired.
func (l *life) mustRunAsDesired(m membership.Member, o api.Observation) {
	l.Helper()
	formation := bootstrap.Formation{Owner: l.owner, Token: l.token}
	unit, err := l.cluster.Unit(o.Facts.MemoryBytes)
	if err != nil {
		l.Fatalf("%v", err)
	}
	marker := l.cluster.Marker(m, formation, api.PhaseFormed)
	marker.ClusterID, marker.MemberID, marker.Store = o.Member.ClusterID, o.Member.MemberID, l.cluster.Stores[o.Facts.Architecture]
	marker.Former = o.Marker.Former // the host's own to say
	same := func(what string, want, got any) {
		l.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			l.Errorf("%s of %s (-want +got):\n%s", what, m.Name, diff)
		}
	}
	same("marker", &marker, o.Marker)
	same("flags", l.cluster.Peered().Flags(m, formation, bootstrap.StateExisting), o.Flags)
	if named := signing.CommonName(o.Certificates[api.KeyPeer].PEM); named != l.cluster.PeerName && (named != m.Name || l.cluster.PeerName != "") {
		l.Errorf("the peer certificate of %s has the common name %q, want %q", m.Name, named, l.cluster.PeerName)
	}
	same("unit", unit, o.Unit.Text)
	same("store", marker.Store, o.Store.Selected)
	same("version", l.cluster.Version, o.Member.Version)
	same("enabled", "enabled", o.Unit.FileState)
	same("downgrade", "", o.Member.Downgrade)
	same("alarms", 0, len(o.Member.Alarms))
	var voters []string
	for _, entry := range o.Member.Members {
		if entry.Learner {
			l.Errorf("%s lists a learner: %+v", m.Name, entry)
		}
		voters = append(voters, entry.Name+"="+strings.Join(entry.PeerURLs, "+"))
	}
	slices.Sort(voters)
	same("member list", l.cluster.InitialCluster(), strings.Join(voters, ","))
	if o.Unit.Process == nil {
		l.Errorf("%s does not run", m.Name)
		return
	}
	same("running store", marker.Store, o.Unit.Process.Store)
	same("running flags", lasting(o.Flags), lasting(o.Unit.Process.Flags))
	same("guard", "", o.Guard)
	var firewall *api.Firewall
	if o.Firewall != nil {
		firewall = &o.Firewall.Firewall
		same("firewall as it is in force", "", o.Firewall.Differs)
	}
	same("firewall", l.cluster.FirewallFor(slices.Sorted(slices.Values(l.cluster.Addresses()))), firewall)
}

// lasting returns the flags that count for the whole life of a member, without those of its first start.
func lasting(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(line string) bool { return strings.HasPrefix(line, "--initial-") })
}

// leader returns the name of the member that leads.
func (l *life) leader() string {
	l.Helper()
	p := l.look()
	for _, s := range p.Members {
		if s.ID == p.Leader && s.ID != "" {
			return s.Name
		}
	}
	l.Fatalf("nobody leads")
	return ""
}
