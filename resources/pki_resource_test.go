package resources_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

func TestPKI(t *testing.T) {
	const name = "etcd_pki.prod"
	config := func(more string) string { return "resource \"etcd_pki\" \"prod\" {\n" + more + "\n}" }
	w := newWorld(t)
	w.run(t,
		tftest.TestStep{Config: config(`name = "Prod"`), ExpectError: says("must be 1 to 32 lower-case letters")},
		tftest.TestStep{Config: config("name = \"prod\"\n algorithm = \"ed25519\""), ExpectError: says("value must be one of")},
		tftest.TestStep{
			Config: config("name = \"prod\"\n validity = \"48h\""),
			Check: tftest.ComposeAggregateTestCheckFunc(
				tftest.TestCheckResourceAttrPair(name, "peer_ca_certificate", name, "authority.peer.certificate"),
				tftest.TestCheckResourceAttrPair(name, "client_ca_certificate", name, "authority.client.certificate"),
				tftest.TestCheckResourceAttr(name, "expires_at", w.Clock.Add(48*time.Hour).UTC().Format(time.RFC3339)),
				tftest.TestCheckResourceAttrWith(name, "client_ca_certificate", func(text string) error {
					block, _ := pem.Decode([]byte(text))
					parsed, err := x509.ParseCertificate(block.Bytes)
					if err == nil && !parsed.NotAfter.Equal(w.Clock.Add(48*time.Hour)) {
						t.Errorf("it holds until %s", parsed.NotAfter)
					}
					return err
				})),
		},
		tftest.TestStep{ // The same value, spelled differently.
			Config: config("name = \"prod\"\n validity = \"2880m\""),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(name, plancheck.ResourceActionUpdate),
			}},
		},
		// The authorities keep the values that they were made with. The defaults are for new ones.
		tftest.TestStep{Config: config("name = \"prod\""), PlanOnly: true},
		tftest.TestStep{Config: config("name = \"prod\"\n validity = \"49h\""), ExpectError: says(`have "2880m". Set validity to that, or leave it out`)},
		tftest.TestStep{Config: config("name = \"other\"\n validity = \"48h\""), ExpectError: says(`have "prod". Set name to that`)},
		tftest.TestStep{Config: config("name = \"prod\"\n validity = \"48h\"\n algorithm = \"ecdsa-p384\""), ExpectError: says(`Set algorithm to that, or leave it out`)},
		tftest.TestStep{Config: config("name = \"prod\"\n validity = \"48h\""), Taint: []string{name}, ExpectError: says("one half of a replacement")},
		tftest.TestStep{Config: config("name = \"prod\"\n validity = \"48h\""), Destroy: true},
	)
}

// TestAuthoritiesAboutToExpire holds that plans warn of authorities that are about to expire: all certificates of the
// cluster would end on one day, and nothing else warns long before it.
func TestAuthoritiesAboutToExpire(t *testing.T) {
	w := newWorld(t)
	config := strings.Replace(three(unprotected), `{ name = "prod" }`, "{\n name = \"prod\"\n validity = \"26280h\"\n}", 1)
	said := func(left time.Duration, warns bool) tftest.TestStep {
		return tftest.TestStep{
			PreConfig: func() { w.Clock = w.Clock.Add(26280*time.Hour - left); w.warned() }, Config: config,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(map[string]any, map[string]any) error {
				w.Clock = w.Clock.Add(left - 26280*time.Hour)
				text := w.warned()
				for _, part := range []string{`The authority "etcd prod peers" of cluster prod expires at`, "rotation of etcd_pki"} {
					if strings.Contains(text, part) != warns {
						return fmt.Errorf("%s before the end it says %q", left, text)
					}
				}
				return nil
			})}},
		}
	}
	w.run(t, tftest.TestStep{Config: config}, said(181*24*time.Hour, false), said(179*24*time.Hour, true))
}

// TestSameAuthorityInAnotherText holds that the same certificate with other lines around it, as a vault or openssl
// writes it, changes nothing: no cluster is refused, and no client gets another certificate.
func TestSameAuthorityInAnotherText(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "app")
	config := func(authority string) string {
		return of("a b c", unprotected) + fmt.Sprintf(`
			resource "etcd_certificate" "client" {
				pki              = local.pki
				common_name      = "app"
				private_key_file = %q
				ca_certificate_file = "%s.ca"
			}
			locals {
				pki = %s
			}`, file, file, authority)
	}
	own := func(text string) string { return strings.Replace(text, "etcd_pki.prod.authority", "local.pki", 1) }
	const reworded = `{ for role, pair in etcd_pki.prod.authority : role => pair == null ? null : {
		certificate = "Certificate:\n    Version: 3\n${replace(pair.certificate, "\n", "\r\n")}\n"
		private_key = pair.private_key
	} }`
	changes := 0
	w.run(t,
		tftest.TestStep{Config: own(config("etcd_pki.prod.authority")), Check: func(*terraform.State) error { w.Forget(); return nil }},
		tftest.TestStep{Config: own(config(reworded)), PlanOnly: true},
		tftest.TestStep{Config: own(config(reworded)), Check: func(*terraform.State) error { changes = len(w.changes()); return nil }})
	if changes > 0 {
		t.Errorf("hosts were changed: %v", w.changes())
	}
}

// TestAuthoritiesGo removes the authorities from the configuration: the plan says what is lost with them, and what to
// do first. The plan refuses to replace authorities that a cluster depends on.
func TestAuthoritiesGo(t *testing.T) {
	w := newWorld(t)
	kept := strings.ReplaceAll(three(unprotected), "etcd_pki.prod", "etcd_pki.kept")
	kept = strings.Replace(kept, `"etcd_pki" "prod"`, `"etcd_pki" "kept"`, 1)
	both := kept + "\n" + `resource "etcd_pki" "prod" { name = "prod" }`
	w.run(t,
		tftest.TestStep{Config: both},
		tftest.TestStep{
			PreConfig: func() { w.warned() }, Config: kept,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction("etcd_pki.prod", plancheck.ResourceActionDestroy),
				planned(func(map[string]any, map[string]any) error {
					if text := w.warned(); !strings.Contains(text, "The keys of the authorities of prod are lost") || !strings.Contains(text, "give it other authorities first") {
						return fmt.Errorf("it says %q", text)
					}
					return nil
				}),
			}},
		},
		tftest.TestStep{Config: kept, Taint: []string{"etcd_pki.kept"}, ExpectError: saysInOrder("The authority has to be known at plan time", "The certificate of pki.peer and of pki.client is known after apply", "terraform untaint")},
	)
}
