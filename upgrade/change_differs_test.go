package upgrade_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// restartInVain restarts a member that ends at each start, since a peer holds different data.
func (l *life) restartInVain(name string) {
	l.host(name).RestartUnit(cluster)
	for range 4 {
		l.world.Tick()
	}
}

// TestDifferentDataIsFoundAmongWriters has clients go on writing, which the alarm refuses though the log accepts the
// entries, and has a member lag behind the alarm. The majority is found all the same. The alarm stays for the member
// that lags.
func TestDifferentDataIsFoundAmongWriters(t *testing.T) {
	for name, test := range map[string]struct {
		alarm bool
		lags  string
		does  []string
		fails string
	}{
		"alarm":           {true, "", []string{"remove c (192.0.2.13): its data differs from that of a quorum", "disarm: all voters hold the same data", "promote c (192.0.2.13)"}, ""},
		"alarm, one lags": {true, "e", []string{"remove c (192.0.2.13): its data differs from that of a quorum"}, "e (192.0.2.15) is not ready: a linearizable read fails"},
		"at a start":      {false, "", []string{"remove c (192.0.2.13): dead, its data differs from that of a quorum", "promote c (192.0.2.13)"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 5, nodetest.EtcdVersion)
				if test.lags != "" {
					l.host(test.lags).Lag = 100000
				}
				l.host("c").Corrupt(cluster)
				if test.alarm {
					l.host("c").RaiseAlarm(cluster, "CORRUPT")
				} else {
					l.restartInVain("c")
				}
				l.world.Watch = func(call nodetest.Call) {
					if call.Operation == api.OpProbe || call.Operation == api.OpHash {
						_ = l.world.Put(cluster) // the alarm refuses the write
					}
				}
				outcome, err := l.change(context.Background(), nil)
				if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
					t.Fatalf("%v\n%s", err, strings.Join(l.progress, "\n"))
				}
				for _, step := range test.does {
					if !strings.Contains(texts(outcome.Done), step) {
						t.Errorf("no step says %q:\n%s", step, texts(outcome.Done))
					}
				}
				if test.lags != "" && strings.Contains(texts(outcome.Done), "disarm") {
					t.Errorf("the alarm was disarmed:\n%s", texts(outcome.Done))
				}
				if lost := l.world.Lost(cluster); len(lost) > 0 {
					t.Errorf("lost: %v", lost)
				}
			})
		})
	}
}

// TestDivergedMemberLeavesAndWhoWasRightStays has one of five members hold other data. This shows by an alarm, or when
// another member is restarted and does not start because of it. If the diverged member leads, the leadership moves
// first. The diverged member is rebuilt, and the others keep their data.
func TestDivergedMemberLeavesAndWhoWasRightStays(t *testing.T) {
	for name, test := range map[string]struct {
		wrong, right string
		alarm, terse bool
		does         []string
	}{
		"leader": {"a", "c", false, false, []string{"lead: leadership moves from a (192.0.2.11), which holds other data than a quorum, to b (192.0.2.12)",
			"remove a (192.0.2.11): its data differs from that of a quorum; voters 5 -> 4, quorum 3, healthy 3", "promote a (192.0.2.11)"}},
		"leader, terse":   {"a", "c", false, true, []string{"lead: leadership moves from a", "remove a", "promote a"}},
		"follower":        {"e", "b", false, false, []string{"remove e (192.0.2.15): its data differs from that of a quorum", "promote e"}},
		"follower, terse": {"e", "b", false, true, []string{"remove e", "promote e"}},
		"alarm":           {"e", "b", true, false, []string{"remove e", "disarm: all voters hold the same data", "promote e"}},
		"alarm, terse":    {"e", "b", true, true, []string{"remove e", "disarm: all voters hold the same data", "promote e"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 5, nodetest.EtcdVersion)
				l.host(test.wrong).Corrupt(cluster)
				if test.alarm {
					l.host(test.wrong).RaiseAlarm(cluster, "CORRUPT")
				}
				l.host(test.right).Terse = test.terse
				l.restartInVain(test.right)
				shown := l.planned().Steps
				outcome, err := l.change(context.Background(), shown)
				if err != nil {
					t.Fatalf("%v\n%s", err, strings.Join(l.progress, "\n"))
				}
				for _, step := range test.does {
					if !strings.Contains(texts(outcome.Done), step) {
						t.Errorf("no step says %q:\n%s", step, texts(outcome.Done))
					}
				}
				if strings.Contains(texts(outcome.Done), "remove "+test.right) {
					t.Errorf("%s was right, and was removed:\n%s", test.right, texts(outcome.Done))
				}
				l.mustBeDone()
				l.mustBeAsDesired()
			})
		})
	}
}

// TestDecisionWhereOneDoesNotStart has three voters. The leader holds other data than the two others, and one of those
// does not start because of it. The plan is refused with a remedy, and following the remedy works.
func TestDecisionWhereOneDoesNotStart(t *testing.T) {
	for name, test := range map[string]struct {
		alarm, terse bool
		says         []string
	}{
		"no alarm": {false, false, []string{"members that serve hold different data", "c (192.0.2.13) does not start", "2 of 3 voters held B",
			"stop a (192.0.2.11) (systemctl stop etcd@prod on its host)", "c (192.0.2.13) starts by itself then"}},
		"alarm": {true, false, []string{"the alarm CORRUPT says", "c (192.0.2.13) does not start", "2 of 3 voters held B",
			"stop a (192.0.2.11) (systemctl stop etcd@prod on its host)", "c (192.0.2.13) starts by itself then"}},
		"it does not say what it holds": {false, true, []string{"members that serve hold different data", "find out which data c (192.0.2.13) holds",
			"if it starts by itself then"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				if l.leader() != "a" {
					t.Fatalf("%s leads", l.leader())
				}
				l.host("c").Terse = test.terse
				l.host("a").Corrupt(cluster)
				if test.alarm {
					l.host("a").RaiseAlarm(cluster, "CORRUPT")
				}
				l.restartInVain("c")
				_, err := l.change(context.Background(), nil)
				if err == nil {
					t.Fatalf("it was not refused:\n%s", strings.Join(l.progress, "\n"))
				}
				for _, text := range test.says {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("the refusal does not say %q:\n%v", text, err)
					}
				}
				if len(l.progress) > 0 {
					t.Errorf("something was done:\n%s", strings.Join(l.progress, "\n"))
				}

				l.host("a").StopUnit(cluster)
				l.rebuild("a")
				for range 3 {
					l.world.Tick()
				}
				outcome := l.mustChange()
				if !strings.Contains(texts(outcome.Done), "promote a (192.0.2.11)") {
					t.Errorf("a was not built anew:\n%s", texts(outcome.Done))
				}
			})
		})
	}
}

// TestDataIsComparedInAClusterAtRest has a cluster compact up to its latest revision, after which nobody writes.
// Members that are restarted since, or new, show another compaction at that revision than the others, and the same
// data.
func TestDataIsComparedInAClusterAtRest(t *testing.T) {
	for name, change := range map[string]func(*life){
		"roll":    func(l *life) { l.set("quota-backend-bytes", "8589934592") },
		"replace": func(l *life) { l.want("a", "b", "c@21") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.world.Compact(cluster)
				change(l)
				l.mustChange()
			})
		})
	}
}

// TestLearnerFindsThatAVoterDiffers has the data of the leader diverge once a learner has joined, which shows when
// the two are compared. The error names the leader with a remedy, and following the remedy works.
func TestLearnerFindsThatAVoterDiffers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		if l.leader() != "a" {
			t.Fatalf("%s leads", l.leader())
		}
		l.want("a", "b", "d")
		l.atStep = func(line string) {
			if strings.Contains(line, " promote d") {
				l.world.Tick()
				l.host("a").Corrupt(cluster)
			}
		}
		_, err := l.change(context.Background(), l.planned().Steps)
		for _, says := range []string{"promote d (192.0.2.14)", "the data of the members differs", "a quorum of the voters holds the same (b, c)", "stop a (192.0.2.11) (systemctl stop etcd@prod on its host)", "give it another rebuild"} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Fatalf("%q is not said: %v", says, err)
			}
		}
		l.decide(err.Error())
		l.mustConverge(2)
	})
}

// decide does what a plan says where a run cannot tell by itself which data is right.
func (l *life) decide(says string) {
	if _, id, removes := strings.Cut(says, "(etcdctl member remove "); removes {
		id, _, _ = strings.Cut(id, ")")
		l.world.RemoveBehindOurBack(cluster, id)
	}
	for _, m := range slices.Concat(l.members, l.cluster.Members) {
		if !strings.Contains(says, fmt.Sprintf("stop %s (systemctl stop", m)) {
			continue
		}
		l.world.Host(m.Address).StopUnit(cluster)
		if slices.Contains(l.cluster.Members, m) {
			l.rebuildAlso(m.Name, "decided")
		}
	}
	for range 3 {
		l.world.Tick()
	}
}

// TestAHostThatHangsDelaysNoComparison has a host hang while a refresh looks at all: the others are compared in the
// time that is left, so that a plan can mend the one whose data differs.
func TestAHostThatHangsDelaysNoComparison(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 5, nodetest.EtcdVersion)
		l.host("c").Corrupt(cluster)
		l.host("c").RaiseAlarm(cluster, "CORRUPT")
		l.host("e").Hung = true
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		reports := l.executor().Observe(ctx, l.members)
		for _, m := range l.members {
			report := reports[m]
			if m.Name == "e" {
				if report.Err == nil || !strings.Contains(report.Err.Error(), "it takes connections, and has not answered within 1m20s") {
					t.Errorf("e is said to have failed by %v", report.Err)
				}
				continue
			}
			if report.Err != nil || report.Observation == nil || report.Data == "" {
				t.Errorf("%s was not compared: %v", m, report.Err)
			}
		}
	})
}
