package upgrade_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// waits are what a run waits for once etcd has taken a change, and a member that has to show it.
var waits = map[string]struct {
	happen func(*life)
	after  api.Operation
	shown  string // by the member at this address
}{
	"a removal":   {func(l *life) { l.want("a", "b@22", "c") }, api.OpRemoveMember, "192.0.2.13"},
	"a promotion": {func(l *life) { l.want("a", "b@22", "c") }, api.OpPromote, "192.0.2.13"},
	"a learner":   {func(l *life) { l.want("a", "b@22", "c"); l.world.Host("192.0.2.22").Lag = 5000 }, api.OpAddLearner, "192.0.2.22"},
	"a downgrade": {func(l *life) { l.run(older) }, api.OpDowngrade, "192.0.2.13"},
}

// at has something happen when a member is asked that a wait is for.
func (l *life) at(after api.Operation, address string, happen func()) {
	begun, happened := false, false
	l.world.Watch = func(c nodetest.Call) {
		begun = begun || c.Operation == after
		if begun && !happened && c.Operation == api.OpProbe && c.Address == address {
			happened = true
			happen()
		}
	}
}

// whileWaiting has the member end that a wait is for, and something else happen then. mustEnd changes the cluster, and
// is told when the member ended. The next run brings the member back, and continues.
func whileWaiting(t *testing.T, happen func(), mustEnd func(t *testing.T, l *life, shown string, ended *time.Time)) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.host("a").WriteMany(cluster, 100_000)
				wait.happen(l)
				var ended time.Time
				l.at(wait.after, wait.shown, func() {
					l.world.Host(wait.shown).StopUnit(cluster)
					happen()
					ended = time.Now()
				})
				mustEnd(t, l, wait.shown, &ended)
				l.world.Watch, l.world.Host(wait.shown).Lag = nil, 0
				l.mustConverge(3)
			})
		})
	}
}

// TestAMemberThatEndsWhileItIsWaitedFor holds that a run does not wait for a member whose process has ended meanwhile
// until its step's time is up.
func TestAMemberThatEndsWhileItIsWaitedFor(t *testing.T) {
	whileWaiting(t, func() {}, func(t *testing.T, l *life, shown string, ended *time.Time) {
		_, err := l.change(context.Background(), l.planned().Steps)
		if err == nil || !strings.Contains(err.Error(), "("+shown+") has not responded for 2m0s, and its unit is inactive") || time.Since(*ended) > 10*time.Minute {
			t.Fatalf("after %s: %v", time.Since(*ended), err)
		}
	})
}

// TestAWaitIsInterrupted holds that a run which is to stop does not wait for what etcd does by itself.
func TestAWaitIsInterrupted(t *testing.T) {
	stopped := errors.New("stopped by the user")
	var cancel context.CancelCauseFunc
	whileWaiting(t, func() { cancel(stopped) }, func(t *testing.T, l *life, _ string, at *time.Time) {
		var ctx context.Context
		ctx, cancel = context.WithCancelCause(t.Context())
		_, err := l.change(ctx, l.planned().Steps)
		if !errors.Is(err, stopped) || time.Since(*at) > time.Minute {
			t.Fatalf("%s after it was stopped: %v", time.Since(*at), err)
		}
	})
}

// TestAMemberThatRunsIsWaitedFor freezes the member that a wait is for. The run waits until it answers again, or the
// resource's time ends, and for 2 minutes once the unit is down. A process that answers nothing for as long hangs: the
// run ends, and says what to do.
func TestAMemberThatRunsIsWaitedFor(t *testing.T) {
	const frozen, downFor = time.Minute, 2 * time.Minute
	for name, wait := range waits {
		for end, test := range map[string]struct {
			limit  time.Duration
			happen func(*nodetest.Host) // when it has been frozen for that long
			fails  string               // empty: the run goes on
		}{
			"it answers again":              {time.Hour, func(h *nodetest.Host) { h.Lag = 0; h.Thaw(cluster) }, ""},
			"it hangs":                      {time.Hour, func(*nodetest.Host) {}, ") has not responded for 2m0s; its process hangs: restart it there (systemctl restart etcd@prod"},
			"the time of the resource":      {frozen, func(*nodetest.Host) {}, context.DeadlineExceeded.Error()},
			"its unit is stopped meanwhile": {time.Hour, func(h *nodetest.Host) { h.StopUnit(cluster) }, ") has not responded for 2m0s, and its unit is inactive"},
		} {
			t.Run(name+", "+end, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := serving(t, 3, nodetest.EtcdVersion)
					l.host("a").WriteMany(cluster, 100_000)
					wait.happen(l)
					shown := l.world.Host(wait.shown)
					ctx, cancel := context.WithTimeout(t.Context(), test.limit)
					defer cancel()
					var stopped, happened time.Time
					l.at(wait.after, wait.shown, func() {
						shown.Freeze(cluster)
						stopped = time.Now()
						go func() {
							time.Sleep(frozen)
							happened = time.Now()
							test.happen(shown)
						}()
					})
					_, err := l.change(ctx, l.planned().Steps)
					switch took := time.Since(happened); {
					case stopped.IsZero() || happened.IsZero() && test.limit > frozen:
						t.Fatalf("it was not frozen to the end: %v", err)
					case test.fails == "" && err != nil, test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
						t.Fatalf("%s after it was frozen: %v", time.Since(stopped), err)
					case !happened.IsZero() && test.fails != "" && took > downFor+time.Minute:
						t.Fatalf("the run went on for %s: %v", took, err)
					}
					time.Sleep(frozen)
					l.world.Watch, shown.Lag = nil, 0
					if test.limit == frozen || end == "it hangs" {
						shown.Thaw(cluster)
					}
					l.mustConverge(3)
				})
			})
		}
	}
}

// TestAVoterThatHangs has a voter's process do nothing, before a run that begins with it: the error says how to end
// that, with a quorum and without.
func TestAVoterThatHangs(t *testing.T) {
	for _, quorum := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			l := serving(t, 3, nodetest.EtcdVersion)
			l.host("b").Freeze(cluster)
			want := []string{"b (192.0.2.12)", "its process hangs: restart it there (systemctl restart etcd@prod.service), and apply again", "have it built anew (rebuild)"}
			if !quorum {
				l.host("c").LoseData(dir)
				want[2] = "switch its host off and plan again"
			}
			_, err := l.change(context.Background(), nil)
			for _, text := range want {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("quorum: %t: it does not say %q: %v", quorum, text, err)
				}
			}
		})
	}
}
