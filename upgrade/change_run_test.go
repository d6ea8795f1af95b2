package upgrade_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestRollIsPutBack rolls to a store that does not start: the first member is put back to its previous store, the
// others are not touched, and the error has what the journal says.
func TestRollIsPutBack(t *testing.T) {
	for name, versions := range map[string]struct{ from, to string }{
		"upgrade":   {older, nodetest.EtcdVersion},
		"downgrade": {nodetest.EtcdVersion, older},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, versions.from)
				l.world.Doom(l.versions[versions.to]["amd64"], "panic: it does not like this disk")
				l.run(versions.to)
				outcome, err := l.change(context.Background(), l.planned().Steps)
				for _, want := range []string{"roll b (192.0.2.12): etcd " + versions.from + " -> " + versions.to, "was rolled back to its previous configuration", "panic: it does not like this disk"} {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not said: %v", want, err)
					}
				}
				if last := outcome.Done[len(outcome.Done)-1]; last.Kind != membership.Roll || last.Member != "b" {
					t.Errorf("the last step was %s", last)
				}
				for _, why := range l.world.Unhealthy(cluster, l.cluster.Addresses()...) {
					t.Errorf("put back: %s", why)
				}
				for _, s := range l.look().Voters() {
					if s.Version != versions.from {
						t.Errorf("%s runs %s", s, s.Version)
					}
				}
				l.put()
				l.world.Doom(l.versions[versions.to]["amd64"], "")
				l.mustConverge(1)
			})
		})
	}
}

// TestRollThatNeverAnswersHasItsJournal has a member run and never answer after its restart: the member is put back,
// and the error has the lines that its journal got meanwhile.
func TestRollThatNeverAnswersHasItsJournal(t *testing.T) {
	for name, happen := range map[string]func(*life){
		"roll":      func(l *life) { l.set("quota-backend-bytes", "8589934592") },
		"readdress": func(l *life) { l.readdress("b", "52", false) },
		"start":     func(l *life) { l.host("b").StopUnit(cluster) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				happen(l)
				l.atStep = func(line string) {
					if strings.Contains(line, " "+name+" b ") {
						l.host("b").CutOff = true
					}
				}
				if _, err := l.change(context.Background(), l.planned().Steps); err == nil || !strings.Contains(err.Error(), "its journal says\n  "+nodetest.NotReady) {
					t.Errorf("change: %v", err)
				}
				l.atStep, l.host("b").CutOff = nil, false
				l.world.Tick()
				l.mustConverge(2)
			})
		})
	}
}

// TestRollThatCannotBePutBack has a host on which no member starts any more: the error has both reasons, and the next
// run continues once the host is repaired.
func TestRollThatCannotBePutBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.set("quota-backend-bytes", "8589934592")
		l.host("b").DoomedStart = "Failed to set up mount namespacing"
		_, err := l.change(context.Background(), l.planned().Steps)
		if err == nil || strings.Count(err.Error(), "Failed to set up mount namespacing") != 2 || !strings.Contains(err.Error(), "could not be rolled back") {
			t.Errorf("change: %v", err)
		}
		l.put()
		l.host("b").DoomedStart = ""
		l.mustConverge(1)
	})
}

// TestOnlyMemberLeavesAfterAPowerCut has the only member of a cluster be down, on a host that could not be asked when
// the cluster was to grow, and desires other members by then. The run brings that member up first: newcomers do not
// count as missing.
func TestOnlyMemberLeavesAfterAPowerCut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 1, nodetest.EtcdVersion)
		l.host("a").DisableUnit(cluster)
		l.host("a").PowerCut()
		l.want("a", "b", "c")
		if _, err := l.change(context.Background(), nil); err == nil {
			t.Error("a cluster was changed of which nobody could be asked")
		}
		l.host("a").PowerOn()
		l.want("b", "c", "d")
		l.mustConverge(1)
	})
}

// TestFlagsAreTriedFirst desires a setting that the store does not know: the run changes nothing, except that it stages
// stores.
func TestFlagsAreTriedFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.set("experimental-thing", "1")
		l.world.RefuseFlags(l.versions[nodetest.EtcdVersion]["amd64"], "--experimental-thing")
		shown := l.planned().Steps
		_, err := l.change(context.Background(), shown)
		if err == nil || !strings.Contains(err.Error(), "stage a (192.0.2.11)") || !strings.Contains(err.Error(), "flag provided but not defined: -experimental-thing") {
			t.Errorf("change: %v", err)
		}
		l.mustHaveChangedNothing()
	})
}

// mustHaveChangedNothing fails the test if hosts were changed in any other way than by installing stores.
func (l *life) mustHaveChangedNothing() {
	l.Helper()
	for _, c := range l.world.Changes() {
		if c.Operation != nodetest.Install {
			l.Errorf("%s of %s", c.Operation, c.Address)
		}
	}
}

// TestOnlyWhatWasShownIsDone has something happen between plan and apply that requires another step: the run refuses
// before it changes anything.
func TestOnlyWhatWasShownIsDone(t *testing.T) {
	for name, happen := range map[string]func(*life){
		"stopped":  func(l *life) { l.host("b").StopUnit(cluster) },
		"wiped":    func(l *life) { l.host("c").Wipe() },
		"removed":  func(l *life) { l.world.RemoveBehindOurBack(cluster, "b") },
		"disabled": func(l *life) { l.host("a").DisableUnit(cluster) },
		"edited":   func(l *life) { l.host("a").EditUnit(cluster, "[Service]\n") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.set("quota-backend-bytes", "8589934592")
				shown := l.planned().Steps
				happen(l)
				l.world.Forget()
				_, err := l.change(context.Background(), shown)
				var refusal *membership.Refusal
				if !errors.As(err, &refusal) || refusal.Remedy != "plan again" || !strings.Contains(refusal.Rule, "a step that the plan has not shown") {
					t.Errorf("change: %v", err)
				}
				if changes := l.world.Changes(); len(changes) > 0 {
					t.Errorf("hosts were changed: %v", changes)
				}
			})
		})
	}
}

// TestLeaderMayHaveMoved has another member lead than at plan time: the run does the same.
func TestLeaderMayHaveMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.set("quota-backend-bytes", "8589934592")
		shown := l.planned().Steps
		before := l.leader()
		l.host(before).RestartUnit(cluster)
		l.world.Tick()
		if l.leader() == before {
			t.Fatal("the leadership has not moved")
		}
		if _, err := l.change(context.Background(), shown); err != nil {
			t.Errorf("change: %v", err)
		}
		l.mustBeAsDesired()
	})
}

// TestChangeMeetsTheLock has another run hold the lock on one host.
func TestChangeMeetsTheLock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.want("a", "b", "c@21")
		shown := l.planned().Steps
		_, release, err := l.host("b").Lock(t.Context(), "", cluster, api.Holder{ID: "other", Who: "ops@laptop, update"})
		if err != nil {
			t.Fatal(err)
		}
		// The other run may do this in the middle of a step, and the error has to be about that run.
		l.host("a").StopUnit(cluster)
		l.world.Forget()
		_, err = l.change(context.Background(), shown)
		if want := "lock cluster prod on b (192.0.2.12): cluster prod is locked by ops@laptop, update, since 2026-03-01T12:00:00Z"; err == nil || err.Error() != want {
			t.Errorf("change: %v\nwant %s", err, want)
		}
		if changes := l.world.Changes(); len(changes) > 0 {
			t.Errorf("hosts were changed: %v", changes)
		}
		release()
		l.mustConverge(1)
	})
}

// TestChangeStopsBetweenSteps cancels a roll in the middle of a step: the run finishes that step, and begins no other.
func TestChangeStopsBetweenSteps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.set("quota-backend-bytes", "8589934592")
		ctx, cancel := context.WithCancel(context.Background())
		l.atStep = func(line string) {
			if strings.Contains(line, " roll b ") {
				cancel()
			}
		}
		outcome, err := l.change(ctx, nil)
		if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), `stopped before "roll c (192.0.2.13): flags --quota-backend-bytes`) {
			t.Errorf("change: %v", err)
		}
		if last := outcome.Done[len(outcome.Done)-1]; last.Kind != membership.Roll || last.Member != "b" {
			t.Errorf("the last step was %s", last)
		}
		for _, why := range l.world.Unhealthy(cluster, l.cluster.Addresses()...) {
			t.Errorf("after the interrupt: %s", why)
		}
		l.atStep = nil
		l.mustConverge(1)
	})
}

// lagging is a change whose learner lags as far as etcd would still permit a promotion, and farther than we do.
func lagging(t *testing.T) *life {
	t.Helper()
	l := serving(t, 3, nodetest.EtcdVersion)
	l.host("a").WriteMany(cluster, 100_000)
	l.want("a", "b@21", "c")
	l.world.Host("192.0.2.21").Lag = 5000
	return l
}

// promotions counts the calls that promote.
func (l *life) promotions() (n int) {
	for _, c := range l.world.Calls() {
		if c.Operation == api.OpPromote {
			n++
		}
	}
	return n
}

// TestLearnerIsPromotedOnceItHasCaughtUp holds that the run waits until a learner has caught up, and then a while
// longer.
func TestLearnerIsPromotedOnceItHasCaughtUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := lagging(t)
		probes := 0
		var caughtUp, promoted time.Time
		l.world.Watch = func(c nodetest.Call) {
			switch {
			case c.Operation == api.OpProbe && c.Address == "192.0.2.21":
				if probes++; probes == 100 {
					l.world.Host(c.Address).Lag, caughtUp = 0, time.Now()
				}
			case c.Operation == api.OpPromote:
				promoted = time.Now()
			}
		}
		if _, err := l.change(context.Background(), l.planned().Steps); err != nil {
			t.Fatal(err)
		}
		l.world.Watch = nil
		if caughtUp.IsZero() || promoted.Sub(caughtUp) < 2*time.Second {
			t.Errorf("caught up at %s, promoted at %s", caughtUp, promoted)
		}
		l.mustBeAsDesired()
	})
}

// TestWaitForALearnerCanBeInterrupted cancels a change that waits for a learner.
func TestWaitForALearnerCanBeInterrupted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := lagging(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		begun := time.Now()
		_, err := l.change(ctx, l.planned().Steps)
		for _, want := range []string{"promote b (192.0.2.21)", "learner is 5000 entries behind leader a", "no data is at risk; apply again to resume", context.DeadlineExceeded.Error()} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not said: %v", want, err)
			}
		}
		if waited := time.Since(begun); waited > 2*time.Minute {
			t.Errorf("it was waited for %s", waited)
		}
		if n := l.promotions(); n > 0 {
			t.Errorf("%d promotions were asked for", n)
		}
		l.world.Host("192.0.2.21").Lag = 0
		l.mustConverge(1)
	})
}

// TestUnreachableHostBlocksOnlyWhatItMust has one host that cannot be asked: the run does what it can, and says which
// steps wait. The host's member runs on, untouched.
func TestUnreachableHostBlocksOnlyWhatItMust(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 5, nodetest.EtcdVersion)
		l.host("b").Unreachable = errors.New("no route to host")
		l.host("c").ExpireCertificates(cluster, l.authority)
		l.host("d").StopUnit(cluster)
		l.set("quota-backend-bytes", "8589934592")
		plan := l.planned()
		l.world.Forget()
		outcome, err := l.change(context.Background(), plan.Steps)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"renew certificates of c (192.0.2.13): its peer certificate has expired", "start d (192.0.2.14)"} {
			if !strings.Contains(texts(outcome.Done), want) {
				t.Errorf("%q was not done:\n%s", want, texts(outcome.Done))
			}
		}
		if strings.Contains(texts(outcome.Done), "roll") {
			t.Errorf("a member was restarted while another cannot be seen:\n%s", texts(outcome.Done))
		}
		if !slices.ContainsFunc(outcome.Deferred, func(r *membership.Refusal) bool {
			return strings.Contains(r.Error(), "b (192.0.2.12) is unreachable (its host cannot be reached)")
		}) {
			t.Errorf("what waits: %v", outcome.Deferred)
		}
		for _, c := range l.world.Changes() {
			if c.Address == "192.0.2.12" {
				t.Errorf("%s of a host that cannot be asked", c.Operation)
			}
		}
		l.host("b").Unreachable = nil
		l.mustConverge(1)
	})
}

// TestLostHostStopsTheRun has a host stop answering in the middle of a run: the run does not take its member for dead.
func TestLostHostStopsTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.want("a", "b@21", "c")
		shown := l.planned().Steps
		l.atStep = func(line string) {
			if strings.Contains(line, " stage ") {
				l.world.Host("192.0.2.12").Unreachable = errors.New("connection refused")
			}
		}
		_, err := l.change(context.Background(), shown)
		if want := "b (192.0.2.12) can no longer be observed: connection refused"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("change: %v", err)
		}
		l.atStep, l.world.Host("192.0.2.12").Unreachable = nil, nil
		l.mustConverge(1)
	})
}

// TestSilentLeaderIsNotDead removes a member from the configuration whose host cannot be asked, and which leads: the
// other members know best that it is alive.
func TestSilentLeaderIsNotDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.host(l.leader()).Unreachable = errors.New("no route to host")
		l.want("a@21", "b", "c")
		plan := l.planned()
		if strings.Contains(texts(plan.Steps), "remove") || len(plan.Deferred) == 0 || !strings.Contains(plan.Deferred[0].Error(), "and it leads") {
			t.Errorf("%s\nheld: %v", texts(plan.Steps), plan.Deferred)
		}
	})
}
