package resources_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/pkitest"
)

// TestCertificateNamesAndUsages holds that a certificate has the configured names and usages, and that a request may
// hold these names and no others. Other names or usages need another certificate for the same key.
func TestCertificateNamesAndUsages(t *testing.T) {
	of := func(key, more string) string { return client("%s\n%s", key, more) }
	const names = `alternative_names = ["proxy.example.com", "192.0.2.80", "2001:db8::80"]`
	const both = `usages = ["client_auth", "server_auth"]`
	asked := fmt.Sprintf("csr = %q", request(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "app"}, DNSNames: []string{"proxy.example.com"}}))
	bare := fmt.Sprintf("csr = %q", request(t, x509.CertificateRequest{}))
	issued := func(names string, usages ...x509.ExtKeyUsage) tftest.TestCheckFunc {
		return tftest.TestCheckResourceAttrWith(certificate, "certificate", func(text string) error {
			block, _ := pem.Decode([]byte(text))
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return err
			}
			if got := fmt.Sprint(leaf.DNSNames, leaf.IPAddresses); got != names || !slices.Equal(leaf.ExtKeyUsage, usages) {
				return fmt.Errorf("it is for %s, with usages %v", got, leaf.ExtKeyUsage)
			}
			return nil
		})
	}
	changed := tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purposeOf{certificate, "change"}}, PostApplyPostRefresh: []plancheck.PlanCheck{purposeOf{certificate, "none"}}}
	stays := tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purposeOf{certificate, "none"}}, PostApplyPostRefresh: []plancheck.PlanCheck{purposeOf{certificate, "none"}}}
	var serial string
	const all = "[proxy.example.com] [192.0.2.80 2001:db8::80]"
	newWorld(t).run(t,
		tftest.TestStep{Config: of(bare, `alternative_names = ["*.example.com"]`), ExpectError: says("this is neither an IP address nor a DNS name")},
		tftest.TestStep{Config: of(bare, `alternative_names = []`), ExpectError: says("must contain at least 1")},
		tftest.TestStep{Config: of(bare, `usages = ["code_signing"]`), ExpectError: says("value must be one of")},
		tftest.TestStep{Config: of(bare, `usages = ["server_auth"]`), ExpectError: says(`usages has to have "client_auth"`)},
		tftest.TestStep{Config: of(asked, ""), ExpectError: says(`holds what was not requested: DNS name "proxy.example.com"`)},
		tftest.TestStep{Config: of(asked, names), Check: issued(all, x509.ExtKeyUsageClientAuth)},
		tftest.TestStep{Config: of(asked, names+"\n"+both), ConfigPlanChecks: changed, Check: issued(all, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)},
		tftest.TestStep{Config: of(bare, both), ConfigPlanChecks: changed, Check: issued("[] []", x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)},
		tftest.TestStep{Config: of(bare, names), ConfigPlanChecks: changed, Check: issued(all, x509.ExtKeyUsageClientAuth)},
		tftest.TestStep{Config: of(bare, ""), ConfigPlanChecks: changed, Check: tftest.ComposeAggregateTestCheckFunc(issued("[] []", x509.ExtKeyUsageClientAuth), serials(&serial, true))},
		// Writing the default out, or leaving it out again, needs no other certificate.
		tftest.TestStep{Config: of(bare, `usages = ["client_auth"]`), ConfigPlanChecks: stays, Check: serials(&serial, false)},
		tftest.TestStep{Config: of(bare, ""), ConfigPlanChecks: stays, Check: serials(&serial, false)},
	)
}

// TestNamesThatTheAuthorityDoesNotPermit holds that the plan refuses a certificate whose names are outside the name
// constraints of the authority: nobody would trust the certificate.
func TestNamesThatTheAuthorityDoesNotPermit(t *testing.T) {
	w := newWorld(t)
	_, csr := madeKey(t)
	company := pkitest.New(t, w.Clock, func(template *x509.Certificate) {
		template.PermittedDNSDomains = []string{"example.com"}
		template.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(192, 0, 2, 0).To4(), Mask: net.CIDRMask(24, 32)}}
	})
	config := func(names string) string {
		return fmt.Sprintf(`
			resource "terraform_data" "later" { input = "proxy.example.net" }
			resource "etcd_certificate" "client" {
				common_name       = "app"
				csr               = %q
				alternative_names = [%s]
				pki               = { client = { certificate = %q, private_key = %q } }
			}`, csr, names, company.Signs.PEM(company.Middle, company.Root), company.Signs.KeyPEM(t))
	}
	planRefuses := func(names, why string) tftest.TestStep {
		return tftest.TestStep{Config: config(names), ExpectError: saysInOrder("The authority does not permit these names", why, "No file was changed")}
	}
	w.run(t,
		planRefuses(`"proxy.example.net"`, `proxy.example.net is outside the name constraints of the authority "company etcd"`),
		planRefuses(`"proxy.example.com", "198.51.100.7"`, `198.51.100.7 is outside the name constraints`),
		tftest.TestStep{Config: config("terraform_data.later.output"), ExpectError: saysApply("The authority does not permit these names", "proxy.example.net")},
		tftest.TestStep{Config: config(`"proxy.example.com", "192.0.2.80"`)},
		planRefuses(`"proxy.example.net"`, "proxy.example.net is outside"),
	)
}
