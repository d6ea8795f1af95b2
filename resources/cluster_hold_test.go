package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestHoldRestarts upgrades the provider under a cluster, to one with a newer patch of etcd and another unit. If
// restarts are held back, no member is touched for it and the plan says so, also beside another change; a change of a
// setting brings everything. Otherwise the plan says that the configuration does not ask for these restarts.
func TestHoldRestarts(t *testing.T) {
	w := newWorld(t)
	const warnsHeld, warnsUnasked = "Restarts are held back", "This release of the provider restarts members"
	held := unprotected + "hold_restarts = true\n"
	upgraded := func() {
		w.Forget()
		w.warned()
		for _, last := range []int{11, 12, 13} { // written by an older release
			w.host(last).EditUnit("prod", "[Unit]\n# of an earlier release")
		}
	}
	warns := func(what string, check tftest.TestCheckFunc) tftest.TestCheckFunc {
		return func(s *terraform.State) error {
			text := w.warned()
			for _, warning := range []string{warnsHeld, warnsUnasked} {
				if strings.Contains(text, warning) != (warning == what) {
					return fmt.Errorf("it warns of %q", text)
				}
			}
			return check(s)
		}
	}
	stays := func(config string, before func()) tftest.TestStep {
		return tftest.TestStep{PreConfig: before, Config: config, Check: warns(warnsHeld, w.untouched),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}}
	}
	rolled := func(config string, purpose plancheck.PlanCheck, warning string) tftest.TestStep {
		step := w.asPlanned(t, config, []string{"roll b (192.0.2.12): ", "its unit"}, purpose)
		prepare := step.PreConfig
		step.PreConfig = func() { prepare(); w.warned() }
		step.Check = warns(warning, w.allWell)
		return step
	}
	w.run(t,
		w.begun(t, three(held)),
		stays(three(held), upgraded),
		tftest.TestStep{Config: three(held + "purge_data = true\n"), Check: warns(warnsHeld, w.untouched)},
		rolled(three(held+"settings = { snapshot_count = 5000 }\n"), purpose(plan.PurposeChange), ""),
		tftest.TestStep{PreConfig: upgraded, Config: three(held + "settings = { snapshot_count = 5000 }\n"), Check: warns(warnsHeld, w.untouched)},
		rolled(three(unprotected+"settings = { snapshot_count = 5000 }\n"), purpose(plan.PurposeChange), warnsUnasked),
	)
}

// TestHeldVersion holds that the running patch of etcd stays, unless another minor version is asked for.
func TestHeldVersion(t *testing.T) {
	w := newWorld(t)
	w.carry("3.7.2", older)
	held := unprotected + "hold_restarts = true\n"
	w.run(t,
		w.begun(t, three(held+`version = "3.7"`)),
		tftest.TestStep{PreConfig: func() { w.Forget(); w.carry(newest, "3.7.2", older) }, Config: three(held + `version = "3.7"`), Check: w.untouched},
		w.asPlanned(t, three(held+fmt.Sprintf("version = %q", newest)), []string{"etcd 3.7.2 -> " + newest}),
	)
}
