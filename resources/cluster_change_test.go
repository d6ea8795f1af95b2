package resources

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

func TestImmutable(t *testing.T) {
	w := newWorld(t)
	steps := []tftest.TestStep{{Config: three(unprotected)}}
	for name, test := range map[string]struct{ config, want string }{
		"name":             {strings.Replace(three(unprotected), `name    = "prod"`, `name = "other"`, 1), "name cannot be changed"},
		"the peer port":    {three(unprotected + "peer_port = 9999"), "Put back 2380"},
		"data_dir":         {three(unprotected + `data_dir = "/data"`), `Put back "/var/lib/etcd/prod"`},
		"version":          {three(unprotected + `version = "3.6"`), "this build carries no store of etcd 3.6"},
		"another pki":      {strings.Replace(three(unprotected), "etcd_pki.prod.authority", "etcd_pki.other.authority", 1) + "\nresource \"etcd_pki\" \"other\" { name = \"other\" }", "These are not the authorities"},
		"two members move": {strings.NewReplacer("192.0.2.12", "192.0.2.98", "192.0.2.13", "192.0.2.99").Replace(three(unprotected)), "b moves from 192.0.2.12 to 192.0.2.98; c moves from 192.0.2.13 to 192.0.2.99"},
	} {
		steps = append(steps, tftest.TestStep{PreConfig: func() { t.Log(name) }, Config: test.config, ExpectError: says(test.want)})
	}
	steps[1].PreConfig = w.Forget
	steps = append(steps, tftest.TestStep{Config: three(unprotected), Check: w.untouched})
	w.run(t, steps...)
}

// TestOwnSettings change nothing on the hosts, and in the plan nothing but themselves.
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
			Check: values("members.b.zone", "r2", "rollout.#", "13"),
		})
	for _, call := range w.changes() {
		if !strings.HasSuffix(call, "retire") {
			t.Errorf("a host was changed: %s", call)
		}
	}
}
