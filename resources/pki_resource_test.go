package resources_test

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
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
				tftest.TestCheckResourceAttrWith(name, "client_ca_certificate", func(text string) error {
					block, _ := pem.Decode([]byte(text))
					parsed, err := x509.ParseCertificate(block.Bytes)
					if err == nil && !parsed.NotAfter.Equal(w.Clock.Add(48*time.Hour)) {
						t.Errorf("it holds until %s", parsed.NotAfter)
					}
					return err
				})),
		},
		tftest.TestStep{ // The same, spelled otherwise.
			Config: config("name = \"prod\"\n validity = \"2880m\""),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(name, plancheck.ResourceActionUpdate),
			}},
		},
		tftest.TestStep{Config: config("name = \"prod\"\n validity = \"49h\""), ExpectError: says(`Put back "2880m"`)},
		tftest.TestStep{Config: config("name = \"other\"\n validity = \"48h\""), ExpectError: says(`Put back "prod"`)},
		tftest.TestStep{Config: config("name = \"prod\"\n validity = \"48h\"\n algorithm = \"ecdsa-p384\""), ExpectError: says(`Put back "ecdsa-p256"`)},
		tftest.TestStep{Config: config("name = \"prod\"\n validity = \"48h\""), Taint: []string{name}, ExpectError: says("one half of a replacement")},
		tftest.TestStep{Config: config("name = \"prod\"\n validity = \"48h\""), Destroy: true},
	)
}
