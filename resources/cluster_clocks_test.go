package resources_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// TestClocksThatDiffer has the clock of a running member's host go wrong: a plan that signs nothing warns, one that has a
// certificate signed is refused by plan and by apply, and the same plan goes through once the clock is right.
func TestClocksThatDiffer(t *testing.T) {
	w := newWorld(t)
	warns := func(says ...string) tftest.ConfigPlanChecks {
		return tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, _ map[string]any) error {
			warned := w.warned()
			for _, text := range says {
				if !strings.Contains(warned, text) {
					return fmt.Errorf("the plan does not say %q:\n%s", text, warned)
				}
			}
			return nil
		})}}
	}
	skewed := func(skew time.Duration) func() {
		return func() { w.host(12).Skew = skew }
	}
	named := three(line + `
			extra_server_names = ["etcd.example.com"]`)
	w.run(t,
		w.begun(t, three(line)),
		tftest.TestStep{PreConfig: skewed(-3 * time.Second), Config: three(line), Check: w.untouched,
			ConfigPlanChecks: warns("The clocks of cluster prod differ", "b (192.0.2.12): its clock is at least 3s behind this machine's", "nothing is refused for that yet")},
		tftest.TestStep{PreConfig: skewed(6 * time.Minute), Config: three(line), Check: w.untouched,
			ConfigPlanChecks: warns("b (192.0.2.12): its clock is at least 6m ahead of this machine's", "no certificate is signed")},
		tftest.TestStep{Config: named, ExpectError: saysInOrder("b (192.0.2.12): its clock is at least 6m ahead of this machine's, and no certificate is signed then: it begins 5m before", "set the clocks right")},
		tftest.TestStep{PreConfig: skewed(0), Config: named, Check: w.allWell},
	)
}
