package upgrade_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// reverting is a cluster that an apply has changed, and whose state knows what its members had.
func reverting(t *testing.T) *life {
	t.Helper()
	l := serving(t, 3, nodetest.EtcdVersion)
	l.host("a").WriteMany(cluster, 100)
	l.set("quota-backend-bytes", "8589934592")
	l.mustChange()
	return l
}

// TestRevertedMachine reverts a machine with all its records: its member is behind what it has acknowledged, and is
// rebuilt. A member that lacks only what nobody has seen is started as usual.
func TestRevertedMachine(t *testing.T) {
	for name, test := range map[string]struct {
		entries uint64
		does    string
	}{
		"behind":     {100, "remove b (192.0.2.12): dead, its log ends with entry "},
		"not behind": {0, "start b (192.0.2.12)"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := reverting(t)
				l.host("b").Revert(cluster, test.entries)
				outcome := l.mustChange()
				if steps := texts(outcome.Done); !strings.Contains(steps, test.does) {
					t.Errorf("no step says %q:\n%s", test.does, steps)
				}
			})
		})
	}
}

// TestRevertedMachineOfWhichNoStateKnows reverts a machine to before what its member has acknowledged since the last
// apply, with all records of that. The member ends over what its leader knows of it, and is rebuilt for that.
func TestRevertedMachineOfWhichNoStateKnows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		follower := "b"
		if l.leader() == follower {
			follower = "c"
		}
		l.host("a").WriteMany(cluster, 100)
		l.host(follower).Revert(cluster, 100)
		if _, err := l.change(context.Background(), l.planned().Steps); err == nil {
			t.Error("it comes up, though its leader knows that it lacks entries")
		}
		for range 3 {
			l.world.Tick()
		}
		outcome := l.mustChange()
		if steps, does := texts(outcome.Done), "remove "+follower; !strings.Contains(steps, does) || !strings.Contains(steps, "its log ends with entry ") {
			t.Errorf("no step says %q, and why:\n%s", does, steps)
		}
		l.mustBeAsDesired()
	})
}

// TestRevertedToBeforeADowngrade reverts a machine to before its cluster went back to an older etcd, which does not
// start on the member's data: the member is rebuilt.
func TestRevertedToBeforeADowngrade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.run(older)
		l.mustChange()
		l.cluster.Acknowledged = nil // a state that was imported knows nothing of it
		l.host("b").Revert(cluster, 6)
		outcome := l.mustChange()
		if does := "remove b (192.0.2.12): dead, its data is of etcd 3.7, and its cluster has gone back to 3.6"; !strings.Contains(texts(outcome.Done), does) {
			t.Errorf("no step says %q:\n%s", does, texts(outcome.Done))
		}
	})
}

// TestRevertedWhereNobodyServes has b lag behind, reverts a's machine, and has c, which has everything acknowledged, be
// off: a and b are no quorum. Once c is back, b comes up with it, a is rebuilt, and nothing is lost.
func TestRevertedWhereNobodyServes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.host("b").StopUnit(cluster)
		l.world.Tick()
		for range 20 {
			l.put()
		}
		l.cluster.Acknowledged = map[string]uint64{}
		for _, report := range l.executor().Observe(t.Context(), l.members) {
			if view := report.Observation.Member; view.Healthy {
				l.cluster.Acknowledged[view.MemberID] = view.AppliedIndex
			}
		}
		l.host("a").Revert(cluster, 10)
		l.host("c").PowerCut()
		l.host("b").StopUnit(cluster)
		for range 3 {
			l.world.Tick()
		}
		if _, err := l.change(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "its machine was reset to an older state") {
			t.Errorf("a member that was put back counts for a quorum: %v\n%s", err, strings.Join(l.progress, "\n"))
		}
		l.host("c").PowerOn()
		for range 3 {
			l.world.Tick()
		}
		l.mustConverge(3)
	})
}

// TestAllRevertedTogether reverts all machines on purpose: no member is taken for lost.
func TestAllRevertedTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := reverting(t)
		for _, name := range []string{"a", "b", "c"} {
			l.host(name).Revert(cluster, 50)
		}
		plan := l.planned()
		for _, step := range plan.Steps {
			// What was configured since is configured anew.
			if !slices.Contains([]membership.Kind{membership.Stage, membership.Configure, membership.Start, membership.Agree}, step.Kind) {
				t.Errorf("the plan has %s", step)
			}
		}
		if _, err := l.change(context.Background(), plan.Steps); err != nil {
			t.Error(err)
		}
	})
}

// TestAcknowledgedIsSeenTwice holds that an entry counts as written only after a later observation has found the member
// serving.
func TestAcknowledgedIsSeenTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		outcome, err := l.change(context.Background(), nil) // nothing to do
		if err != nil || len(outcome.Done) > 0 {
			t.Fatalf("%v, %v", outcome.Done, err)
		}
		for id, index := range outcome.Acknowledged {
			if index > 0 {
				t.Errorf("%s was looked at once, and is known to have entry %d on its disk", id, index)
			}
		}
		l.set("quota-backend-bytes", "8589934592")
		outcome, err = l.change(context.Background(), nil)
		if err != nil || len(outcome.Acknowledged) != 3 {
			t.Fatalf("%v, %v", outcome.Acknowledged, err)
		}
		for id, index := range outcome.Acknowledged {
			if index == 0 {
				t.Errorf("nothing is known of %s", id)
			}
		}
	})
}
