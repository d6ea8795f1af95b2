package resources_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
)

func TestEphemeralCertificate(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{
		Config: `
			resource "etcd_pki" "prod" { name = "prod" }
			ephemeral "etcd_certificate" "app" {
				pki         = etcd_pki.prod.client_authority
				common_name = "app"
				alternative_names = ["proxy.example.com"]
				usages = ["client_auth", "server_auth"]
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
			if !slices.Equal(pair.Leaf.DNSNames, []string{"proxy.example.com"}) || !slices.Contains(pair.Leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
				return fmt.Errorf("its names are %q, and its usages %v", pair.Leaf.DNSNames, pair.Leaf.ExtKeyUsage)
			}
			return tftest.TestCheckResourceAttrPair("etcd_pki.prod", "client_ca_certificate", "echo.seen", "data.ca_certificate")(s)
		},
	})
}

// TestEphemeralCertificateOfAnIntermediate holds that the chain of the authority follows an ephemeral certificate.
func TestEphemeralCertificateOfAnIntermediate(t *testing.T) {
	w := newWorld(t)
	of, company := newChained(t, w.Clock)
	w.run(t, tftest.TestStep{
		Config: fmt.Sprintf(`
			ephemeral "etcd_certificate" "app" {
				pki         = { client = { certificate = %q, private_key = %q } }
				common_name = "app"
			}
			provider "echo" { data = ephemeral.etcd_certificate.app }
			resource "echo" "seen" {}`, of.clients.PEM(of.above...), of.clients.KeyPEM(t)),
		Check: func(s *terraform.State) error {
			seen := s.RootModule().Resources["echo.seen"].Primary.Attributes
			if got := seen["data.ca_certificate"]; got != of.clients.PEM() {
				return fmt.Errorf("what is to be trusted is\n%s", got)
			}
			return pki.Verify([]byte(seen["data.certificate"]), []byte(company.Root.PEM()), pki.Client, w.Clock)
		},
	})
}

// TestEphemeralPKI makes authorities for one run, which a vault is to keep. No state holds any of them.
func TestEphemeralPKI(t *testing.T) {
	w := newWorld(t)
	config := func(more string) string {
		return "ephemeral \"etcd_pki\" \"new\" {\n name = \"prod\"\n " + more + "\n}\nprovider \"echo\" { data = ephemeral.etcd_pki.new }\nresource \"echo\" \"seen\" {}\n"
	}
	w.run(t,
		tftest.TestStep{Config: config(`validity = "1m"`), ExpectError: says("a certificate would be over before it is of use")},
		tftest.TestStep{Config: config(`algorithm = "ecdsa-p384"`), Check: func(s *terraform.State) error {
			seen := s.RootModule().Resources["echo.seen"].Primary.Attributes
			for role, name := range map[string]string{"peer": pki.PeersName("prod"), "client": pki.ClientsName("prod")} {
				read, err := pki.ParseAuthority([]byte(seen["data."+role+".certificate"]), []byte(seen["data."+role+".private_key"]), w.Clock)
				if err != nil {
					return err
				}
				info, err := cert.Inspect(read.CertificatePEM())
				if err != nil || info.CommonName != name || seen["data.expires_at"] != info.NotAfter.UTC().Format(time.RFC3339) {
					return fmt.Errorf("%s: %s until %s, not %s: %w", role, info.CommonName, info.NotAfter, seen["data.expires_at"], err)
				}
				if algorithm, err := authority.Algorithm(string(read.CertificatePEM())); err != nil || algorithm != "ecdsa-p384" {
					return fmt.Errorf("%s: %s, %w", role, algorithm, err)
				}
			}
			if len(s.RootModule().Resources) != 1 {
				return fmt.Errorf("the state has %v", s.RootModule().Resources)
			}
			return nil
		}},
	)
}

// TestEphemeralPKIGivenAtOnce holds that authorities which nobody has kept sign nothing that stays. The apply makes
// other authorities and would contradict its plan, and the next run could issue no certificate.
func TestEphemeralPKIGivenAtOnce(t *testing.T) {
	const made = "ephemeral \"etcd_pki\" \"new\" {\n name = \"prod\"\n}\n"
	cluster := strings.Replace(strings.Replace(three(unprotected), `resource "etcd_pki" "prod" { name = "prod" }`, made, 1), "etcd_pki.prod.authority",
		"{ peer = ephemeral.etcd_pki.new.peer, client = ephemeral.etcd_pki.new.client }", 1)
	_, csr := madeKey(t)
	certificate := made + fmt.Sprintf("resource \"etcd_certificate\" \"app\" {\n pki = { client = ephemeral.etcd_pki.new.client }\n common_name = \"app\"\n csr = %q\n}", csr)
	for name, config := range map[string]string{"a cluster": cluster, "a certificate": certificate} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.run(t, tftest.TestStep{Config: config, ExpectError: says("Nobody has kept this authority")})
		})
	}
}
