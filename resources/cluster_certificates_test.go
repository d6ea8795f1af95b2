package resources_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// last checks how long the certificates of all members are valid.
func (w *world) last(want time.Duration) tftest.TestCheckFunc {
	return func(*terraform.State) error {
		for last := 11; last <= 13; last++ {
			for key, text := range w.host(last).Certificates("prod") {
				leaf, err := cert.ParseLeaf([]byte(text))
				if err != nil {
					return err
				}
				if lasts := leaf.NotAfter.Sub(cert.Issued(leaf)); lasts != want {
					return fmt.Errorf("the %s certificate of 192.0.2.%d is valid for %s, want %s", key, last, lasts, want)
				}
			}
		}
		return nil
	}
}

// TestCertificatesAreValidAsSaid holds that certificates are valid for as long as the configuration says, and renewed
// as long before their end. A shorter validity renews certificates that are valid for longer, and a longer one renews
// nothing.
func TestCertificatesAreValidAsSaid(t *testing.T) {
	w := newWorld(t)
	config := func(says string) string { return three(line + "\n\t\t\tcertificates = { " + says + " }") }
	renewed := func(says, why string, purposed plan.Purpose, lasts time.Duration) tftest.TestStep {
		step := w.asPlanned(t, config(says), []string{"renew certificates of a (192.0.2.11): " + why, "renew certificates of b (192.0.2.12): " + why, "renew certificates of c (192.0.2.13): " + why}, purpose(purposed))
		step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, w.last(lasts))
		return step
	}
	due := func(after time.Duration) tftest.TestStep {
		step := renewed(`validity = "2160h", renew_before = "2000h"`, "its peer certificate expires at ", plan.PurposeRepair, 2160*time.Hour)
		step.PreConfig = func() {
			w.Clock = w.Clock.Add(after)
			w.Forget()
		}
		return step
	}
	warned := ""
	w.run(t,
		tftest.TestStep{Config: config(`validity = "20m", renew_before = "20m"`), ExpectError: says("renew_before is 20m0s, and certificates are valid for 20m0s: set a renew_before that is shorter")},
		tftest.TestStep{Config: config(`renew_before = "8760h"`), ExpectError: says("renew_before is 8760h0m0s, and certificates are valid for 8760h0m0s")},
		tftest.TestStep{Config: config(`validity = "9m"`), ExpectError: says("a certificate would be over before it is of use")},
		w.begun(t, three(line)),
		tftest.TestStep{Config: three(line), Check: w.last(8760 * time.Hour)},
		tftest.TestStep{Config: config(`validity = "87601h"`), ExpectError: saysInOrder("No certificate outlives its authority", "was never valid for so long")},
		renewed(`validity = "720h"`, "its peer certificate is valid for 8760h, and validity is 720h", plan.PurposeChange, 720*time.Hour),
		tftest.TestStep{Config: config(`validity = "2160h"`), Check: w.last(720 * time.Hour)},
		renewed(`validity = "300h"`, "its peer certificate is valid for 720h, and validity is 300h", plan.PurposeChange, 300*time.Hour),
		tftest.TestStep{Config: config(`validity = "2160h", renew_before = "2000h"`), Check: w.last(300 * time.Hour)},
		due(210*time.Hour), // a certificate that was never valid for renew_before is renewed in its last third
		due(161*time.Hour),
		tftest.TestStep{ // the authority expires earlier
			PreConfig: func() { w.Clock = w.Clock.Add(60 * time.Hour) },
			Config:    config(`validity = "87500h"`),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, _ map[string]any) error {
				if warned = w.warned(); !strings.Contains(warned, "Certificates end with their authority") {
					return fmt.Errorf("the plan warns %q", warned)
				}
				return nil
			})}},
		},
	)
}

// TestPlanWarnsOfWhatItDoesNotRenew has a member be unreachable while its certificates come to their end: plans warn
// from the renewal window on, with another summary in the last week, until the certificates are renewed.
func TestPlanWarnsOfWhatItDoesNotRenew(t *testing.T) {
	w := newWorld(t)
	const due, last = "Certificates are due, and this plan does not renew them", "Certificates expire within a week, or have expired"
	warns := func(after time.Duration, want string) tftest.TestStep {
		return tftest.TestStep{
			PreConfig: func() {
				w.host(13).Unreachable = errGone
				w.Clock = w.Clock.Add(after)
				w.warned()
			},
			Config: three(line), ExpectNonEmptyPlan: true,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, _ map[string]any) error {
				warned := w.warned()
				for _, summary := range []string{due, last} {
					if strings.Contains(warned, summary) != (summary == want) || want != "" && !strings.Contains(warned, "c: its first certificate expires at ") {
						return fmt.Errorf("the plan warns %q, want %q", warned, want)
					}
				}
				return nil
			})}},
		}
	}
	w.run(t,
		w.begun(t, three(line)),
		warns(200*24*time.Hour, ""),
		warns(60*24*time.Hour, due),
		warns(100*24*time.Hour, last),
		tftest.TestStep{
			PreConfig: func() { w.host(13).Unreachable = nil },
			Config:    three(line), Check: w.last(8760 * time.Hour),
		},
	)
}

// TestMembersCertificatesBecomeDueBeforeTheApply has certificates come into their renewal window between a plan and its
// apply: the apply does what was planned, and the next plan renews them.
func TestMembersCertificatesBecomeDueBeforeTheApply(t *testing.T) {
	w := newWorld(t)
	const quota = "settings = { quota_backend_bytes = 8589934592 }\n"
	step := w.asPlanned(t, three(line+quota), []string{"roll a (192.0.2.11)"}, meanwhile(func() { w.Clock = w.Clock.Add(8500 * time.Hour) }))
	step.ConfigPlanChecks.PostApplyPostRefresh, step.ExpectNonEmptyPlan, step.Check = nil, true, nil
	w.run(t, w.begun(t, three(line)), step, w.asPlanned(t, three(line+quota), []string{"renew certificates of a (192.0.2.11)", "renew certificates of c (192.0.2.13)"}))
}
