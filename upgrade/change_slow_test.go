package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// reading is how long a member with much data on a slow disk reads it: far longer than anybody waits without progress.
const reading = 100

// TestSlowVoterIsNotPutBack rolls a voter that reads its data for a long time before it comes up: the run waits for as
// long as the voter reads, and does not put it back.
func TestSlowVoterIsNotPutBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.set("quota-backend-bytes", "8589934592")
		l.host("b").Reading = reading
		if _, err := l.change(context.Background(), l.planned().Steps); err != nil {
			t.Errorf("change: %v", err)
		}
		l.mustBeAsDesired()
	})
}

// TestMembersWaitForSlowOnes has all members start together, and a majority of them read for a long time: the run waits
// as long for the member that only waits for the others.
func TestMembersWaitForSlowOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		for _, name := range []string{"a", "b", "c"} {
			l.host(name).StopUnit(cluster)
		}
		l.host("a").Reading, l.host("b").Reading = reading, 2*reading
		if _, err := l.change(context.Background(), nil); err != nil {
			t.Errorf("change: %v", err)
		}
		l.mustBeAsDesired()
	})
}

// TestRestoreWaitsForSlowMembers has a majority of restored members read for a long time at each start. Their cluster
// is fenced meanwhile, so that a run which gave up once would give up every time.
func TestRestoreWaitsForSlowMembers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := unborn(t, 3)
		r.world.Watch = func(c nodetest.Call) {
			if c.Operation == api.OpStart && c.Address != r.cluster.Members[2].Address {
				r.world.Host(c.Address).Reading = reading
			}
		}
		if _, err := r.create(context.Background()); err != nil {
			t.Errorf("create: %v", err)
		}
	})
}

// TestStepsHaveTheTimeOfTheResource has a step take nearly as long as the resource's timeout: no constant ends the
// step. A step that begins shortly before the timeout is finished all the same, if it is short.
func TestStepsHaveTheTimeOfTheResource(t *testing.T) {
	for name, test := range map[string]struct {
		limit, takes time.Duration
		fails        bool
	}{
		"within the resource's time":        {5 * time.Hour, 4 * time.Hour, false},
		"a little beyond":                   {time.Minute, 2 * time.Minute, true}, // the run ends after this step
		"far beyond what the resource says": {time.Hour, 3 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.want("a", "b", "c@21")
				ctx, cancel := context.WithTimeout(context.Background(), test.limit)
				defer cancel()
				finished := false
				l.world.Watch = func(c nodetest.Call) {
					// OpTry follows the upload.
					finished = finished || c.Operation == api.OpTry && c.Address == "192.0.2.21"
				}
				l.overhear = func(m membership.Member, r api.Request) {
					if r.Operation == nodetest.Install && m.Address == "192.0.2.21" {
						time.Sleep(test.takes)
					}
				}
				outcome, err := l.change(ctx, nil)
				if (err != nil) != test.fails || test.fails && !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
					t.Errorf("change: %v", err)
				}
				if began := slices.ContainsFunc(outcome.Done, func(s membership.Step) bool { return s.Kind == membership.Stage }); !began || finished != (test.takes < test.limit+5*time.Minute) {
					t.Errorf("the step was begun: %v, and finished: %v", began, finished)
				}
				l.world.Watch, l.overhear = nil, nil
				l.mustConverge(1)
			})
		})
	}
}

// TestUploadIsGoneOnWith cuts the connection over which a snapshot is sent: the next run sends the rest, and no byte
// twice.
func TestUploadIsGoneOnWith(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := unborn(t, 3)
		r.cutAt = 7
		if _, err := r.create(context.Background()); err == nil || !strings.Contains(err.Error(), "7 of 21 bytes have arrived, and stay") {
			t.Fatalf("create: %v", err)
		}
		r.cutAt = 0
		r.mustCreate()
		for _, m := range r.cluster.Members {
			if received := r.world.Host(m.Address).Received; received != int64(len(r.snapshot)) {
				t.Errorf("%s was sent %d bytes, of a snapshot of %d", m.Name, received, len(r.snapshot))
			}
		}
	})
}

// TestAHostThatHangsIsAway has a host take connections and answer nothing: its member is replaced all the same, and it
// holds nobody up for as long as the apply may take.
func TestAHostThatHangsIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		begun, c := time.Now(), l.host("c")
		l.want("a", "b", "d")
		c.Unreachable = errors.New("no route") // as a refresh has it that gave it up
		steps := l.planned().Steps
		c.Unreachable, c.Hung = nil, true
		outcome, err := l.change(context.Background(), steps)
		if err != nil {
			t.Fatal(err)
		}
		if why := outcome.Reports[membership.Member{Name: "c", Address: c.Address}].Err; why == nil || !strings.Contains(why.Error(), "it takes connections, and has not answered within 2m0s") {
			t.Errorf("the host is said to have failed by %v", why)
		}
		if took := time.Since(begun); took > 8*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// TestAHostThatHangsLater has a host hang in the middle of a change, at each kind of call: it is waited for once, no
// member that serves is harmed, and the next change finishes once it answers again.
func TestAHostThatHangsLater(t *testing.T) {
	for _, at := range []api.Operation{nodetest.Install, api.OpTry, api.OpLock, api.OpConfigure, api.OpSnapshot, api.OpRestart, api.OpAwait, api.OpProbe, api.OpHash} {
		t.Run(string(at), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := operations["upgrade"].begin(t)
				steps := l.planned().Steps
				var hung *nodetest.Host
				l.world.Watch = func(c nodetest.Call) {
					if hung == nil && c.Operation == at {
						hung = l.world.Host(c.Address)
						hung.Hung = true
					}
				}
				begun := time.Now()
				outcome, err := l.change(context.Background(), steps)
				if hung == nil {
					t.Fatal("nobody was called, which shows nothing of it")
				}
				if err == nil || !strings.Contains(err.Error(), "it takes connections, and has not answered within ") {
					t.Errorf("change: %v", err)
				}
				if took := time.Since(begun); took > map[bool]time.Duration{false: 5 * time.Minute, true: 13 * time.Minute}[at == nodetest.Install] {
					t.Errorf("it took %s", took)
				}
				if m := (membership.Member{Name: "abc"[hung.Address[len(hung.Address)-1]-'1':][:1], Address: hung.Address}); !upgrade.Hangs(outcome.Reports[m].Err) {
					t.Errorf("%s is said to have failed by %v", m, outcome.Reports[m].Err)
				}
				l.world.Watch, hung.Hung = nil, false
				l.mustConverge(1)
			})
		})
	}
}

// slow is a host whose observations take long, as with a large database that is read, and which answers all else.
type slow struct{ upgrade.Host }

func (s slow) Call(ctx context.Context, store string, request api.Request, result any) error {
	if request.Operation == api.OpObserve {
		time.Sleep(10 * time.Minute)
	}
	return s.Host.Call(ctx, store, request, result)
}

// TestASlowHostIsNotAway has a host's observation take longer than an answer may: it is waited for, since the host
// answers other questions.
func TestASlowHostIsNotAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		e, c := l.executor(), l.cluster.Members[2]
		e.Hosts[c] = slow{e.Hosts[c]}
		if report := e.Observe(context.Background(), l.members)[c]; report.Err != nil || report.Observation == nil {
			t.Errorf("it is said to have failed by %v", report.Err)
		}
	})
}

// thin is a host on a slow connection. While a store is sent to it, which takes half an hour, all answers come late, or
// there is no session to ask in.
type thin struct {
	upgrade.Host
	noSession bool
	sending   *atomic.Bool
}

func (h thin) Install(ctx context.Context, cluster, store string, target api.Target) error {
	h.sending.Store(true)
	defer h.sending.Store(false)
	select {
	case <-time.After(30 * time.Minute):
		return h.Host.Install(ctx, cluster, store, target)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h thin) Contact(ctx context.Context, cluster string, ask api.ObserveRequest) (api.Contact, error) {
	switch {
	case h.sending.Load() && h.noSession:
		<-ctx.Done()
		return api.Contact{}, fmt.Errorf("%w: %w", api.ErrNotAsked, ctx.Err())
	case h.sending.Load():
		time.Sleep(4 * time.Minute)
	}
	return h.Host.Contact(ctx, cluster, ask)
}

// TestASlowConnectionIsNoHang holds that nobody gives up a host for answers that wait behind a store on its way to it,
// or for questions that wait for a session.
func TestASlowConnectionIsNoHang(t *testing.T) {
	for name, noSession := range map[string]bool{"answers come late": false, "no session is free": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := operations["upgrade"].begin(t)
				steps := l.planned().Steps
				e := l.executor()
				for m, host := range e.Hosts {
					e.Hosts[m] = thin{host, noSession, &atomic.Bool{}}
				}
				if _, err := e.Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members, Approved: steps}); err != nil {
					t.Fatal(err)
				}
				l.mustBeAsDesired()
			})
		})
	}
}

// TestACallThatNeverEnds has a call of an earlier run never end on a host whose member does not serve, as with a data
// disk that hangs: that member and others are replaced all the same. While the member serves, or where no quorum does,
// the run is refused, with a way on.
func TestACallThatNeverEnds(t *testing.T) {
	for name, test := range map[string]struct {
		want    []string
		happen  func(*life)
		refused bool
	}{
		"that member is replaced": {[]string{"a", "b", "c@21", "d", "e"}, func(l *life) { l.host("c").StopUnit(cluster) }, false},
		"another member is replaced": {[]string{"a", "b", "c", "d@22", "e"}, func(l *life) {
			l.host("c").StopUnit(cluster)
			l.host("d").Unreachable = errors.New("no route to host")
		}, false},
		"it serves": {[]string{"a", "b", "c", "d@22", "e"}, func(*life) {}, true},
		"no quorum serves": {[]string{"a", "b", "c", "d", "e"}, func(l *life) {
			for _, name := range []string{"c", "d", "e"} {
				l.host(name).StopUnit(cluster)
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 5, nodetest.EtcdVersion)
				c := l.host("c")
				c.AtWork = true
				test.happen(l)
				l.want(test.want...)
				steps := l.planned().Steps
				l.world.Forget()
				_, err := l.change(context.Background(), steps)
				if test.refused {
					if err == nil || !strings.Contains(err.Error(), "a call of an earlier run is still at work on this host") {
						t.Errorf("change: %v", err)
					}
					return
				}
				if err != nil {
					t.Errorf("change: %v\n%s\nplan:\n%s", err, strings.Join(l.progress, "\n"), texts(steps))
				}
				for _, call := range l.world.Changes() {
					if call.Address == c.Address {
						t.Errorf("%v", call)
					}
				}
				for _, m := range l.cluster.Members {
					if s := l.look().Member(m); m.Name != "c" || m.Address != c.Address {
						if s.State != membership.Healthy || s.Role != membership.Voter {
							t.Errorf("%s is %s, %s", m, s.State, s.Role)
						}
					}
				}
				c.AtWork = false
				l.mustConverge(1)
			})
		})
	}
}
