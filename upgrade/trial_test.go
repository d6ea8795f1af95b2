package upgrade_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestHostsTryBeforeTheyForm has hosts that are unfit for a member: one error has all faults of all hosts, and the
// hosts have nothing but the store. Once the faults are repaired, the create continues.
func TestHostsTryBeforeTheyForm(t *testing.T) {
	for name, test := range map[string]struct {
		happen func(s *site)
		says   []string
		not    []string
	}{
		"a blocked direction": {func(s *site) { s.host("a").Blocks = []string{"192.0.2.12"} }, []string{"a cannot reach b:2380 (timeout)"}, []string{"b cannot", "c cannot"}},
		"two hosts apart":     {func(s *site) { s.host("c").CutOff = true }, []string{"a cannot reach c:2380 (timeout)", "b cannot reach c:2380 (timeout)", "c cannot reach a:2380 (timeout)", "c cannot reach b:2380 (timeout)"}, []string{"a cannot reach b"}},
		"slow disks":          {func(s *site) { s.host("a").SyncP99, s.host("c").SyncP99 = 30*time.Millisecond, time.Second }, []string{"a (192.0.2.11): appends", "c (192.0.2.13): appends"}, []string{"b (192.0.2.12)"}},
		"all at once": {func(s *site) {
			s.host("a").SyncP99, s.host("b").Blocks = time.Second, []string{"192.0.2.13"}
		}, []string{"a (192.0.2.11): appends", "b cannot reach c:2380 (timeout)"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 3)
			s.cluster.Inspects, s.cluster.MaxFsyncP99 = s.cluster.Members, 10*time.Millisecond
			test.happen(s)
			for range 2 { // the second finds the stores there
				_, err := s.form(context.Background())
				if err == nil {
					t.Fatal("the cluster was formed")
				}
				for _, says := range test.says {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("the error does not say %q: %v", says, err)
					}
				}
				for _, not := range test.not {
					if strings.Contains(err.Error(), not) {
						t.Errorf("the error says %q: %v", not, err)
					}
				}
			}
			for _, c := range s.world.Changes() {
				if c.Operation != nodetest.Install {
					t.Errorf("%s was asked for %s", c.Address, c.Operation)
				}
			}
			for _, m := range s.cluster.Members {
				h := s.host(m.Name)
				h.Blocks, h.CutOff, h.SyncP99 = nil, false, 0
			}
			if formed := s.mustForm(); len(formed.Doubts) > 0 || len(formed.Inspected) != 3 {
				t.Errorf("formed: %v, %d inspected", formed.Doubts, len(formed.Inspected))
			}
			if progress := strings.Join(s.progress, "\n"); !strings.Contains(progress, "b (192.0.2.12): appends to the disk of /var/lib/etcd/prod take 250µs (p50), 1ms (p99)") {
				t.Errorf("the progress does not say what was measured:\n%s", progress)
			}
		})
	}
}

// TestASlowDiskIsADoubt holds that a slow disk is reported and used if there is no limit, and that a disk is not
// measured if the check is waived.
func TestASlowDiskIsADoubt(t *testing.T) {
	for _, waived := range []bool{false, true} {
		s := newSite(t, 3)
		s.cluster.Inspects = s.cluster.Members
		if waived {
			s.cluster.Waived = []string{"fsync_latency"}
		}
		s.host("b").SyncP99 = 11 * time.Millisecond
		formed := s.mustForm()
		if said := len(formed.Doubts) == 1 && strings.HasPrefix(formed.Doubts[0], "b (192.0.2.12): appends"); said == waived {
			t.Errorf("waived %t: %v", waived, formed.Doubts)
		}
	}
}

// TestHostsTryBeforeTheyJoin changes the members of a running cluster. The run refuses unfit hosts before it changes
// the cluster, also by what the hosts of running members find out.
func TestHostsTryBeforeTheyJoin(t *testing.T) {
	members := map[string][]string{"a replacement": {"a", "b", "c@21"}, "members that are new": {"a", "b", "c", "d@21", "e"}}
	for name, test := range map[string]struct {
		happen func(l *life, joins *nodetest.Host)
		says   string
	}{
		"it reaches nobody":     {func(_ *life, joins *nodetest.Host) { joins.Blocks = []string{"192.0.2.11"} }, "cannot reach a:2380 (timeout)"},
		"it is not reached":     {func(l *life, _ *nodetest.Host) { l.host("a").Blocks = []string{"192.0.2.21"} }, "a cannot reach "},
		"its disk is too slow":  {func(_ *life, joins *nodetest.Host) { joins.SyncP99 = time.Second }, "(192.0.2.21): appends"},
		"both, and it is alone": {func(_ *life, joins *nodetest.Host) { joins.CutOff, joins.SyncP99 = true, time.Second }, "(192.0.2.21): appends"},
	} {
		for change, desired := range members {
			t.Run(name+", "+change, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := serving(t, 3, nodetest.EtcdVersion)
					l.want(desired...)
					l.cluster.MaxFsyncP99 = 10 * time.Millisecond
					l.cluster.Inspects = slices.DeleteFunc(slices.Clone(l.cluster.Members), func(m membership.Member) bool { return slices.Contains(l.members, m) })
					joins := l.world.Host("192.0.2.21")
					test.happen(l, joins)
					steps := l.planned().Steps
					l.world.Forget()
					outcome, err := l.change(context.Background(), steps)
					if err == nil || !strings.Contains(err.Error(), test.says) {
						t.Fatalf("change: %v", err)
					}
					for _, step := range outcome.Done {
						if step.Kind != membership.Stage {
							t.Errorf("it was done: %s", step)
						}
					}
					for _, c := range l.world.Changes() {
						if c.Operation != nodetest.Install {
							t.Errorf("%s was asked for %s", c.Address, c.Operation)
						}
					}
					joins.Blocks, joins.CutOff, joins.SyncP99, l.world.Host("192.0.2.11").Blocks = nil, false, 0, nil
					l.mustChange()
				})
			})
		}
	}
}

// TestAHostTriesItsNewAddress gives a member an address at which one of its peers does not reach it. The member keeps
// its old address.
func TestAHostTriesItsNewAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		c := l.cluster.Members[2]
		l.world.Readdress(c.Address, "192.0.2.53")
		l.cluster.Members = append(slices.Clone(l.cluster.Members[:2]), membership.Member{Name: "c", Address: "192.0.2.53"})
		l.members = append(l.members, l.cluster.Members[2])
		l.host("a").Blocks = []string{c.Address}
		steps := l.planned().Steps
		l.world.Forget()
		if _, err := l.change(context.Background(), steps); err == nil || !strings.Contains(err.Error(), "a cannot reach c:2380 (timeout)") {
			t.Fatalf("change: %v", err)
		}
		for _, call := range l.world.Changes() {
			if call.Operation != nodetest.Install && call.Operation != api.OpSnapshot {
				t.Errorf("%s was asked for %s", call.Address, call.Operation)
			}
		}
		l.world.Host("192.0.2.11").Blocks = nil
		l.mustChange()
	})
}

// TestAnUnfitHostKeepsNobodyDown stops members beside a host that is unfit to become one, on which there is a store
// already. Each change starts the members first, and ends by what is wrong with the host. A host that has met nobody
// yet, since nobody served, is tried again before anything is given up for it.
func TestAnUnfitHostKeepsNobodyDown(t *testing.T) {
	for name, stopped := range map[string][]string{"one is stopped": {"b"}, "the quorum is lost": {"b", "c"}} {
		for change, desired := range map[string][]string{"members that are new": {"a", "b", "c", "d@21", "e"}, "a replacement": {"a@21", "b", "c"}} {
			t.Run(name+", "+change, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := serving(t, 3, nodetest.EtcdVersion)
					l.want(desired...)
					joins := l.world.Host("192.0.2.21")
					joins.CutOff = true
					if _, err := l.change(context.Background(), l.planned().Steps); err == nil || !strings.Contains(err.Error(), "cannot reach") {
						t.Fatalf("the first change: %v", err)
					}
					for _, name := range stopped {
						l.host(name).StopUnit("prod")
					}
					l.world.Forget()
					outcome, err := l.change(context.Background(), l.planned().Steps)
					if err == nil || !strings.Contains(err.Error(), "cannot reach") {
						t.Fatalf("the second change: %v", err)
					}
					for _, name := range stopped {
						if !slices.ContainsFunc(outcome.Done, func(s membership.Step) bool { return s.Kind == membership.Start && s.Member == name }) {
							t.Errorf("%s was not started: %q", name, outcome.Done)
						}
					}
					for _, c := range l.world.Changes() {
						if c.Operation == api.OpRemoveMember || c.Operation == api.OpAddLearner {
							t.Errorf("%s was asked for %s", c.Address, c.Operation)
						}
					}
					joins.CutOff = false
					l.mustChange()
				})
			})
		}
	}
}
