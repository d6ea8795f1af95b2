package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// forGood is more observations than a run makes.
const forGood = 1 << 20

// hang makes every member serve no reads for this many questions. The members run on and form their quorum.
func (l *life) hang(questions int) {
	for _, m := range l.cluster.Members {
		l.host(m.Name).Hangs = questions
	}
}

// stops counts the calls that stop or restart a member.
func (l *life) stops() (n int) {
	for _, c := range l.world.Calls() {
		switch c.Operation {
		case api.OpStop, api.OpRestart, api.OpSetAside, api.OpRetire, api.OpRecover:
			n++
		}
	}
	return n
}

// TestShortStallChangesNothing has no member serve for a moment when a change begins: the run carries the change out as
// shown.
func TestShortStallChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.set("quota-backend-bytes", "8589934592")
		shown := l.planned().Steps
		l.hang(4)
		if _, err := l.change(context.Background(), shown); err != nil {
			t.Fatalf("change: %v", err)
		}
		l.mustBeAsDesired()
	})
}

// TestShortStallsAreOutlasted has no member serve for a few questions from each moment of a change on, as elections and
// slow disks have it: the run carries the change out as shown.
func TestShortStallsAreOutlasted(t *testing.T) {
	for at, over := 0, false; !over; at++ {
		t.Run(fmt.Sprintf("at %d", at), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.set("quota-backend-bytes", "8589934592")
				shown := l.planned().Steps
				l.world.Forget()
				arrived := 0
				l.world.Watch = func(nodetest.Call) {
					if arrived++; arrived == at+1 {
						l.hang(3)
					}
				}
				_, err := l.change(context.Background(), shown)
				l.world.Watch = nil
				if over = arrived <= at; err != nil {
					t.Fatalf("change: %v", err)
				}
				l.mustBeAsDesired()
			})
		})
	}
}

// TestNothingIsStoppedThatOnlySeemedToFail has all members seem to serve nobody, permanently, from each moment of a
// change on, both with shown steps and without. No member is stopped for that: the cluster keeps serving its clients,
// as the world's rules check.
func TestNothingIsStoppedThatOnlySeemedToFail(t *testing.T) {
	for _, approved := range []bool{false, true} {
		for at := 0; at < 24; at++ {
			t.Run(fmt.Sprintf("shown %t, at %d", approved, at), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := serving(t, 3, nodetest.EtcdVersion)
					l.set("quota-backend-bytes", "8589934592")
					shown, served := l.planned().Steps, l.look().Healthy()
					if !approved {
						shown = nil
					}
					l.world.Forget()
					arrived, stops, seen := 0, 0, 0
					l.world.Watch = func(c nodetest.Call) {
						if arrived++; arrived == at+1 {
							l.hang(forGood)
							seen = 1
						}
						if c.Operation == api.OpStop || c.Operation == api.OpRestart {
							stops += seen
						}
					}
					outcome, err := l.executor().Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members, Approved: shown, Served: places(served)})
					l.world.Watch = nil
					if seen == 0 {
						t.Fatal("the change was over before that")
					}
					if err == nil && len(outcome.Deferred) == 0 {
						t.Error("it went well, and nothing is held")
					}
					// A roll under way is put back, which restarts that one member.
					if stops > 2 {
						t.Errorf("members were stopped or restarted %d times after all seemed to fail: %v", stops, err)
					}
					for _, c := range l.world.Calls() {
						if c.Operation == api.OpStop {
							t.Errorf("%s was stopped, and only seemed to serve nobody", c.Address)
						}
					}
					l.hang(0)
					l.mustConverge(1)
				})
			})
		}
	}
}

// TestOneThatServedIsNotStopped has a member of three or five hang that served when the plan was made. The plan could
// not show steps, and would roll the member. The run neither stops, rebuilds nor removes the member, though the others
// are a quorum.
func TestOneThatServedIsNotStopped(t *testing.T) {
	for name, ask := range map[string]func(*life){
		"a setting":      func(l *life) { l.set("quota-backend-bytes", "8589934592") },
		"a rebuild":      func(l *life) { l.rebuild("c") },
		"it is to leave": func(l *life) { l.want("a", "b", "c@21") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				ask(l)
				served := l.look().Healthy()
				l.world.Forget()
				l.world.Host("192.0.2.13").Hangs = forGood
				_, err := l.executor().Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members, Served: places(served)})
				if err == nil || !strings.Contains(err.Error(), "c (192.0.2.13): it was healthy when this was planned and no longer is") {
					t.Errorf("change: %v\n%s", err, strings.Join(l.progress, "\n"))
				}
				for _, c := range l.world.Calls() {
					if c.Operation == api.OpRemoveMember || c.Address == "192.0.2.13" && (c.Operation == api.OpStop || c.Operation == api.OpRestart || c.Operation == api.OpSetAside) {
						t.Errorf("%s on %s", c.Operation, c.Address)
					}
				}
			})
		})
	}
}

// TestStopsThatWereShownAreLookedAtAgain makes a plan while nobody serves; the plan stops members to configure them.
// The members serve when the plan is carried out, and are not stopped.
func TestStopsThatWereShownAreLookedAtAgain(t *testing.T) {
	for name, back := range map[string]func(*life, nodetest.Call){
		"at once":               func(l *life, c nodetest.Call) { l.hang(0) },
		"right before the stop": func(l *life, c nodetest.Call) { hangUntil(l, c, api.OpProbe) },
		"right before the stop, after late answers": func(l *life, c nodetest.Call) {
			if h := l.world.Host(c.Address); c.Operation == api.OpProbe && h.Hangs > 3 {
				h.Hangs = 3 // questions within the same step
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.set("quota-backend-bytes", "8589934592")
				l.hang(forGood)
				shown := l.planned().Steps
				if !strings.Contains(texts(shown), "stop a (192.0.2.11): it serves nobody, and is outdated") {
					t.Fatalf("the plan is\n%s", texts(shown))
				}
				l.world.Forget()
				l.world.Watch = func(c nodetest.Call) { back(l, c) }
				_, err := l.change(context.Background(), shown)
				l.world.Watch = nil
				if refusal := (*membership.Refusal)(nil); !errors.As(err, &refusal) || refusal.Remedy != "plan again" {
					t.Errorf("change: %v", err)
				}
				l.hang(0)
				if n := l.stops(); n > 0 {
					t.Errorf("members that serve were stopped %d times", n)
				}
				l.mustConverge(1)
			})
		})
	}
}

// hangUntil ends the stall when the first call of this kind arrives.
func hangUntil(l *life, c nodetest.Call, op api.Operation) {
	if c.Operation == op {
		l.hang(0)
	}
}

// TestFailureThatLastsIsMended has all members serve nobody until they run by other settings. They get these one after
// another, and a quorum of them always runs.
func TestFailureThatLastsIsMended(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.world.Waive(nodetest.LeaderMoves) // no member can take the leadership
		l.set("heartbeat-interval", "500")
		l.hang(forGood)
		started := 0
		l.world.Watch = func(c nodetest.Call) {
			if c.Operation != api.OpStart {
				return
			}
			if started++; started == 3 { // with the new settings they serve
				l.hang(0)
			}
		}
		// Members that were started with the new settings have served by then, as far as hosts of this kind can tell.
		for range 2 {
			if _, err := l.change(context.Background(), l.planned().Steps); err != nil && !strings.Contains(err.Error(), "plan again") {
				t.Errorf("change: %v", err)
			}
		}
		l.mustConverge(1)
		if started < 3 {
			t.Errorf("%d were started by other settings", started)
		}
	})
}

// TestStalledVotersAreRestartedOneAtATime has two of three voters come back and never report that they have started.
// Restarting both at once would cost the quorum, which the world's rules forbid.
func TestStalledVotersAreRestartedOneAtATime(t *testing.T) {
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, n, nodetest.EtcdVersion)
				stopped := []string{"b", "c", "d"}[:n-n/2-1]
				for _, name := range stopped {
					l.host(name).StopUnit(cluster)
					l.host(name).Stalls = 1
				}
				outcome, err := l.change(context.Background(), l.planned().Steps)
				if err != nil {
					t.Errorf("change: %v\n%s", err, texts(outcome.Done))
				}
				if n := l.stalls(); n != len(stopped) {
					t.Errorf("%d were restarted, of %d", n, len(stopped))
				}
				l.mustBeAsDesired()
			})
		})
	}
}

// TestStalledVoterIsNotRestartedWithoutASpare has a stalled voter whose vote the others need: the run waits for it.
func TestStalledVoterIsNotRestartedWithoutASpare(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.host("c").PowerCut()
		l.host("b").StopUnit(cluster)
		l.host("b").Stalls = 1
		_, err := l.change(context.Background(), l.planned().Steps)
		if err == nil || !strings.Contains(err.Error(), "b (192.0.2.12) is not ready") {
			t.Errorf("change: %v", err)
		}
		if n := l.stalls(); n > 0 {
			t.Errorf("it was restarted %d times, and the only other one cannot serve alone", n)
		}
		l.put()
		l.host("c").PowerOn()
		l.mustConverge(1)
	})
}

// places returns the members of statuses.
func places(members []membership.MemberStatus) (all []membership.Member) {
	for _, s := range members {
		all = append(all, s.Member)
	}
	return all
}

// TestAlarmOfAMemberThatIsAway takes both ways on that a plan names where only a member that is down could disarm its
// alarm: it comes back, or its member moves to another host.
func TestAlarmOfAMemberThatIsAway(t *testing.T) {
	for name, wayOn := range map[string]func(*life){
		"it comes back":   func(l *life) { l.host("c").PowerOn() },
		"another host":    func(l *life) { l.want("a", "b", "c@22") },
		"it is taken out": func(l *life) { l.want("a", "b", "d@21") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.host("c").RaiseAlarm(cluster, "NOSPACE")
				l.host("c").PowerCut()
				l.world.Tick()
				const says = "bring the member back, and the next apply disarms it, or give the member another host: its alarm goes with it"
				if deferred := l.planned().Deferred; len(deferred) != 1 || !strings.Contains(deferred[0].Error(), says) {
					t.Fatalf("deferred: %v", deferred)
				}
				wayOn(l)
				l.mustConverge(2)
				if full := l.look().Full; len(full) > 0 {
					t.Errorf("the alarm is still raised by %v", full)
				}
			})
		})
	}
}
