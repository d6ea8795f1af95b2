package resources_test

import (
	"path/filepath"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// TestAlgorithmOfAnEarlierRelease starts with a state of an earlier release, which took another algorithm into the
// state and left the key as it was. A plan that replaces the key says so, and a plan without the authority's key leaves
// the certificate's key as well.
func TestAlgorithmOfAnEarlierRelease(t *testing.T) {
	const keyless = "{ client = { certificate = etcd_pki.prod.client_ca_certificate } }"
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	config := func(pki, algorithm string) string {
		whole := client("private_key_file = %q\n certificate_file = %q\n algorithm = %q", file, file+".crt", algorithm)
		return strings.Replace(whole, "etcd_pki.prod.client_authority", pki, 1)
	}
	var key string
	warns := func(words, not string) {
		if text := w.warned(); !strings.Contains(text, words) || strings.Contains(text, not) {
			t.Errorf("warned of %q, want %q and not %q", text, words, not)
		}
	}
	const own, replaced, stays = "etcd_pki.prod.client_authority", "The private key is replaced", "The private key of app is of another algorithm, and this plan does not replace it"
	earlier := func() {
		w.older = func(kind string, attributes map[string]any) {
			if kind == "etcd_certificate" {
				attributes["algorithm"] = "ecdsa-p384"
			}
		}
	}
	now := meanwhile(func() { w.older = nil })
	var serial string
	w.run(t,
		tftest.TestStep{Config: config(own, "ecdsa-p256"), Check: serials(&serial, true)},
		tftest.TestStep{
			// The configuration leaves out the authority's key: nothing changes, and the plan is not refused for it.
			PreConfig: func() {
				key = string(mustRead(t, file))
				earlier()
				w.warned()
			},
			Config: config(keyless, "ecdsa-p384"), Check: serials(&serial, false),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purposeOf{certificate, "reissue"}}},
		},
		tftest.TestStep{ // The configuration goes back to the key's own algorithm.
			PreConfig: func() { warns(stays, replaced) }, Config: config(keyless, "ecdsa-p256"), Check: serials(&serial, false),
			ConfigPlanChecks: tftest.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{purposeOf{certificate, "change"}, now},
				PostApplyPostRefresh: []plancheck.PlanCheck{purposeOf{certificate, "none"}},
			},
		},
		tftest.TestStep{
			PreConfig: func() {
				warns("", replaced)
				if now := string(mustRead(t, file)); now != key {
					t.Error("the key is another one")
				}
				earlier()
			},
			Config: config(own, "ecdsa-p384"), Check: serials(&serial, true),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purposeOf{certificate, "reissue"}, now}},
		},
		tftest.TestStep{
			PreConfig: func() {
				warns(replaced, stays)
				if now := string(mustRead(t, file)); now == key {
					t.Error("the key is the same")
				}
			},
			Config: config(own, "ecdsa-p384"), PlanOnly: true,
		},
	)
}
