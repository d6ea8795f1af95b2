package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// TestAddressesAreExchanged has the machines of two members exchange their addresses. One apply cannot follow that, and
// the remedies of the refusal work: with a quorum of other members by new addresses, and otherwise one member after
// another.
func TestAddressesAreExchanged(t *testing.T) {
	address := func(last int) string { return fmt.Sprintf("192.0.2.%d", last) }
	pass := func(w *world, last, to int) { // an address moves from one machine to the machine that has the other
		w.LoseAddress(address(last))
		w.Pass(address(last), address(to))
	}
	exchanged := func(w *world) tftest.TestCheckFunc {
		return func(s *terraform.State) error {
			for key, value := range s.RootModule().Resources[cluster].Primary.Attributes {
				if strings.HasSuffix(key, ".peer_url") && strings.Contains(value, "192.0.2.6") {
					return fmt.Errorf("%s is %s", key, value)
				}
			}
			return w.allWell(s)
		}
	}
	t.Run("two of five", func(t *testing.T) {
		w := newWorld(t)
		w.Readdress(address(11), address(61))
		w.Readdress(address(12), address(62))
		to := of("a@12 b@11 c d e", unprotected)
		w.run(t, w.begun(t, of("a b c d e", unprotected)),
			tftest.TestStep{PreConfig: func() {
				w.LoseAddress(address(11))
				w.LoseAddress(address(12))
				w.Pass(address(11), address(62))
				w.Pass(address(12), address(61))
			}, Config: to, ExpectError: saysInOrder("A host carries one member at a time", "Give each of these machines an address that none of them has had", "one member after another")},
			tftest.TestStep{Config: of("a@61 b@62 c d e", unprotected), Check: w.allWell},
			tftest.TestStep{Config: to, Check: exchanged(w)},
			tftest.TestStep{Config: to, PlanOnly: true},
		)
	})
	t.Run("two of three, one after another", func(t *testing.T) {
		w := newWorld(t)
		w.Readdress(address(11), address(61))
		to := of("a@12 b@11 c", unprotected)
		w.run(t, w.begun(t, three(unprotected)),
			tftest.TestStep{Config: of("a@61 b c", unprotected), Check: w.allWell},
			tftest.TestStep{PreConfig: func() { pass(w, 11, 12) }, Config: of("a@61 b@11 c", unprotected), Check: w.allWell},
			tftest.TestStep{PreConfig: func() { pass(w, 12, 61) }, Config: to, Check: exchanged(w)},
			tftest.TestStep{Config: to, PlanOnly: true},
		)
	})
}
