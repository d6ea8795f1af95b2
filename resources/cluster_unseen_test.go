package resources_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
)

// TestAuthoritiesAreNotExchangedUnseen holds that an apply exchanges no authority unless its plan showed the new one:
// neither those that sign nor those that are trusted. The same apply may make an additional trusted authority, as in a
// rotation.
func TestAuthoritiesAreNotExchangedUnseen(t *testing.T) {
	w := newWorld(t)
	turn := 0
	config := func(later, pki string) string {
		turn++ // the later value is unknown at plan time
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
		// A new cluster has nothing to lose.
		tftest.TestStep{Config: config(prod, laterPKI), Check: w.issuedBy("prod", "prod")},
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
		// Both are trusted by now, and a later value might leave one out.
		refused(config(prod, trusting(prod, laterPKI)), "The certificate of pki.trusted.peer"),
		tftest.TestStep{Config: config(prod, prod), Check: w.issuedBy("prod", "prod")},
	)
}

// TestAuthorityIsRefusedAtPlan holds that an authority with which no apply could sign is refused before the apply: by
// the validation, or by the plan if that takes a clock.
func TestAuthorityIsRefusedAtPlan(t *testing.T) {
	w := newWorld(t)
	with := func(pki string) string {
		return strings.Replace(three(line), "etcd_pki.prod.authority", pki, 1)
	}
	made := func(name string, lifetime time.Duration, at time.Time) string {
		authorities, err := pki.NewAuthorities(name, pki.DefaultAlgorithm, lifetime, at)
		if err != nil {
			t.Fatal(err)
		}
		both, err := authority.Of(authorities)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("{ peer = { certificate = %q, private_key = %q }, client = { certificate = %q, private_key = %q } }",
			both.Peer.Certificate.ValueString(), both.Peer.PrivateKey.Reveal(), both.Client.Certificate.ValueString(), both.Client.PrivateKey.Reveal())
	}
	late, over := made("late", time.Hour, w.Clock.Add(24*time.Hour)), made("over", time.Hour, w.Clock.Add(-24*time.Hour))
	w.run(t,
		tftest.TestStep{Config: with(`{ peer = etcd_pki.prod.authority.peer, client = { certificate = "x", private_key = "y" } }`), ExpectError: saysInOrder("pki.client: read the authority's certificate")},
		tftest.TestStep{Config: with(late), ExpectError: saysInOrder("The authority is not valid yet", `The authority "etcd late peers" (pki.peer) is valid from`)},
		tftest.TestStep{Config: with(over), ExpectError: saysInOrder("The authority has expired")},
		tftest.TestStep{Config: with("etcd_pki.prod.authority")},
		tftest.TestStep{Config: with(late), ExpectError: saysInOrder("The authority is not valid yet", "pki.trusted")},
	)
}
