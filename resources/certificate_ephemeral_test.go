package resources_test

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

func TestEphemeralCertificate(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{
		Config: `
			resource "etcd_pki" "prod" { name = "prod" }
			ephemeral "etcd_certificate" "app" {
				pki         = etcd_pki.prod.client_authority
				common_name = "app"
			}
			provider "echo" { data = ephemeral.etcd_certificate.app }
			resource "echo" "seen" {}`,
		Check: func(s *terraform.State) error {
			seen := s.RootModule().Resources["echo.seen"].Primary.Attributes
			pair, err := tls.X509KeyPair([]byte(seen["data.certificate"]), []byte(seen["data.private_key"]))
			if err != nil {
				return err
			}
			if pair.Leaf.Subject.CommonName != "app" || !pair.Leaf.NotAfter.Equal(w.Clock.Add(time.Hour)) {
				return fmt.Errorf("it is for %s until %s", pair.Leaf.Subject, pair.Leaf.NotAfter)
			}
			return tftest.TestCheckResourceAttrPair("etcd_pki.prod", "client_ca_certificate", "echo.seen", "data.ca_certificate")(s)
		},
	})
}
