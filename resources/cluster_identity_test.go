package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// by gives a member another route to its host, named by the last byte of its address.
func by(config, address, last string) string {
	was := `{ address = "` + address + `" }`
	return strings.Replace(config, was, `{ address = "`+address+`", ssh_address = "192.0.2.`+last+`" }`, 1)
}

// TestRoutesThatMislead holds that a route which leads to another machine than the member's is not kept, and that
// nothing is done over it.
func TestRoutesThatMislead(t *testing.T) {
	w := newWorld(t)
	config := three(unprotected)
	mistaken := func(config, text string) tftest.TestStep {
		return tftest.TestStep{PreConfig: w.Forget, Config: config, ExpectError: says(text)}
	}
	settled := tftest.TestStep{Config: config, PlanOnly: true}
	w.run(t, w.begun(t, config),
		mistaken(by(by(config, "192.0.2.11", "12"), "192.0.2.12", "11"), "its address leads to the machine of member b"), settled,
		mistaken(by(config, "192.0.2.11", "12"), "its address leads to the machine of member b"), settled,
		mistaken(by(config, "192.0.2.11", "21"), "its address leads to a machine that carries nothing of it, while the member has connections with b, c"), settled,
		// Another route to c's machine, which does not have that address.
		mistaken(by(of("a b c@23", unprotected), "192.0.2.23", "13"), "none of its interfaces has the address 192.0.2.23"), settled,
		tftest.TestStep{Config: config, Check: w.untouched},
		// Nobody is connected with a member that is down.
		tftest.TestStep{PreConfig: func() { w.Host("192.0.2.11").StopUnit("prod") }, Config: by(config, "192.0.2.11", "21"),
			ExpectError: says("this address leads to another machine than the one that the member was last seen on")},
	)
}

// TestReaddressing gives members other addresses on their machines. The first plan says so if it may observe hosts. If
// it may not, the apply finds out and refuses, and the next plan knows. IDs and data stay.
func TestReaddressing(t *testing.T) {
	for name, looks := range map[string]bool{"the plan looks": true, "the plan does not look": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			settings := unprotected
			if !looks {
				settings += "\n  preflight_at_plan = false"
			}
			config := three(settings)
			moved := of("a b c@53", settings)
			w.Readdress("192.0.2.13", "192.0.2.53")
			id := func() string { return w.Host("192.0.2.13").Marker("prod").MemberID }
			var was string
			steps := []tftest.TestStep{w.begun(t, config)}
			if !looks {
				steps = append(steps, tftest.TestStep{PreConfig: w.Forget, Config: moved, ExpectError: says("readdress c (192.0.2.53): from 192.0.2.13")}, tftest.TestStep{Config: config, PlanOnly: true})
			}
			steps = append(steps,
				tftest.TestStep{PreConfig: func() { was = id() }, Config: moved, Check: func(*terraform.State) error {
					if id() != was {
						return fmt.Errorf("c is %s by now, and was %s", id(), was)
					}
					if got := w.Host("192.0.2.13").Marker("prod").InitialCluster; !strings.Contains(got, "c=https://192.0.2.53:2380") {
						return fmt.Errorf("its marker names %s", got)
					}
					return nil
				}},
				tftest.TestStep{Config: moved, PlanOnly: true},
				// All members at once, on machines that have both addresses.
				tftest.TestStep{PreConfig: func() {
					w.Readdress("192.0.2.11", "192.0.2.51")
					w.Readdress("192.0.2.12", "192.0.2.52")
				}, Config: of("a@51 b@52 c@53", strings.Replace(settings, "\n  preflight_at_plan = false", "", 1))},
				tftest.TestStep{Config: of("a@51 b@52 c@53", unprotected), PlanOnly: true},
			)
			w.run(t, steps...)
		})
	}
}

// TestReaddressingThatWasKilled kills the provider in the middle of the re-addressing of all members: the next apply
// continues, whether none, some or all of them have their new addresses.
func TestReaddressingThatWasKilled(t *testing.T) {
	for _, fault := range []nodetest.Fault{
		{Operation: api.OpUpdateMember, Nth: 1, After: true}, {Operation: api.OpUpdateMember, Nth: 2}, {Operation: api.OpUpdateMember, Nth: 2, After: true},
		{Operation: api.OpUpdateMember, Nth: 3, After: true}, {Operation: api.OpRestart, Nth: 3, After: true}, {Operation: api.OpConfigure, Nth: 9}, {Operation: api.OpConfigure, Nth: 11},
	} {
		t.Run(fmt.Sprintf("%s %d %t", fault.Operation, fault.Nth, fault.After), func(t *testing.T) {
			w := newWorld(t)
			moved := of("a@51 b@52 c@53", unprotected)
			fault.Extent = nodetest.Run
			w.run(t, w.begun(t, three(unprotected)),
				tftest.TestStep{PreConfig: func() {
					for last := 11; last <= 13; last++ {
						w.Readdress(fmt.Sprintf("192.0.2.%d", last), fmt.Sprintf("192.0.2.%d", last+40))
					}
					w.Inject(fault)
					w.dies = true
				}, Config: moved, ExpectError: says("the connection was lost")},
				tftest.TestStep{PreConfig: func() { w.Heal(); w.dies = false; w.steps() }, Config: moved, Check: w.allWell},
				tftest.TestStep{Config: moved, PlanOnly: true},
			)
		})
	}
}

// TestReaddressingThatOnlyTheApplyCanFind has a plan that could not find out whether a new address is of the member's
// own machine, and an apply that can: the plan leaves open what the apply may find. The steps are those of a
// re-address, and the ID stays.
func TestReaddressingThatOnlyTheApplyCanFind(t *testing.T) {
	output := func(config, was string) string {
		return strings.Replace(config, was, "terraform_data.late.output", 1) + "\nresource \"terraform_data\" \"late\" { input = " + was + " }\n"
	}
	for name, test := range map[string]struct {
		to     func(config string) string
		before func(*world)
		within func(*world) // between plan and apply
	}{
		"the provider's settings are known at apply": {
			before: func(w *world) { w.notKnown = true },
			within: func(w *world) { w.notKnown = false },
		},
		"the way to the host is": {to: func(config string) string {
			return output(strings.Replace(config, `"192.0.2.53" }`, `"192.0.2.53", ssh_user = "ops" }`, 1), `"ops"`)
		}},
		"preflight_at_plan is": {to: func(config string) string {
			return output(strings.Replace(config, "members =", "preflight_at_plan = true\n members =", 1), "true")
		}},
		"the host is slow to answer": {before: func(w *world) { w.slow = "192.0.2.53" }, within: func(w *world) { w.slow = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Readdress("192.0.2.13", "192.0.2.53")
			moved := of("a b c@53", unprotected)
			if test.to != nil {
				moved = test.to(moved)
			}
			was := ""
			id := func() string { return w.Host("192.0.2.13").Marker("prod").MemberID }
			w.run(t, w.begun(t, three(unprotected)), tftest.TestStep{RefreshState: true},
				tftest.TestStep{PreConfig: func() {
					was = id()
					if test.before != nil {
						test.before(w)
					}
				}, Config: moved, ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, unknown map[string]any) error {
					if test.within != nil {
						test.within(w)
					}
					if unknown["rollout"] != true {
						return fmt.Errorf("rollout is promised")
					}
					return nil
				})}}, Check: func(s *terraform.State) error {
					if id() != was {
						return fmt.Errorf("c is %s by now, and was %s", id(), was)
					}
					return values("rollout.0", "snapshot b (192.0.2.12): verified, kept on the host", "rollout.1", "readdress c (192.0.2.53): from 192.0.2.13, with its data and its ID; voters 3, quorum 2, healthy 2 meanwhile")(s)
				}},
				tftest.TestStep{Config: moved, PlanOnly: true},
			)
		})
	}
}
