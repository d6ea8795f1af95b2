package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// TestZones holds that a plan warns of a zone whose loss costs the quorum, once: when members or zones change.
func TestZones(t *testing.T) {
	in := func(zones string) string { return zoned(three(unprotected), quoted(zones)...) }
	const warning = "The loss of one zone is the loss of the quorum: Zone r1 holds 2 of 3 members, and the other 1 are no quorum (2)"
	w := newWorld(t)
	plan := func(zones string, warns bool) tftest.TestStep {
		return tftest.TestStep{
			PreConfig: func() { w.warned() },
			Config:    in(zones),
			Check: func(*terraform.State) error {
				if text := w.warned(); strings.Contains(text, warning) != warns {
					return fmt.Errorf("zones %q: it warns of %q", zones, text)
				}
				return nil
			},
		}
	}
	// A member without a zone is in none of those that are known: a and b are too many already.
	w.run(t, plan("r1 r2", false), plan("r1 r1", true), plan("r1 r2 r3", false), plan("r1 r1 r2", true), plan("r1 r1 r2", false), plan("r2 r1 r3", false))
}

// TestZonesOrderRolls has members restarted zone by zone, as the plan shows. While a zone is unknown, the steps that it
// orders are unknown, and no others.
func TestZonesOrderRolls(t *testing.T) {
	w := newWorld(t)
	rolls := func(want string) plancheck.PlanCheck {
		return planned(func(after, unknown map[string]any) error {
			var rolled []string
			for _, step := range texts(after["rollout"]) {
				if name, is := strings.CutPrefix(step, "roll "); is {
					rolled = append(rolled, name[:1])
				}
			}
			if got := strings.Join(rolled, " "); got != want || (unknown["rollout"] == true) != (want == "") {
				return fmt.Errorf("rolled are %q (unknown: %v), want %q", got, unknown["rollout"], want)
			}
			return nil
		})
	}
	count := func(n int) string { return unprotected + fmt.Sprintf("settings = { snapshot_count = %d }\n", n) }
	step := func(config, want string) tftest.TestStep {
		return tftest.TestStep{PreConfig: w.Forget, Config: config, ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{rolls(want)}}, Check: w.allWell}
	}
	later := "resource \"terraform_data\" \"rack\" { input = \"r1\" }\n"
	w.run(t,
		tftest.TestStep{Config: three(unprotected)}, // a leads
		step(zoned(three(count(5000)), quoted("r1 r3 r2")...), "c b a"),
		step(zoned(three(count(6000)), quoted("r1 r2 r2")...), "a c b"), // b leads by now
		step(later+zoned(three(count(7000)), `"r1"`, `"r2"`, "terraform_data.rack.output"), ""),
	)
}

// zoned gives the members of a configuration zones, as expressions.
func zoned(config string, zones ...string) string {
	for i, zone := range zones {
		address := fmt.Sprintf("address = %q", fmt.Sprintf("192.0.2.%d", 11+i))
		config = strings.Replace(config, address, address+", zone = "+zone, 1)
	}
	return config
}

// quoted returns words as expressions.
func quoted(words string) (expressions []string) {
	for word := range strings.FieldsSeq(words) {
		expressions = append(expressions, fmt.Sprintf("%q", word))
	}
	return expressions
}
