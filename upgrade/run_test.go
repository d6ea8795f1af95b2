package upgrade_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestInterruptFinishesTheStep cancels a create in the middle of each kind of step: the run finishes that step and
// begins no other, and the error names the next one.
func TestInterruptFinishesTheStep(t *testing.T) {
	for at, want := range map[string]struct{ before, last string }{
		"install":   {`"configure a (192.0.2.11): keys made on the host, certificates, flags, unit"`, "5/21"},
		"configure": {`"start a (192.0.2.11)"`, "10/21"},
		"start":     {`"agree: 5 voters, one cluster ID, one leader, quorum 3"`, "15/21"},
		"agree":     {`"sync configuration of a (192.0.2.11): initial-cluster-state existing"`, "16/21"},
		"sync":      {"it was confirmed that nothing is left to do", "21/21"},
	} {
		t.Run(at, func(t *testing.T) {
			s := newSite(t, 5)
			ctx, cancel := context.WithCancel(t.Context())
			s.atStep = func(line string) {
				if strings.Contains(line, " "+at) {
					cancel()
				}
			}
			_, err := s.form(ctx)
			if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "stopped before "+want.before+": ") {
				t.Errorf("form: %v", err)
			}
			if last := s.progress[len(s.progress)-1]; !strings.HasPrefix(last, want.last+" ") {
				t.Errorf("the last step was %q, want %s", last, want.last)
			}
			s.atStep = nil
			s.mustGoOn(err)
		})
	}
}

// TestInterruptBeforeAnything cancels a create before it has begun.
func TestInterruptBeforeAnything(t *testing.T) {
	s := newSite(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.form(ctx); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "stopped before anything was done: ") {
		t.Errorf("form: %v", err)
	}
	if calls := s.world.Calls(); len(calls) > 0 {
		t.Errorf("hosts were called: %v", calls)
	}
}

// TestLostLockStopsTheRun loses the lock on one host: the run finishes its step and begins no other.
func TestLostLockStopsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 3)
		s.atStep = func(line string) {
			if strings.Contains(line, "agree") {
				s.host("b").LoseLock("prod")
				synctest.Wait()
			}
		}
		_, err := s.form(t.Context())
		want := `stopped before "sync configuration of a (192.0.2.11): initial-cluster-state existing": the lock on b (192.0.2.12) was lost: the session that held the lock has ended`
		if err == nil || err.Error() != want {
			t.Errorf("form: %v\nwant %s", err, want)
		}
		s.atStep = nil
		s.mustForm()
	})
}

// TestBusyLockNamesItsHolder has another run hold the lock on one host.
func TestBusyLockNamesItsHolder(t *testing.T) {
	s := newSite(t, 3)
	store := s.world.Stores["amd64"]
	b := s.host("b")
	if err := b.Install(t.Context(), "prod", store, api.Target{}); err != nil {
		t.Fatal(err)
	}
	_, release, err := b.Lock(t.Context(), store, "prod", api.Holder{ID: "other", Who: "ops@laptop, create"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.form(t.Context())
	var busy *api.Error
	if !errors.As(err, &busy) || busy.Code != api.CodeBusy || busy.Holder == nil || busy.Holder.Who != "ops@laptop, create" {
		t.Errorf("form: %#v", err)
	}
	if want := "lock cluster prod on b (192.0.2.12): cluster prod is locked by ops@laptop, create, since 2026-03-01T12:00:00Z"; err == nil || err.Error() != want {
		t.Errorf("form: %v\nwant %s", err, want)
	}
	for _, c := range s.world.Changes() {
		if c.Operation != nodetest.Install {
			t.Errorf("without the lock: %v", c)
		}
	}
	if left := s.host("a").Leftovers("prod", s.cluster.DataDir); len(left) > 0 {
		t.Errorf("the lock that was taken on a before is still held: %v", left)
	}
	release()
	s.mustForm()
}

// TestOneOfTwoCreatesWins runs two creates of one cluster at the same time, from two states.
func TestOneOfTwoCreatesWins(t *testing.T) {
	for range 20 {
		s := newSite(t, 3)
		executors := map[string]bootstrap.Formation{"first": {Owner: "first", Token: "1"}, "second": {Owner: "second", Token: "2"}}
		var mu sync.Mutex
		var winners []string
		var group sync.WaitGroup
		for _, fresh := range executors {
			e := s.executor()
			e.Progress = func(string) {}
			group.Go(func() {
				formed, err := e.Form(t.Context(), fresh)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					winners = append(winners, fresh.Owner)
					if formed.Owner != fresh.Owner {
						t.Errorf("the create of %s formed a cluster of %s", fresh.Owner, formed.Owner)
					}
				}
			})
		}
		group.Wait()
		if len(winners) != 1 {
			t.Fatalf("creates that succeeded: %v", winners)
		}
		s.mustBeFormed(winners[0])
	}
}

// TestCreateNeverSharesAnOwner has one create finish a cluster that another create has observed half done, before that
// one takes the lock: the second create must not take the cluster for its own.
func TestCreateNeverSharesAnOwner(t *testing.T) {
	s := newSite(t, 3)
	s.world.Inject(nodetest.Fault{Operation: api.OpAwait, Extent: nodetest.Run})
	if _, err := s.form(t.Context()); err == nil {
		t.Fatal("the create was not cut short")
	}
	s.world.Heal()
	var first string
	s.world.Watch = func(c nodetest.Call) {
		if c.Operation == api.OpLock {
			s.world.Watch = nil
			first = s.mustForm().Owner
			s.world.Forget()
		}
	}
	second, err := s.form(t.Context())
	if err == nil || !strings.Contains(err.Error(), "finished cluster") {
		t.Errorf("the second create: owner %q, %v; the first has owner %q", second.Owner, err, first)
	}
	if changes := s.world.Changes(); len(changes) > 0 {
		t.Errorf("the second create changed hosts: %v", changes)
	}
}

// TestLocksAreTakenInOneOrder has two runs name the same hosts differently: both try to lock the same host first.
func TestLocksAreTakenInOneOrder(t *testing.T) {
	s := newSite(t, 3)
	slices.Reverse(s.cluster.Members)
	for i, name := range []string{"a", "b", "c"} {
		s.cluster.Members[i].Name = name
	}
	s.mustForm()
	var locked []string
	for _, c := range s.world.Calls() {
		if c.Operation == api.OpLock {
			locked = append(locked, c.Address)
		}
	}
	if !slices.IsSorted(locked) || len(locked) != 3 {
		t.Errorf("locked %v", locked)
	}
}
