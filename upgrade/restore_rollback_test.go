package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestRestoreRolledBack stops a restore before each of its steps, and rolls it back. Before the first host is opened,
// everything is as it was, with every acknowledged write; after that, the rollback is refused.
func TestRestoreRolledBack(t *testing.T) {
	for _, name := range []string{"healthy", "new hosts", "5 to 3", "one wiped"} {
		t.Run(name, func(t *testing.T) {
			for step := range stepsOfRestore(t, name) {
				t.Run(fmt.Sprint(step+1), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						r := restores[name](t)
						before := r.carried()
						opened := r.restoreUntil(step)
						r.cluster.Restore.RollBack = true
						plan, err := r.tryPlan()
						if opened {
							var refusal *membership.Refusal
							if !errors.As(err, &refusal) || !strings.Contains(refusal.Error(), "cannot be undone: clients may have read from its member and written to it") {
								t.Errorf("roll back: %v", err)
							}
							r.cluster.Restore.RollBack = false
							r.mustFinish()
							return
						}
						done, err := r.restore(context.Background(), plan)
						if err != nil || texts(done.Done) != texts(plan) {
							t.Fatalf("roll back: %v\n%s", err, texts(done.Done))
						}
						if again, err := r.restore(context.Background(), nil); err != nil || len(again.Done) > 0 {
							t.Errorf("roll back once more: %v\n%s", err, texts(again.Done))
						}
						if diff := cmp.Diff(before, r.carried()); diff != "" {
							t.Errorf("what hosts carry (-before +after):\n%s", diff)
						}
						r.cluster.Restore, r.cluster.Members = membership.Restoration{}, r.old
						if _, err := r.change(context.Background(), nil); err != nil {
							t.Errorf("change: %v", err)
						}
						r.mustBeAsDesired()
					})
				})
			}
		})
	}
}

// restoreUntil has a restore be told to stop as it begins the step of this number, from 0, and tells whether it had
// begun to open a host.
func (r *restoreCase) restoreUntil(step int) (opened bool) {
	r.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	steps := 0
	r.atStep = func(line string) {
		if beginsStep(line) {
			if steps++; steps == step+1 {
				cancel()
			}
			opened = opened || strings.Contains(line, " open ")
		}
	}
	if _, err := r.restore(ctx, nil); err == nil {
		r.Fatalf("it was not stopped")
	}
	r.atStep = nil
	return opened
}

// tryPlan returns the plan of what is desired.
func (r *restoreCase) tryPlan() ([]membership.Step, error) {
	plan, err := planRestore(r)
	return plan.Steps, err
}

// carried returns what every host says of the member that it carries.
func (r *restoreCase) carried() map[string]string {
	carried := map[string]string{}
	for last := range worldHosts {
		address := fmt.Sprintf("192.0.2.%d", 11+last)
		var o api.Observation
		if err := r.world.Host(address).Call(context.Background(), "", request(api.OpObserve, r.cluster.Ask()), &o); err != nil || o.Marker == nil {
			continue
		}
		carried[address] = fmt.Sprintf("%+v %v %t %s %+v", *o.Marker, o.Flags, o.Data.HasMember, o.Unit.FileState, o.Restore)
	}
	return carried
}

// TestRollBackNeedsCertainty has a host disappear after all members were checked: nobody knows whether it was opened,
// so nothing is rolled back. Before the check, the hosts that answer are rolled back.
func TestRollBackNeedsCertainty(t *testing.T) {
	for _, at := range []struct {
		op      api.Operation
		nth     int
		refused bool
	}{{api.OpRestore, 1, false}, {api.OpAwait, 1, false}, {api.OpAdvance, 4, true}} {
		t.Run(fmt.Sprintf("%s-%d", at.op, at.nth), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := outdone(t, 3)
				r.world.Inject(nodetest.Fault{Operation: at.op, Nth: at.nth, Extent: nodetest.Run})
				if _, err := r.restore(context.Background(), nil); err == nil {
					t.Fatal("the restore was not cut short")
				}
				r.world.Heal()
				r.host("b").Unreachable = errors.New("no route to host")
				r.cluster.Restore.RollBack = true
				done, err := r.restore(context.Background(), nil)
				switch {
				case at.refused && (err == nil || !strings.Contains(err.Error(), "so b (192.0.2.12) may have been opened to clients")):
					t.Errorf("roll back: %v", err)
				case !at.refused && (err != nil || len(done.Done) != 2):
					t.Errorf("roll back: %v\n%s", err, texts(done.Done))
				}
				r.host("b").Unreachable = nil
				if _, err := r.restore(context.Background(), nil); err != nil {
					t.Errorf("roll back with all hosts: %v", err)
				}
				r.cluster.Restore = membership.Restoration{}
				if _, err := r.change(context.Background(), nil); err != nil {
					t.Errorf("change: %v", err)
				}
				r.mustBeAsDesired()
			})
		})
	}
}

// TestChangeRefusesDuringRestore cuts a restore short: no change is planned or made before the restore is finished or
// rolled back.
func TestChangeRefusesDuringRestore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := outdone(t, 3)
		r.world.Inject(nodetest.Fault{Operation: api.OpRestore, Nth: 2, Extent: nodetest.Run})
		if _, err := r.restore(context.Background(), nil); err == nil {
			t.Fatal("the restore was not cut short")
		}
		r.world.Heal()
		r.world.Forget()
		_, err := r.change(context.Background(), nil)
		want := "a restore of backup.db, since 2026-03-01T12:00:00Z, is under way; put `restore` back into the configuration to finish it, or with restore.roll_back = true beside what it names, to undo it"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("change: %v", err)
		}
		if changes := r.world.Changes(); len(changes) > 0 {
			t.Errorf("hosts were changed: %v", changes)
		}
		r.mustFinish()
	})
}
