package upgrade_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// cutRestores are the restores that are cut short at every call.
var cutRestores = []string{"one wiped", "5 to 3"}

// TestRestoreSurvivesEveryFault makes every call of a restore fail once, and kills the run at every call once. The next
// run always finishes the restore.
func TestRestoreSurvivesEveryFault(t *testing.T) {
	for _, name := range cutRestores {
		t.Run(name, func(t *testing.T) {
			begin := restores[name]
			for _, fault := range sample.EveryNth(t, 7, everyFaultOfRestore(t, begin)) {
				t.Run(describe(fault), func(t *testing.T) {
					t.Parallel()
					bubble(t, func(t *testing.T) {
						r := begin(t)
						r.world.Inject(fault)
						_, err := r.restore(context.Background(), nil)
						r.world.Heal()
						first := r.progress
						r.mustFinish()
						if t.Failed() {
							t.Logf("after %v, in\n%s", err, strings.Join(first, "\n"))
						}
					})
				})
			}
		})
	}
}

// everyFaultOfRestore is everyFaultOf for a restore.
func everyFaultOfRestore(t *testing.T, begin func(testing.TB) *restoreCase) (faults []nodetest.Fault) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		r := begin(t)
		r.world.Forget()
		if _, err := r.restore(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		faults = faultsOf(r.world)
	})
	return faults
}

// mustFinish fails the test if the next restore does not finish the interrupted one.
func (r *restoreCase) mustFinish() {
	r.Helper()
	if _, err := r.restore(context.Background(), nil); err != nil {
		r.Errorf("the next restore: %v\n%s", err, strings.Join(r.progress, "\n"))
		return
	}
	r.mustBeRestored()
}

// TestRestoreSurvivesPowerCuts cuts the power of the host that a step works on, at every step: before the first call to
// the host, or before a later one. The power comes back, at once or after the run, and the next run finishes.
func TestRestoreSurvivesPowerCuts(t *testing.T) {
	for _, name := range cutRestores {
		t.Run(name, func(t *testing.T) {
			for step := range stepsOfRestore(t, name) {
				for later := range 3 {
					at := powerCut{step + 1, later, (step+later)%2 == 0}
					t.Run(fmt.Sprintf("%d-%d-%t", at.step, at.later, at.booted), func(t *testing.T) {
						bubble(t, func(t *testing.T) {
							r := restores[name](t)
							off := r.cutPowerAt(at)
							_, err := r.restore(context.Background(), nil)
							first := r.progress
							r.atStep, r.world.Watch = nil, nil
							if *off == nil { // the step makes fewer calls to its host
								return
							}
							if !at.booted {
								(*off).PowerOn()
							}
							for range 3 {
								r.world.Tick()
							}
							r.mustFinish()
							if t.Failed() {
								t.Logf("after %v, in\n%s", err, strings.Join(first, "\n"))
							}
						})
					})
				}
			}
		})
	}
}

// stepsOfRestore returns how many steps a restore takes.
func stepsOfRestore(t *testing.T, name string) (n int) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		r := restores[name](t)
		n = r.countSteps(func() {
			if _, err := r.restore(context.Background(), nil); err != nil {
				t.Fatal(err)
			}
		})
	})
	return n
}
