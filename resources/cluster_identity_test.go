package resources

import (
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// by gives a member another way to its host: by names its last byte.
func by(config, address, last string) string {
	was := `{ address = "` + address + `" }`
	return strings.Replace(config, was, `{ address = "`+address+`", ssh_address = "192.0.2.`+last+`" }`, 1)
}

// TestRoutesThatMislead: a way that leads to another machine than its member's is not kept, and nothing is done by it.
func TestRoutesThatMislead(t *testing.T) {
	w := newWorld(t)
	config := three(unprotected)
	mistaken := func(config, text string) tftest.TestStep {
		return tftest.TestStep{PreConfig: w.Forget, Config: config, ExpectError: says(text)}
	}
	settled := tftest.TestStep{Config: config, PlanOnly: true}
	w.run(t, w.begun(t, config),
		mistaken(by(by(config, "192.0.2.11", "12"), "192.0.2.12", "11"), "the way to it leads to the machine of member b"), settled,
		mistaken(by(config, "192.0.2.11", "12"), "the way to it leads to the machine of member b"), settled,
		mistaken(by(config, "192.0.2.11", "21"), "this way leads to another machine than the one that the member was last seen on"), settled,
		// Another address of the machine that c is on.
		mistaken(by(of("a b c@23", unprotected), "192.0.2.23", "13"), "this is another address of the machine that carries c already"), settled,
		tftest.TestStep{Config: config, Check: w.untouched},
	)
}
