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

// reading is for how long a member with much data on a slow disk reads it: far longer than anybody waits without
// progress.
const reading = 100

// TestSlowVoterIsNotPutBack rolls a voter that reads its data for long before it comes up: it is waited for as long as
// it does, and not put back on what it ran before.
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

// TestMembersWaitForSlowOnes has all members start together, of which the majority reads for long: the one that has
// nothing to do but wait for them is waited for as long.
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

// TestRestoreWaitsForSlowMembers has a majority of restored members read for long each time that they are started:
// their cluster is fenced meanwhile, and to give up would be to give up for ever.
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

// TestStepsHaveTheTimeOfTheResource has a step take nearly as long as the resource may: no constant ends it. One that
// is begun when that time is nearly over is finished all the same, where it does not take long.
func TestStepsHaveTheTimeOfTheResource(t *testing.T) {
	for name, test := range map[string]struct {
		limit, takes time.Duration
		fails        bool
	}{
		"within the resource's time":        {5 * time.Hour, 4 * time.Hour, false},
		"a little beyond":                   {time.Minute, 2 * time.Minute, true}, // after the step that it ends in
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
					// OpTry comes after the upload.
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

// TestUploadIsGoneOnWith cuts the line on which a snapshot is sent: the next run sends the rest, and no byte again.
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
