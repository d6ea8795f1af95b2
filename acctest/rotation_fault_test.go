package acctest

import (
	"fmt"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/load"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestRotationKilledAtEveryStep kills the provider as each step of each phase of a rotation of both authorities begins.
// Each time the next apply goes on from what it finds, the next phase follows, and no acknowledged write is lost.
func TestRotationKilledAtEveryStep(t *testing.T) {
	sample.Leave(t, "the executor's tests kill exchanges of authorities at any call, and TestAuthoritiesAreRotated rotates under load")
	t.Parallel()
	rotationDisturbed(t, killedAtStep)
}

// TestRotationPowerCutAtEveryStep cuts the power of the host that a step of a rotation is done to, and gives it back
// once the apply has ended.
func TestRotationPowerCutAtEveryStep(t *testing.T) {
	sample.Leave(t, "TestPowerCutAtEveryStep cuts a host's power in a replacement")
	t.Parallel()
	rotationDisturbed(t, powerCutAtStep)
}

// rotationDisturbed rotates the authorities of clusters of three and of five members again and again, and does
// something to each phase at each of its steps. Each phase has a writer with the certificates that clients have as it
// begins.
func rotationDisturbed(t *testing.T, disturb func(v *underLoad, begun []string, cli int)) {
	for _, names := range [][]string{{"a", "b", "c"}, {"a", "b", "c", "d", "e"}} {
		if len(names) > 3 && !everyChange() {
			continue
		}
		t.Run(fmt.Sprintf("%d members", len(names)), func(t *testing.T) {
			t.Parallel()
			l := up(t, lab.Config{Hosts: members(names...)})
			s := setup{at: on(names...)}
			with := func(generation int, phase string) string {
				return withRotation(t, configuration(t, l, s), fmt.Sprintf("peers = \"%d\", clients = \"%d\", phase = %q", generation, generation, phase))
			}
			w := newWorkspace(t, l, with(1, "trust"))
			w.apply()
			generation, ended := 1, map[string]bool{}
			for step := firstStep(t, 1); len(ended) < 3; step += stride(6) {
				generation++
				for _, phase := range []string{"trust", "sign", "retire"} {
					v := w.writer("writer")
					v.setup = s
					v.load(light)
					v.write("main.tf", with(generation, phase))
					if v.disturbAt(step, disturb) {
						ended[phase] = true
					}
					v.goOn()
					v.check(func(r *load.Report) {
						besideOthers(r)
						r.Limits.Silent, r.Limits.Tolerance = 10*time.Second, 10*time.Second
					})
					if t.Failed() {
						t.Fatalf("%s, at step %d", phase, step)
					}
				}
			}
			if generation < 3 {
				t.Errorf("%d rotations were disturbed: the progress was not understood", generation-2)
			}
		})
	}
}
