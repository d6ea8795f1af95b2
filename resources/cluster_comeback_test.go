package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// TestHostThatComesBack has a host come back whose member was replaced while the host was unreachable. It brings its
// old data and marker, under its member's name or another one: the first plan shows that the data is moved aside, and
// one apply does everything.
func TestHostThatComesBack(t *testing.T) {
	for name, test := range map[string]struct {
		to     string
		before func(*world)
		within func(*world) // between plan and apply
	}{
		"under its name":    {to: of("a b c", unprotected)},
		"as another member": {to: of("a b c@21 d@13 e@14", unprotected)},
		"the provider's settings are known at apply": {
			to:     of("a b c", unprotected),
			before: func(w *world) { w.notKnown = true },
			within: func(w *world) { w.notKnown = false },
		},
		"as another member, the way to it is known at apply": {
			to: strings.Replace(of("a b c@21 d@13 e@14", unprotected), `"192.0.2.13" }`, `"192.0.2.13", ssh_user = terraform_data.late.output }`, 1) +
				"\nresource \"terraform_data\" \"late\" { input = \"ops\" }\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			foreseen := test.before == nil && !strings.Contains(test.to, "late")
			w.run(t, w.begun(t, three(unprotected)),
				tftest.TestStep{PreConfig: func() { w.host(13).Unreachable = errGone }, Config: of("a b c@21", unprotected)},
				tftest.TestStep{RefreshState: true},
				tftest.TestStep{
					PreConfig: func() {
						w.host(13).Unreachable = nil
						w.Forget()
						if test.before != nil {
							test.before(w)
						}
					},
					Config: test.to,
					ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, unknown map[string]any) error {
						if test.within != nil {
							test.within(w)
						}
						if unknown["rollout"] != true {
							return fmt.Errorf("rollout is promised")
						}
						if warned := w.warned(); foreseen && !strings.Contains(warned, "(192.0.2.13): it is no longer in the member list, and joins anew") {
							return fmt.Errorf("the plan does not say what becomes of what is there:\n%s", warned)
						}
						return nil
					})}},
					Check: func(s *terraform.State) error {
						if aside := w.host(13).Aside(dir); len(aside) != 1 {
							return fmt.Errorf("aside lies %v", aside)
						}
						return w.allWell(s)
					},
				},
				tftest.TestStep{Config: test.to, PlanOnly: true},
			)
		})
	}
}
