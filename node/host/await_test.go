package host

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
)

// starting returns a machine whose member runs and has not reported that it has started, and the answers of its metrics
// port.
func starting(t *testing.T, answer map[string]http.HandlerFunc) *Machine {
	t.Helper()
	mux := http.NewServeMux()
	for path, handler := range answer {
		mux.HandleFunc(path, handler)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	m, units := newMachine(t)
	describe(t, m)
	r := prepareOf("main")
	r.Marker.MetricsPort = server.Listener.Addr().(*net.TCPAddr).Port
	configured(t, m, r)
	units.active[api.Unit("main")] = "activating"
	return m
}

func ok(http.ResponseWriter, *http.Request) {}

func notYet(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

// applied returns a metrics port that reports this applied index.
func applied(index string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE etcd_server_proposals_applied_total gauge\netcd_server_proposals_applied_total %s\n", index)
	}
}

// TestAwaitTellsOfAStalledMember has members that serve reads while systemd waits for their word.
func TestAwaitTellsOfAStalledMember(t *testing.T) {
	t.Parallel()
	const read = "/readyz/linearizable_read"
	for name, test := range map[string]struct {
		answer  map[string]http.HandlerFunc
		ask     api.AwaitRequest
		stalled bool
	}{
		"a learner":                     {map[string]http.HandlerFunc{"/metrics": applied("8010"), read: ok}, api.AwaitRequest{Learner: true, Stalled: true}, true},
		"a learner with many entries":   {map[string]http.HandlerFunc{"/metrics": applied("1.2345678e+07"), read: ok}, api.AwaitRequest{Learner: true, Stalled: true}, true},
		"a voter":                       {map[string]http.HandlerFunc{"/readyz": ok}, api.AwaitRequest{Stalled: true}, true},
		"a learner that does not serve": {map[string]http.HandlerFunc{"/metrics": applied("8010"), read: notYet}, api.AwaitRequest{Learner: true, Stalled: true}, false},
		"a learner with nothing":        {map[string]http.HandlerFunc{"/metrics": applied("0"), read: ok}, api.AwaitRequest{Learner: true, Stalled: true}, false},
		"a voter that does not serve":   {map[string]http.HandlerFunc{"/readyz": notYet}, api.AwaitRequest{Stalled: true}, false},
		"nobody asks":                   {map[string]http.HandlerFunc{"/readyz": ok}, api.AwaitRequest{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := starting(t, test.answer)
			m.Run = func(_ context.Context, name string, _ ...string) ([]byte, error) {
				return []byte(name + " says so\n"), nil
			}
			test.ask.DataDir, test.ask.Timeout = dataDir, 3*stallGrace
			if test.stalled {
				test.ask.Timeout = patience
			}
			o, err := m.Await(t.Context(), "main", test.ask)
			if err != nil || o.Stalled != test.stalled {
				t.Errorf("stalled: %v, %v", o.Stalled, err)
			}
			if says := slices.Contains(o.Unit.Journal, "journalctl says so"); says == test.stalled {
				t.Errorf("of one that is not restarted, and never answered, there has to be what its journal says: %q", o.Unit.Journal)
			}
		})
	}
}

// TestAwaitGoesOnWhileALearnerComesFurther holds that a learner gets more time as long as it applies entries.
func TestAwaitGoesOnWhileALearnerComesFurther(t *testing.T) {
	t.Parallel()
	var asked, moves atomic.Int64
	m := starting(t, map[string]http.HandlerFunc{"/metrics": func(w http.ResponseWriter, r *http.Request) {
		applied(fmt.Sprint(min(asked.Add(1), moves.Load())))(w, r)
	}})
	unhurried(t, 4*unitPoll, func(patience time.Duration) error {
		asked.Store(0)
		moves.Store(int64(patience / unitPoll * 5 / 2))
		o, err := m.Await(t.Context(), "main", api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: dataDir}, Learner: true, Timeout: patience})
		if err != nil || o.Stalled || asked.Load() < moves.Load() {
			return fmt.Errorf("given up after it had come further %d times of %d, %v", asked.Load(), moves.Load(), err)
		}
		return nil
	})
}

// TestAMemberWithoutItsIDIsNotReady: one that reads answer and that reports itself ready, but that was too busy to tell
// its status, is waited for further. Its IDs are written down by who waits.
func TestAMemberWithoutItsIDIsNotReady(t *testing.T) {
	o := api.Observation{Unit: api.UnitState{ActiveState: "active"}, Member: api.Member{Ready: true, Healthy: true, Members: []api.ListedMember{{Name: "a"}}}}
	if isReady(o, api.AwaitRequest{Members: 1}) || isReady(o, api.AwaitRequest{}) {
		t.Error("it counts as ready")
	}
	o.Member.Responding = true
	if !isReady(o, api.AwaitRequest{Members: 1}) {
		t.Error("with its status it does not count as ready")
	}
}

// TestReachGrowsWithWhatComesIn holds that a snapshot on its way counts before anything of it is applied.
func TestReachGrowsWithWhatComesIn(t *testing.T) {
	m := starting(t, map[string]http.HandlerFunc{"/metrics": applied("7")})
	marker, err := m.records().Marker("main")
	if err != nil {
		t.Fatal(err)
	}
	before := m.paces().CatchUp(t.Context(), *marker)
	if before != (pace.CatchUp{Applied: 7}) {
		t.Errorf("without a database it has reached %+v", before)
	}
	writeFile(t, m, etcdfs.Database(marker.DataDir), "12345")
	writeFile(t, m, etcdfs.Database(marker.DataDir)+".tmp", "678")
	if now := m.paces().CatchUp(t.Context(), *marker); now != (pace.CatchUp{Bytes: 8, Applied: 7}) {
		t.Errorf("it has reached %+v", now)
	}
}
