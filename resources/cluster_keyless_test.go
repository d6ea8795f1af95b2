package resources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestKeysAreLeftOut has the authorities' keys be kept elsewhere, and given for the plans that sign. All other plans
// work without them, and a plan that would sign is refused before a host is touched.
func TestKeysAreLeftOut(t *testing.T) {
	w := newWorld(t)
	const withKeys = "etcd_pki.prod.authority"
	pki := func(text string, more ...string) string {
		return strings.Replace(three(line+strings.Join(more, "\n")), withKeys, text, 1)
	}
	const keyless = "{ peer = { certificate = etcd_pki.prod.authority.peer.certificate }, client = { certificate = etcd_pki.prod.authority.client.certificate } }"
	const half = "{ peer = { certificate = etcd_pki.prod.authority.peer.certificate }, client = etcd_pki.prod.authority.client }"
	refused := func(config string, says ...string) tftest.TestStep {
		return tftest.TestStep{Config: config, ExpectError: saysInOrder(append([]string{"This plan needs the key of an authority"}, says...)...)}
	}
	zoned := func(config string) string { return strings.Replace(config, "c = {", "c = {\n zone = \"r9\"\n", 1) }
	rolled := w.asPlanned(t, pki(keyless, "settings = { snapshot_count = 6000 }"), []string{"roll a (192.0.2.11)"}, purpose(plan.PurposeChange))
	rolled.Check = nil // certificates that are due stay due
	due := w.Clock.Add(8500 * time.Hour)
	w.run(t,
		refused(pki(keyless), "Forming a cluster signs"),
		w.begun(t, pki(withKeys)),
		// Terraform may plan an update that changes nothing, since other parts of pki are sensitive.
		tftest.TestStep{Config: pki(keyless), Check: w.untouched},
		tftest.TestStep{Config: zoned(pki(keyless)), Check: w.untouched},
		w.asPlanned(t, pki(keyless, "settings = { snapshot_count = 5000 }"), []string{"roll a (192.0.2.11)"}, purpose(plan.PurposeChange)),
		refused(strings.Replace(pki(keyless, "settings = { snapshot_count = 5000 }"), "192.0.2.13", "192.0.2.23", 1), "These steps sign certificates", "c (192.0.2.23)", "Give pki.client.private_key and pki.peer.private_key"),
		refused(strings.Replace(pki(half, "settings = { snapshot_count = 5000 }"), "192.0.2.13", "192.0.2.23", 1), "Give pki.peer.private_key for it, or remote in the place of private_key:"),
		refused(unknownAddress(pki(keyless)), "What this plan does is known after apply"),
		tftest.TestStep{ // Certificates that are due are no reason to refuse a plan that leaves them.
			PreConfig: func() { w.Clock = due; w.warned(); w.Forget() }, Config: pki(keyless, "settings = { snapshot_count = 5000 }"),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan(), meanwhile(func() {
				if text := w.warned(); strings.Count(text, "Certificates are due, and this plan does not renew them") != 1 || !strings.Contains(text, "; its peer certificate expires at ") ||
					strings.Count(text, "No apply renews them without pki.client.private_key and pki.peer.private_key") != 1 {
					t.Errorf("it says %q", text)
				}
			})}},
			Check: w.untouched,
		},
		rolled,
		func() tftest.TestStep { // In the last week the plan tells automation too.
			step := w.waiting(pki(keyless, "settings = { snapshot_count = 6000 }"), planned(func(_, _ map[string]any) error {
				if text := w.warned(); !strings.Contains(text, "Certificates expire within a week, or have expired") || !strings.Contains(text, "No apply renews them without pki.client.private_key") {
					return fmt.Errorf("it says %q", text)
				}
				return nil
			}), leavesRenewals("a", "b", "c"))
			step.PreConfig = func() { w.Clock = due.Add(120 * time.Hour); w.Forget(); w.warned() }
			return step
		}(),
		w.asPlanned(t, pki(withKeys, "settings = { snapshot_count = 6000 }"), []string{"renew certificates of a"}, purpose(plan.PurposeRepair)),
	)
}

// TestRepairsBesideExpiredCertificates has the certificates of one member expire while keys are left out: a repair of
// another member is done all the same, with a warning. Once nothing else is left, plans are refused until the keys are
// given.
func TestRepairsBesideExpiredCertificates(t *testing.T) {
	w := newWorld(t)
	keyless := strings.Replace(three(line), "etcd_pki.prod.authority", "{ peer = { certificate = etcd_pki.prod.authority.peer.certificate }, client = { certificate = etcd_pki.prod.authority.client.certificate } }", 1)
	repaired := w.asPlanned(t, keyless, []string{"start c (192.0.2.13)"}, purpose(plan.PurposeRepair), meanwhile(func() {
		text := w.warned()
		for _, says := range []string{"A member needs certificates that cannot be signed", "b (192.0.2.12): this waits while certificates cannot be signed: renew certificates of b (192.0.2.12): its peer certificate has expired",
			"No apply renews them without pki.client.private_key and pki.peer.private_key", "Certificates expire within a week, or have expired"} {
			if !strings.Contains(text, says) {
				t.Errorf("the plan does not say %q:\n%s", says, text)
			}
		}
	}))
	repaired.PreConfig = func() {
		w.host(12).Unreachable = nil
		w.host(13).StopUnit("prod")
		w.Clock = w.Clock.Add(300 * time.Hour)
		w.Forget()
		w.steps()
		w.warned()
	}
	repaired.Check, repaired.ConfigPlanChecks.PostApplyPostRefresh = nil, nil
	repaired.ExpectError = regexp.MustCompile(`(?s)post-apply .*This plan needs the key of an authority.*renew certificates of b`)
	w.run(t,
		w.begun(t, three(line)),
		tftest.TestStep{PreConfig: func() { w.host(12).Unreachable = errGone; w.Clock = w.Clock.Add(8500 * time.Hour) }, Config: three(line), ExpectNonEmptyPlan: true},
		tftest.TestStep{
			PreConfig: func() { w.host(12).Unreachable = nil; w.Clock = w.Clock.Add(300 * time.Hour) }, Config: strings.Replace(keyless, line, line+"settings = { snapshot_count = 5000 }", 1),
			ExpectError: saysInOrder("This plan needs the key of an authority", "renew certificates of b (192.0.2.12): its peer certificate has expired"),
		},
		repaired,
		tftest.TestStep{
			PreConfig: func() {
				if done := w.steps(); len(done) == 0 || !strings.HasPrefix(done[0], "start c (192.0.2.13)") || strings.Contains(strings.Join(done, ""), "renew") {
					t.Errorf("it did this: %q", done)
				}
			},
			Config: three(line), Check: w.allWell,
		},
	)
}

// TestCertificateWithoutKey holds that an unchanged certificate needs no authority's key.
func TestCertificateWithoutKey(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	config := func(name, more string) string {
		return strings.Replace(client("private_key_file = %q\n"+more, file), `"app"`, fmt.Sprintf("%q", name), 1)
	}
	keyless := func(config string) string {
		return strings.Replace(config, "etcd_pki.prod.client_authority", "{ client = { certificate = etcd_pki.prod.client_authority.client.certificate } }", 1)
	}
	var last string
	refused := func(config string) tftest.TestStep {
		return tftest.TestStep{Config: config, ExpectError: saysInOrder("This plan needs the key of an authority", "Give pki.client.private_key for it, or pki.client.remote:")}
	}
	w.run(t,
		tftest.TestStep{Config: config("app", ""), Check: serials(&last, true)},
		tftest.TestStep{Config: keyless(config("app", "")), Check: serials(&last, false)},
		tftest.TestStep{Config: keyless(config("app", "renew_before = \"700h\""))},
		refused(keyless(config("app", "algorithm = \"rsa-2048\""))), // another key
		refused(keyless(config("db", ""))),
	)
}

// TestCertificateIsDueWithoutKey holds that a due certificate is still valid and waits for its authority's key with a
// warning, which is louder in the last week. A plan that changes anything else of the certificate is refused, and so is
// every plan after it has expired.
func TestCertificateIsDueWithoutKey(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	config := func(more string) string {
		return client("validity = \"2400h\"\nrenew_before = \"800h\"\nprivate_key_file = %q\n"+more, file)
	}
	keyless := func(config string) string {
		return strings.Replace(config, "etcd_pki.prod.client_authority", "{ client = { certificate = etcd_pki.prod.client_authority.client.certificate } }", 1)
	}
	const due, week = "The certificate of app is due, and this plan does not renew it", "The certificate of app expires within a week"
	var last string
	waits := func(later time.Duration, says string) tftest.TestStep {
		return tftest.TestStep{
			PreConfig: func() { w.Clock = w.Clock.Add(later); w.warned() }, Config: keyless(config("")), Check: serials(&last, false),
			// Terraform may plan an update that changes nothing, since other parts of pki are sensitive.
			ConfigPlanChecks: tftest.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan(), purposeOf{certificate, "renewal"}}, PreApply: []plancheck.PlanCheck{purposeOf{certificate, "renewal"}, meanwhile(func() {
				if text := w.warned(); !strings.Contains(text, says) || !strings.Contains(text, "It holds until ") || !strings.Contains(text, "Give pki.client.private_key for it") {
					t.Errorf("it says %q, want %q", text, says)
				}
			})}},
		}
	}
	refused := func(config string, says ...string) tftest.TestStep {
		return tftest.TestStep{Config: keyless(config), ExpectError: saysInOrder(append(append([]string{"This plan needs the key of an authority"}, says...), "Give pki.client.private_key for it, or pki.client.remote:")...)}
	}
	gone := refused(config(""))
	gone.PreConfig = func() { _ = os.Rename(file, file+".kept") }
	expired := refused(config(""), "the one of app has expired")
	expired.PreConfig = func() { _ = os.Rename(file+".kept", file); w.Clock = w.Clock.Add(200 * time.Hour) }
	w.run(t,
		tftest.TestStep{Config: config(""), Check: serials(&last, true)},
		waits(1700*time.Hour, due),
		refused(config("organization = [\"ops\"]")),
		refused(config(fmt.Sprintf("certificate_file = %q", file+".crt"))),
		func() tftest.TestStep {
			step := waits(600*time.Hour, week)
			leaves := []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(certificate, plancheck.ResourceActionUpdate), purposeOf{certificate, "none"},
				plancheck.ExpectUnknownValue(certificate, tfjsonpath.New("renewal_due")), plancheck.ExpectKnownValue(certificate, tfjsonpath.New("certificate"), knownvalue.NotNull()),
			}
			step.ConfigPlanChecks.PreApply = append(leaves, step.ConfigPlanChecks.PreApply[1:]...)
			step.ConfigPlanChecks.PostApplyPostRefresh, step.ExpectNonEmptyPlan = leaves, true
			return step
		}(),
		gone,
		expired,
		tftest.TestStep{Config: config(""), Check: serials(&last, true)},
		tftest.TestStep{Config: keyless(config("")), Check: serials(&last, false)},
	)
}
