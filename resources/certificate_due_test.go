package resources_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// serials records the serial number of the client's certificate, and checks whether it differs from the previous one.
func serials(last *string, another bool) tftest.TestCheckFunc {
	return tftest.TestCheckResourceAttrWith(certificate, "serial_number", func(serial string) error {
		before := *last
		*last = serial
		if (before != serial) != another {
			return fmt.Errorf("serial number %s after %s", serial, before)
		}
		return nil
	})
}

// TestCertificatesBecomeDue holds that another renew_before makes a certificate due in the plan that shows it, and not
// one plan later. Only what the last refresh has found is due, however long after it the apply comes.
func TestCertificatesBecomeDue(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	config := func(before string) string {
		return client("validity = \"100h\"\n renew_before = %q\n private_key_file = %q", before, file)
	}
	later := func(by time.Duration) plancheck.PlanCheck { return meanwhile(func() { w.Clock = w.Clock.Add(by) }) }
	var last string
	step := func(before string, another bool, checks ...plancheck.PlanCheck) tftest.TestStep {
		return tftest.TestStep{
			Config: config(before), Check: serials(&last, another),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: checks, PostApplyPostRefresh: []plancheck.PlanCheck{purposeOf{certificate, "none"}}},
		}
	}
	after := func(step tftest.TestStep, by time.Duration) tftest.TestStep {
		step.PreConfig = func() { w.Clock = w.Clock.Add(by) }
		return step
	}
	w.run(t,
		step("10h", true),
		after(step("20h", false, purposeOf{certificate, "change"}), 50*time.Hour), // 50 h are left
		step("60h", true, purposeOf{certificate, "change"}, plancheck.ExpectUnknownValue(certificate, tfjsonpath.New("certificate"))),
		tftest.TestStep{ // 72 h are left, and 67 h at the apply: the next plan renews it.
			PreConfig: func() { w.Clock = w.Clock.Add(28 * time.Hour) }, Config: config("70h"), Check: serials(&last, false),
			ConfigPlanChecks: tftest.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{purposeOf{certificate, "change"}, later(5 * time.Hour)},
				PostApplyPostRefresh: []plancheck.PlanCheck{purposeOf{certificate, "renewal"}},
			},
			ExpectNonEmptyPlan: true,
		},
	)
}

// TestLastRenewal holds that a certificate which ends with its authority is not issued again and again, since another
// one would end at the same moment. A refresh says what has to come first.
func TestLastRenewal(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	config := strings.Replace(client("private_key_file = %q", file), `{ name = "prod" }`, "{\n name = \"prod\"\n validity = \"100h\"\n}", 1)
	var last string
	said := func(left time.Duration, words string) tftest.TestStep {
		return tftest.TestStep{
			PreConfig: func() { w.Clock = w.Clock.Add(100*time.Hour - left); w.warned() }, Config: config,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purposeOf{certificate, "none"}, meanwhile(func() { w.Clock = w.Clock.Add(left - 100*time.Hour) })}},
			Check: tftest.ComposeAggregateTestCheckFunc(serials(&last, false), func(*terraform.State) error {
				if text := w.warned(); !strings.Contains(text, words) || (words == "") != (text == "") {
					return fmt.Errorf("%s before the end it says %q", left, text)
				}
				return nil
			}),
		}
	}
	w.run(t,
		tftest.TestStep{Config: config, Check: serials(&last, true)},
		said(90*time.Hour, ""),
		said(10*time.Hour, "The certificate of app ends with its authority"),
		said(time.Minute, "The certificate of app ends with its authority"),
		said(-time.Hour, "The certificate of app has ended with its authority"),
	)
}

// TestCertificatesStayWithTheirCluster holds that no apply issues a certificate by another authority unless its plan
// named that authority. Other values that a plan does not know yet may turn out to be unchanged.
func TestCertificatesStayWithTheirCluster(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	config := func(authority, name string, turn int) string {
		return fmt.Sprintf(`
			resource "etcd_pki" "prod" { name = "prod" }
			resource "etcd_pki" "other" { name = "other" }
			resource "terraform_data" "later" { input = { pki = %s, name = %q, turn = %d } }
			resource "etcd_certificate" "client" {
				pki              = AUTHORITY
				common_name      = NAME
				private_key_file = %q
			}`, authority, name, turn, file)
	}
	with := func(config, authority, name string) string {
		return strings.NewReplacer("AUTHORITY", authority, "NAME", name).Replace(config)
	}
	const prod, other, laterPKI, laterName = "etcd_pki.prod.client_authority", "etcd_pki.other.client_authority", "terraform_data.later.output.pki", "terraform_data.later.output.name"
	open := tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purposeOf{certificate, ""}}, PostApplyPostRefresh: []plancheck.PlanCheck{purposeOf{certificate, "none"}}}
	var last string
	w.run(t,
		tftest.TestStep{Config: with(config(prod, "app", 1), laterPKI, laterName), Check: serials(&last, true)},
		tftest.TestStep{Config: with(config(other, "app", 2), laterPKI, `"app"`), ExpectError: saysInOrder("The authority has to be known at plan time", "terraform apply -target")},
		tftest.TestStep{Config: with(config(prod, "app", 3), laterPKI, `"app"`), ExpectError: saysInOrder("The authority has to be known at plan time")},
		tftest.TestStep{Config: with(config(prod, "app", 4), prod, laterName), ConfigPlanChecks: open, Check: serials(&last, false)},
		tftest.TestStep{Config: with(config(prod, "db", 5), prod, laterName), ConfigPlanChecks: open, Check: serials(&last, true)},
		tftest.TestStep{ // A value that is known to differ is a change.
			Config:           with(config(prod, "db", 6), other, laterName),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purposeOf{certificate, "change"}}},
			Check:            tftest.ComposeAggregateTestCheckFunc(serials(&last, true), tftest.TestCheckResourceAttrPair(certificate, "ca_certificate", "etcd_pki.other", "client_ca_certificate")),
		},
	)
}
