package upgrade_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestSnapshotGoesWhereThereIsRoom has no room on the host that should save the snapshot: another host saves it,
// whether the plan knew or not. If no host has room, the change is refused before anything is changed.
func TestSnapshotGoesWhereThereIsRoom(t *testing.T) {
	for name, test := range map[string]struct {
		cramped []string
		late    bool // the room is gone after the plan was made
		saves   bool
	}{
		"one":       {[]string{"b"}, false, true},
		"one, late": {[]string{"b"}, true, true},
		"two":       {[]string{"b", "c"}, false, true},
		"two, late": {[]string{"b", "c"}, true, true},
		"all":       {[]string{"a", "b", "c"}, false, false},
		"all, late": {[]string{"a", "b", "c"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.set("quota-backend-bytes", "8589934592")
				shown := l.planned().Steps
				for _, member := range test.cramped {
					l.host(member).FreeBytes = 60 << 20
				}
				if !test.late {
					shown = l.planned().Steps
				}
				_, err := l.change(context.Background(), shown)
				if (err == nil) != test.saves {
					t.Errorf("change: %v", err)
				}
				if !test.saves && (!strings.Contains(err.Error(), "60 MiB free") || strings.Count(strings.Join(l.progress, "\n"), " roll ") > 0) {
					t.Errorf("refused with %v\n%s", err, strings.Join(l.progress, "\n"))
				}
				if test.saves {
					l.mustBeAsDesired()
				}
			})
		})
	}
}

// TestAFailureKeepsNobodyElse has a step on member b fail permanently, of each kind that keeps no other member, while
// member c is dead: c is replaced all the same, the run fails with the error of b's host, and nobody is restarted. Once
// b's host is repaired, so is b.
func TestAFailureKeepsNobodyElse(t *testing.T) {
	for name, test := range map[string]struct {
		happen func(*life, *nodetest.Host)
		fails  api.Operation
		says   string
	}{
		"renew certificates": {func(l *life, h *nodetest.Host) { h.ExpireCertificates(cluster, l.authority) }, api.OpPrepare, "renew certificates of b (192.0.2.12)"},
		"start":              {func(_ *life, h *nodetest.Host) { h.StopUnit(cluster) }, api.OpStart, "start b (192.0.2.12)"},
		"stage":              {func(_ *life, h *nodetest.Host) { h.LoseStores() }, nodetest.Install, "stage b (192.0.2.12)"},
		"stage for a roll":   {func(l *life, _ *nodetest.Host) { l.set("quota-backend-bytes", "8589934592") }, api.OpTry, "stage b (192.0.2.12)"},
		"configure": {func(_ *life, h *nodetest.Host) {
			h.StopUnit(cluster)
			h.EditFlags(cluster, logMore)
		}, api.OpConfigure, "configure b (192.0.2.12)"},
		"stop": {func(l *life, h *nodetest.Host) {
			h.CutOff = true
			h.EditFlags(cluster, logMore)
			l.world.Tick()
		}, api.OpStop, "stop b (192.0.2.12)"},
		"retire": {func(l *life, _ *nodetest.Host) {
			l.want("a", "b@21", "c", "d", "e")
			l.world.Inject(nodetest.Fault{Operation: api.OpRetire})
			if outcome, err := l.change(context.Background(), nil); err == nil {
				l.Errorf("b has left its host:\n%s", texts(outcome.Done))
			}
		}, api.OpRetire, "retire b (192.0.2.12)"},
		"agree": {func(_ *life, h *nodetest.Host) {
			h.StopUnit(cluster)
			h.DoomedStart = "Failed to set up mount namespacing"
		}, "", "b (192.0.2.12) is not ready"},
		"agree with one that its peers cannot reach": {func(_ *life, h *nodetest.Host) { h.CutOff = true }, "", "b (192.0.2.12) is not ready"},
		"sync configuration":                         {func(_ *life, h *nodetest.Host) { h.EditMarker(cluster, func(m *api.Marker) { m.InitialCluster = "" }) }, api.OpConfigure, "sync configuration: every member's names"},
		"set aside":                                  {func(l *life, _ *nodetest.Host) { l.world.RemoveBehindOurBack(cluster, "b") }, api.OpSetAside, "set aside b (192.0.2.12)"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 5, nodetest.EtcdVersion)
				b := l.host("b")
				test.happen(l, b)
				l.host("c").Wipe()
				if test.fails != "" {
					for range 40 { // at each call
						l.world.Inject(nodetest.Fault{Operation: test.fails, Address: "192.0.2.12"})
					}
				}
				outcome, err := l.change(context.Background(), l.planned().Steps)
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("change: %v", err)
				}
				end := membership.Promote
				if name == "set aside" {
					// Three voters are left, and a fourth, while b is away, would tolerate no more failures.
					end = membership.Remove
				}
				if !slices.ContainsFunc(outcome.Done, func(s membership.Step) bool { return s.Kind == end && s.Member == "c" }) {
					t.Errorf("there is no %s of c:\n%s\n%v", end, texts(outcome.Done), err)
				}
				if slices.ContainsFunc(outcome.Done, func(s membership.Step) bool { return s.Kind == membership.Roll }) {
					t.Errorf("somebody was restarted:\n%s", texts(outcome.Done))
				}
				l.put()
				l.world.Heal()
				b.DoomedStart, b.CutOff = "", false
				l.world.Tick()
				l.mustConverge(2)
			})
		})
	}
}

// logMore edits a member's flags so that they are not as desired.
func logMore(flags []string) []string { return append(slices.Clip(flags), "--log-level=debug") }

// TestStoreIsGoneAndTheUnitComesAndGoes has a member without its store run in vain when the plan is made, and be
// stopped when the plan is carried out. The run repairs the member all the same.
func TestStoreIsGoneAndTheUnitComesAndGoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.host("b").LoseStore(cluster, l.versions[older]["amd64"])
		l.world.Tick()
		shown := l.planned().Steps
		l.host("b").StopUnit(cluster)
		if _, err := l.change(context.Background(), shown); err != nil {
			t.Error(err)
		}
		l.mustBeAsDesired()
	})
}

// TestStoreIsGoneForLong has a member without its store be started in vain for so long that it counts as one that
// crashes at each start. The plan says nothing of that: the run puts the store back, and the member comes up.
func TestStoreIsGoneForLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.host("b").LoseStore(cluster, l.versions[older]["amd64"])
		for range 6 {
			l.world.Tick()
		}
		if p := l.planned(); len(p.Deferred) > 0 {
			t.Errorf("deferred: %v\n%s", p.Deferred, texts(p.Steps))
		}
		l.mustChange()
		l.mustBeAsDesired()
	})
}

// TestAVoterThatCannotBeRemovedRunsOn has etcd refuse the removal of a healthy voter that was stopped for it: the voter
// is started again, and the next run removes it.
func TestAVoterThatCannotBeRemovedRunsOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.want("a", "b@22", "c")
		b := l.host("b").Address
		l.world.Inject(nodetest.Fault{Operation: api.OpRemoveMember, Err: &api.Error{Code: api.CodeFailed, Message: "remove member: etcdserver: request timed out"}})
		l.members = append(l.members, membership.Member{Name: "b", Address: "192.0.2.12"})
		if _, err := l.change(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "etcdserver: request timed out") {
			t.Fatalf("change: %v", err)
		}
		l.world.Tick()
		if s := l.look().Member(membership.Member{Name: "b", Address: "192.0.2.12"}); s == nil || s.State != membership.Healthy {
			t.Errorf("b (%s) is %+v", b, s)
		}
		l.mustConverge(2)
	})
}
