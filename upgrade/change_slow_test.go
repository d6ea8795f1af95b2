package upgrade_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
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
					if c.Operation == nodetest.Install && c.Address == "192.0.2.21" {
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
				l.world.Watch = nil
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
