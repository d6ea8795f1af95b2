package host

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

// working returns a machine whose member answers nobody, and computes or reads a little more at each look, this many
// times.
func working(t *testing.T, moves int64, did func(moves int64) (ticks, bytes int64)) (m *Machine, looked *atomic.Int64) {
	t.Helper()
	looked = &atomic.Int64{}
	const process = 4242
	dir := filepath.Join("/proc", strconv.Itoa(process))
	m = starting(t, map[string]http.HandlerFunc{"/readyz": notYet, "/metrics": func(w http.ResponseWriter, r *http.Request) {
		ticks, bytes := did(min(looked.Add(1), moves))
		writeFile(t, m, filepath.Join(dir, "stat"), fmt.Sprintf("%d (a (b) c) S 1 1 1 0 -1 4194560 9 0 0 0 %d %d 0 0 20 0 9 0 100 1 1", process, ticks, ticks))
		writeFile(t, m, filepath.Join(dir, "io"), fmt.Sprintf("rchar: 7\nread_bytes: %d\nwrite_bytes: 0\n", bytes))
	}})
	m.Units.(*fakeUnits).pid = process
	return m, looked
}

// TestAwaitGoesOnWhileAVoterWorks holds that a voter gets more time as long as it computes or reads, as etcd does for
// minutes while it opens a large database and answers nobody; and that one that does a little now and then, as one that
// waits for others, does not.
func TestAwaitGoesOnWhileAVoterWorks(t *testing.T) {
	t.Parallel()
	const without = 10 * unitPoll
	for name, test := range map[string]struct {
		size   int64 // of its database
		did    func(n, enough int64) (ticks, bytes int64)
		gained bool
	}{
		// Half of the time is the user's, and half is the system's.
		"it computes":                {pace.LargeDatabase, func(n, enough int64) (int64, int64) { return n * enough / 2, 0 }, true},
		"it reads":                   {0, func(n, _ int64) (int64, int64) { return 0, n * pace.LeastRead }, true},
		"it waits":                   {pace.LargeDatabase, func(n, enough int64) (int64, int64) { return n * enough / 100, n * pace.LeastRead / 100 }, false},
		"it refuses its peers, busy": {pace.LargeDatabase - 1, func(n, enough int64) (int64, int64) { return n * enough, 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wait := func(patience time.Duration) error {
				moves, enough := int64(patience/unitPoll*5/2), int64(patience/pace.BusyShare/procfs.Tick)
				m, looked := working(t, moves, func(n int64) (int64, int64) { return test.did(n, enough) })
				writeFile(t, m, etcdfs.Database(dataDir), "")
				if err := os.Truncate(m.path(etcdfs.Database(dataDir)), test.size); err != nil {
					t.Fatal(err)
				}
				o, err := m.Await(t.Context(), "main", api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: dataDir}, Timeout: patience})
				if err != nil || o.Gained != test.gained || test.gained && looked.Load() < moves {
					return fmt.Errorf("it came further: %v, in %d looks of %d; %v", o.Gained, looked.Load(), moves, err)
				}
				return nil
			}
			unhurried(t, without, wait)
		})
	}
}

// TestAwaitOfAVoterThatServes holds that what a voter applies that serves already gives it no more time to become
// ready.
func TestAwaitOfAVoterThatServes(t *testing.T) {
	t.Parallel()
	var index atomic.Int64
	m := starting(t, map[string]http.HandlerFunc{"/readyz": notYet, "/readyz/linearizable_read": ok, "/metrics": func(w http.ResponseWriter, r *http.Request) {
		applied(fmt.Sprint(index.Add(1)))(w, r)
	}})
	o, err := m.Await(t.Context(), "main", api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: dataDir}, Timeout: 4 * unitPoll})
	if err != nil || o.Gained {
		t.Errorf("it counts as one that comes further: %v", err)
	}
}

// TestWhileItGains holds that a wait goes on while the member's files grow, and ends once they do not.
func TestWhileItGains(t *testing.T) {
	t.Parallel()
	m := starting(t, nil)
	marker, err := m.records().Marker("main")
	if err != nil {
		t.Fatal(err)
	}
	waiting, stop := m.paces().WhileItGains(t.Context(), *marker, 4*pace.Poll)
	defer stop()
	const writes = 8
	for i := range writes {
		writeFile(t, m, etcdfs.Database(marker.DataDir)+".tmp", strings.Repeat("x", i))
		select {
		case <-waiting.Done():
			t.Fatalf("given up while its files grew: %v", context.Cause(waiting))
		case <-time.After(pace.Poll):
		}
	}
	select {
	case <-waiting.Done():
	case <-time.After(patience):
		t.Fatal("it goes on though nothing happens")
	}
	if cause := context.Cause(waiting); !strings.Contains(cause.Error(), "has come no further for 4s") {
		t.Errorf("the cause is %v", cause)
	}
}
