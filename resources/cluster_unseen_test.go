package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// TestAuthoritiesAreNotExchangedUnseen: an apply exchanges no authority whose plan did not show which one comes: not those that sign, and
// none that is trusted now goes. One that is trusted in addition may be made by the same apply, as in a rotation.
func TestAuthoritiesAreNotExchangedUnseen(t *testing.T) {
	w := newWorld(t)
	turn := 0
	config := func(later, pki string) string {
		turn++ // so that what comes later is not known at plan time
		return strings.Replace(three(line), "etcd_pki.prod.authority", pki, 1) + otherPKI +
			fmt.Sprintf("\nresource \"terraform_data\" \"later\" {\n input = { pki = %s, turn = %d }\n}\n", later, turn)
	}
	const prod, other, laterPKI = "etcd_pki.prod.authority", "etcd_pki.other.authority", "terraform_data.later.output.pki"
	trusting := func(by, beside string) string {
		return fmt.Sprintf("{ peer = %[1]s.peer, client = %[1]s.client, trusted = { peer = %[2]s.peer, client = %[2]s.client } }", by, beside)
	}
	refused := func(config string, says ...string) tftest.TestStep {
		return tftest.TestStep{Config: config, ExpectError: saysInOrder(append([]string{"known at plan time"}, says...)...)}
	}
	half := func(peer, client string) string {
		return fmt.Sprintf("{ peer = %s.peer, client = %s.client }", peer, client)
	}
	w.run(t,
		tftest.TestStep{Config: config(prod, laterPKI), Check: w.issuedBy("prod", "prod")}, // a new cluster has nothing to lose
		refused(config(other, laterPKI), "The certificate of pki.peer and of pki.client is known after apply", "terraform apply -target", "import"),
		refused(config(prod, laterPKI), "The certificate of pki.peer"), // who knows
		refused(config(other, half(laterPKI, prod)), "The certificate of pki.peer"),
		refused(config(other, half(prod, laterPKI)), "The certificate of pki.client"),
		refused(strings.Replace(config(prod, "etcd_pki.next.authority"), otherPKI, otherPKI+"\nresource \"etcd_pki\" \"next\" { name = \"next\" }\n", 1), "The certificate of pki.peer"),
		tftest.TestStep{
			Config: config(other, trusting(prod, laterPKI)), Check: w.issuedBy("prod", "prod", "other"),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				purpose(""), plancheck.ExpectUnknownValue(cluster, tfjsonpath.New("peer_ca_certificate")), plancheck.ExpectUnknownValue(cluster, tfjsonpath.New("client_ca_certificate")),
			}},
		},
		// By now both are trusted, and what comes later might leave one out.
		refused(config(prod, trusting(prod, laterPKI)), "The certificate of pki.trusted.peer"),
		tftest.TestStep{Config: config(prod, prod), Check: w.issuedBy("prod", "prod")},
	)
}
