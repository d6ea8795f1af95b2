package resources_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// TestOwnSettings holds that settings of the provider's own change nothing on the hosts, and nothing but themselves in
// the plan.
func TestOwnSettings(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three("")},
		tftest.TestStep{
			PreConfig: w.Forget,
			Config:    strings.Replace(three(unprotected+`version = "3.7"`), `"192.0.2.12"`, `"192.0.2.12", zone = "r2", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ8Xf9bCkJ5S1m0lYdVxgxJc3cJ5jJx7n0hL2m2hF0q", ssh_port = 2222`, 1),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate),
				planned(func(_, unknown map[string]any) error {
					if text, _ := json.Marshal(unknown); strings.Contains(string(text), "true") {
						return fmt.Errorf("unknown: %s", text)
					}
					return nil
				}),
			}},
			Check: values("members.b.zone", "r2", "rollout.#", "0", "last_rollout.#", "13", "planned_change", "change"),
		})
	for _, call := range w.changes() {
		if !strings.HasSuffix(call, "retire") {
			t.Errorf("a host was changed: %s", call)
		}
	}
}
