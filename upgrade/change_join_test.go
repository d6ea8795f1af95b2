package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// stalls returns how often a run has reported that it restarts a stalled member.
func (l *life) stalls() (n int) {
	for _, line := range l.progress {
		if strings.HasSuffix(line, "has all data, but does not report that it has started: restarting it") {
			n++
		}
	}
	return n
}

// TestStalledMemberIsRestartedOnce has members that have all data and do not report that they have started: a new
// member, and one that comes back.
func TestStalledMemberIsRestartedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		address string
		happen  func(*life)
	}{
		"a learner":            {"192.0.2.21", func(l *life) { l.want("a", "b", "c@21") }},
		"a voter that is back": {"192.0.2.12", func(l *life) { l.host("b").StopUnit(cluster) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				test.happen(l)
				l.world.Host(test.address).Stalls = 1
				if _, err := l.change(context.Background(), l.planned().Steps); err != nil {
					t.Errorf("change: %v", err)
				}
				if n := l.stalls(); n != 1 {
					t.Errorf("it was restarted %d times", n)
				}
				l.mustBeAsDesired()
			})
		})
	}
}

// TestLearnerThatStaysStalled holds that a learner which stays stalled is restarted once in each run, and fails the
// run. The others serve on, and the next run continues with the learner.
func TestLearnerThatStaysStalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.want("a", "b", "c@21")
		l.world.Host("192.0.2.21").Stalls = 2
		_, err := l.change(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), "it did not come up as a learner: its unit is activating") {
			t.Errorf("change: %v", err)
		}
		if n := l.stalls(); n != 1 {
			t.Errorf("it was restarted %d times", n)
		}
		l.put()
		l.mustConverge(1)
	})
}

// TestJoinIsGivenUpWhereTheRunEnds cancels a run while a learner copies the data: the wait ends, and the next run
// continues.
func TestJoinIsGivenUpWhereTheRunEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.want("a", "b", "c@21")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		l.world.Watch = func(c nodetest.Call) {
			if c.Operation == api.OpAwait && c.Address == "192.0.2.21" {
				cancel()
				synctest.Wait() // until the wait notices
			}
		}
		_, err := l.change(ctx, nil)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the host is still copying the data; no data is at risk; apply again to resume") {
			t.Errorf("change: %v", err)
		}
		l.world.Watch = nil
		l.mustConverge(1)
	})
}

// TestRoomForTheDataIsCheckedBeforeTheListChanges has a new host whose disk cannot hold the data of the others: the run
// finds out when it installs the store, and leaves the member list as it was. With room, the next run continues.
func TestRoomForTheDataIsCheckedBeforeTheListChanges(t *testing.T) {
	for name, test := range map[string]struct {
		address string
		happen  func(*life)
	}{
		"a replacement":           {"192.0.2.21", func(l *life) { l.want("a", "b", "c@21") }},
		"a voter that lost all":   {"192.0.2.13", func(l *life) { l.host("c").Wipe() }},
		"in the place of a dead":  {"192.0.2.21", func(l *life) { l.host("c").PowerCut(); l.want("a", "b", "c@21") }},
		"a member that is new":    {"192.0.2.21", func(l *life) { l.want("a", "b", "c", "d@21", "e@22") }},
		"a voter whose data gone": {"192.0.2.13", func(l *life) { l.host("c").LoseData(l.cluster.DataDir) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				for _, m := range []string{"a", "b", "c"} {
					l.host(m).FillDatabase(cluster, 200<<20)
				}
				test.happen(l)
				l.world.Host(test.address).DataBytes = 300 << 20
				list := func() string { return fmt.Sprint(l.look().Voters(), l.look().Learners()) }
				before := list()
				_, err := l.change(context.Background(), l.planned().Steps)
				if err == nil || !strings.Contains(err.Error(), "300 MiB are free for the data in /var/lib/etcd/prod and 360 are needed: 200 for the database, as large as the others have it") {
					t.Errorf("change: %v", err)
				}
				if after := list(); after != before {
					t.Errorf("the list was\n%s\nand is\n%s", before, after)
				}
				l.world.Host(test.address).DataBytes = 400 << 20
				l.mustConverge(1)
			})
		})
	}
}
