package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// drifts are events at a host of a running cluster that cost nobody its data.
var drifts = map[string]func(*life, *nodetest.Host){
	"power cut":    func(_ *life, h *nodetest.Host) { h.PowerCut() },
	"power on":     func(_ *life, h *nodetest.Host) { h.PowerOn() },
	"unreachable":  func(_ *life, h *nodetest.Host) { h.Unreachable = errors.New("no route to host") },
	"reachable":    func(_ *life, h *nodetest.Host) { h.Unreachable = nil },
	"stop":         func(_ *life, h *nodetest.Host) { h.StopUnit(cluster) },
	"disable":      func(_ *life, h *nodetest.Host) { h.DisableUnit(cluster) },
	"edit flags":   func(_ *life, h *nodetest.Host) { h.EditFlags(cluster, addFlag) },
	"edit unit":    func(_ *life, h *nodetest.Host) { h.EditUnit(cluster, "[Service]\n") },
	"certificates": func(l *life, h *nodetest.Host) { h.ExpireCertificates(cluster, l.authority) },
	"time passes":  func(l *life, _ *nodetest.Host) { l.world.Tick() },
	"put":          func(l *life, _ *nodetest.Host) { _ = l.world.Put(cluster) },
}

// losses are events that cost one member its data.
var losses = map[string]func(*life, *nodetest.Host){
	"wipe":         func(_ *life, h *nodetest.Host) { h.Wipe() },
	"lose data":    func(_ *life, h *nodetest.Host) { h.LoseData(dir) },
	"foreign data": func(_ *life, h *nodetest.Host) { h.ForeignData(cluster) },
	"damaged log":  func(_ *life, h *nodetest.Host) { h.Damage(cluster, nodetest.Log) },
	"damaged data": func(_ *life, h *nodetest.Host) { h.Damage(cluster, nodetest.Database) },
	"revert":       func(_ *life, h *nodetest.Host) { h.Revert(cluster, 10) },
	"other data":   func(_ *life, h *nodetest.Host) { h.Corrupt(cluster) },
	"missed write": func(_ *life, h *nodetest.Host) { h.MissWrite(cluster) },
	"alarm":        func(_ *life, h *nodetest.Host) { h.Corrupt(cluster); h.RaiseAlarm(cluster, "CORRUPT") },
}

func addFlag(flags []string) []string { return append(flags, "--max-txn-ops=1") }

// TestChangeConverges changes what is desired in random ways, breaks hosts, has data diverge, and cuts changes short
// at any call. Once all hosts are back, repeated changes reach what is desired, no acknowledged write is lost, and a
// quorum holds the right data.
func TestChangeConverges(t *testing.T) {
	sample.CheckInBubble(t, 100, func(t *rapid.T) {
		l := serving(t, rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "members"), rapid.SampledFrom([]string{older, nodetest.EtcdVersion}).Draw(t, "version"))
		differs := false // a member holds other data, and may hold it still
		for i := range rapid.IntRange(1, 7).Draw(t, "events") {
			switch rapid.IntRange(0, 8).Draw(t, "event") {
			case 0, 1:
				l.wantAny(t)
				l.changeCutShort(t)
			case 2:
				l.changeCutShort(t)
			case 3:
				if losers := l.spared(); len(losers) > 0 && !differs {
					loss := rapid.SampledFrom(slices.Sorted(maps.Keys(losses))).Draw(t, "loss")
					of := rapid.SampledFrom(losers).Draw(t, "of")
					t.Logf("%s of %s", loss, of)
					losses[loss](l, l.world.Host(of.Address))
					differs = loss == "other data" || loss == "missed write" || loss == "alarm"
				}
			case 4:
				m := rapid.SampledFrom(l.cluster.Members).Draw(t, "moved")
				if h := l.world.Host(m.Address); h.Marker(cluster) != nil {
					lost := rapid.Bool().Draw(t, "old address lost")
					t.Logf("readdress %s %d lost %t", m, 31+i, lost)
					l.readdress(m.Name, fmt.Sprint(31+i), lost)
				}
			case 5:
				if len(l.cluster.Members) == 1 {
					continue // nobody else has its data
				}
				m := rapid.SampledFrom(l.cluster.Members).Draw(t, "rebuilt")
				t.Logf("rebuild %s", m)
				l.rebuildAlso(m.Name, fmt.Sprint("rebuild ", i))
			default:
				drift := rapid.SampledFrom([]string{"power cut", "power on", "unreachable", "reachable", "stop", "disable", "edit flags", "edit unit", "certificates", "time passes", "put"}).Draw(t, "drift")
				h := l.world.Host(rapid.SampledFrom(l.members).Draw(t, "of").Address)
				if h.Marker(cluster) != nil {
					drifts[drift](l, h)
				}
			}
		}
		for i := range worldHosts {
			h := l.world.Host(fmt.Sprintf("192.0.2.%d", 11+i))
			h.Unreachable = nil
			h.PowerOn()
		}
		for _, m := range slices.Concat(l.members, l.cluster.Members) {
			l.world.ReturnAddress(m.Address)
		}
		for range 3 {
			l.world.Tick()
		}
		for range 3 {
			if _, err := l.change(context.Background(), nil); err != nil && differs {
				l.decide(err.Error())
			}
		}
		l.mustConverge(4)
		if wrong := l.world.Differing(cluster); 2*len(wrong) >= len(l.cluster.Members) {
			t.Errorf("the right data has no quorum: %v of %v hold other data", wrong, l.cluster.Members)
		}
	})
}

// rebuildAlso has the configuration ask for a further member to be rebuilt.
func (l *life) rebuildAlso(name, text string) {
	built := maps.Clone(l.cluster.Built)
	if built == nil {
		built = map[string]string{}
	}
	built[name] = text
	l.cluster.Rebuild, l.cluster.Built = append(slices.Clone(l.cluster.Rebuild), name), built
}

// spared returns the members that may lose their data, one of them at a time: all members are healthy, and the others
// are a quorum.
func (l *life) spared() (members []membership.Member) {
	p := l.look()
	if len(p.Healthy()) < max(3, p.Size()) || len(p.Learners()) > 0 {
		return nil
	}
	for _, s := range p.Voters() {
		members = append(members, s.Member)
	}
	return members
}

// wantAny draws desired members, on their present hosts or on others, a version, and settings.
func (l *life) wantAny(t *rapid.T) {
	names := []string{"a", "b", "c", "d", "e"}[:rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "size")]
	if rapid.Bool().Draw(t, "other names") {
		names = []string{"b", "c", "d", "e", "f"}[:len(names)]
	}
	known := slices.Concat(l.cluster.Members, l.members) // the address that is desired by now comes first
	var free []string
	for i := range worldHosts {
		address := fmt.Sprintf("192.0.2.%d", 11+i)
		if !slices.ContainsFunc(known, func(m membership.Member) bool { return l.world.Host(m.Address) == l.world.Host(address) }) {
			free = append(free, address)
		}
	}
	var desired []membership.Member
	for _, name := range names {
		m := membership.Member{Name: name}
		if i := slices.IndexFunc(known, func(m membership.Member) bool { return m.Name == name }); i >= 0 && rapid.IntRange(0, 3).Draw(t, "moves") > 0 {
			m = known[i]
		} else if len(free) > 0 {
			m.Address, free = free[0], free[1:]
		} else {
			return
		}
		desired = append(desired, m)
	}
	l.cluster.Members = desired
	if len(desired) == 1 { // nobody else has its data, so it is not rebuilt
		alone := desired[0]
		l.cluster.Rebuild = slices.DeleteFunc(slices.Clone(l.cluster.Rebuild), func(name string) bool { return name == alone.Name })
		l.cluster.Built = maps.Clone(l.cluster.Built)
		delete(l.cluster.Built, alone.Name)
		if marker := l.world.Host(alone.Address).Marker(cluster); marker != nil && marker.Rebuild != "" {
			l.cluster.Built[alone.Name] = marker.Rebuild
		}
	}
	l.run(rapid.SampledFrom([]string{older, nodetest.EtcdVersion, nodetest.EtcdVersion}).Draw(t, "version"))
	l.cluster.Settings = nil
	if quota := rapid.SampledFrom([]string{"", "", "8589934592"}).Draw(t, "quota"); quota != "" {
		l.set("quota-backend-bytes", quota)
	}
}

// changeCutShort runs a change that may fail or be killed at some call.
func (l *life) changeCutShort(t *rapid.T) {
	if nth := rapid.IntRange(0, 120).Draw(t, "cut"); nth > 0 {
		extent := rapid.SampledFrom([]nodetest.Extent{nodetest.Once, nodetest.Session, nodetest.Run}).Draw(t, "extent")
		l.world.Inject(nodetest.Fault{Nth: nth, After: rapid.Bool().Draw(t, "after"), Extent: extent})
	}
	outcome, err := l.change(context.Background(), nil)
	t.Logf("change to %s of %v: %v\n%s\nstate %v deferred %v", l.cluster.Version, l.cluster.Members, err, strings.Join(l.progress, "\n"), l.members, outcome.Deferred)
	l.world.Heal()
}
