package resources_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestUnfinishedChange holds that an apply which failed or was killed leaves a state from which the next one continues.
func TestUnfinishedChange(t *testing.T) {
	for name, test := range map[string]struct {
		from, to string
		happen   func(*world)
		fault    nodetest.Fault
		killed   bool     // the provider, before it could answer
		says     string   // by the apply that fails
		left     []string // steps of the next apply, in this order, among others
		not      []string // steps that the next apply must not have
		known    bool     // whether the next plan shows them
	}{
		"a roll, before the second": {
			from: three(unprotected), to: three(unprotected + "settings = { snapshot_count = 5000 }"),
			fault: nodetest.Fault{Operation: api.OpRestart, Nth: 2, Err: &api.Error{Code: api.CodeFailed, Message: "its unit is masked"}},
			says:  "its unit is masked", known: true,
			left: []string{"flags --snapshot-count"}, not: []string{"roll b (192.0.2.12)"},
		},
		"killed in a roll": {
			from: three(unprotected), to: three(unprotected + "settings = { snapshot_count = 5000 }"),
			fault: nodetest.Fault{Operation: api.OpRestart, Nth: 2, Extent: nodetest.Run}, says: "the connection was lost", known: true, killed: true,
			left: []string{"flags --snapshot-count"}, not: []string{"roll b (192.0.2.12)"},
		},
		"a replacement, when it is added": {
			from: three(unprotected), to: of("a b@21 c", unprotected),
			fault: nodetest.Fault{Operation: api.OpAddLearner, After: true}, says: "the connection was lost", known: true,
			left: []string{"join b (192.0.2.21)", "promote b (192.0.2.21)", "remove b (192.0.2.12)", "retire b (192.0.2.12)"}, not: []string{"learner b"},
		},
		"a replacement, when it joins": {
			from: three(unprotected), to: of("a b@21 c", unprotected),
			fault: nodetest.Fault{Address: "192.0.2.21", Operation: api.OpStart, Err: &api.Error{Code: api.CodeFailed, Message: "the disk is full"}}, says: "the disk is full", known: true,
			left: []string{"join b (192.0.2.21)", "promote b (192.0.2.21)", "remove b (192.0.2.12)", "retire b (192.0.2.12)"}, not: []string{"learner b"},
		},
		"a replacement, when the old one has left": {
			from: three(unprotected), to: of("a b@21 c", unprotected),
			fault: nodetest.Fault{Operation: api.OpRemoveMember, After: true, Extent: nodetest.Run}, says: "the connection was lost", known: true,
			left: []string{"retire b (192.0.2.12)"}, not: []string{"learner b", "promote b", "remove b"},
		},
		"a replacement of a dead one, when it has left": {
			from: three(unprotected), to: of("a b@21 c", unprotected), happen: func(w *world) { w.host(12).PowerCut() },
			fault: nodetest.Fault{Operation: api.OpAddLearner}, says: "the connection was lost", known: true,
			left: []string{"learner b (192.0.2.21)", "promote b (192.0.2.21)"}, not: []string{"remove b"},
		},
		"growth, when the first votes": {
			from: three(unprotected), to: of("a b c d e", unprotected),
			fault: nodetest.Fault{Operation: api.OpPromote, After: true}, says: "the connection was lost", known: true,
			left: []string{"learner e (192.0.2.15)", "promote e (192.0.2.15)"}, not: []string{"learner d", "promote d"},
		},
		"shrinking, when the first has left": {
			from: of("a b c d e", unprotected), to: three(unprotected),
			fault: nodetest.Fault{Operation: api.OpRemoveMember, After: true, Extent: nodetest.Run}, says: "the connection was lost", known: true,
			left: []string{"retire d (192.0.2.14)", "remove e (192.0.2.15)"}, not: []string{"remove d"},
		},
		"killed when a replacement is added": {
			from: three(unprotected), to: of("a b@21 c", unprotected), killed: true,
			fault: nodetest.Fault{Operation: api.OpAddLearner, After: true, Extent: nodetest.Run}, says: "the connection was lost",
			left: []string{"join b (192.0.2.21)", "promote b (192.0.2.21)", "remove b (192.0.2.12)", "retire b (192.0.2.12)"}, not: []string{"learner b"},
		},
		"killed when a replacement votes": {
			from: three(unprotected), to: of("a b@21 c", unprotected), killed: true,
			fault: nodetest.Fault{Operation: api.OpPromote, After: true, Extent: nodetest.Run}, says: "the connection was lost",
			left: []string{"remove b (192.0.2.12)", "retire b (192.0.2.12)"}, not: []string{"learner b", "promote b"},
		},
		"killed when a replacement is all there is": {
			from: three(unprotected), to: of("a b@21 c", unprotected), killed: true,
			fault: nodetest.Fault{Operation: api.OpRetire, After: true, Extent: nodetest.Run}, says: "the connection was lost",
			not: []string{"learner b", "promote b", "remove b"},
		},
		"killed when growth is half done": {
			from: three(unprotected), to: of("a b c d e", unprotected), killed: true,
			fault: nodetest.Fault{Operation: api.OpPromote, After: true, Extent: nodetest.Run}, says: "the connection was lost",
			left: []string{"learner e (192.0.2.15)", "promote e (192.0.2.15)"}, not: []string{"learner d", "promote d"},
		},
		"killed when shrinking is half done": {
			from: of("a b c d e", unprotected), to: three(unprotected), killed: true,
			fault: nodetest.Fault{Operation: api.OpRetire, Extent: nodetest.Run}, says: "the connection was lost", known: true,
			left: []string{"retire d (192.0.2.14)", "remove e (192.0.2.15)"}, not: []string{"remove d"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var shown []string
			w.run(t, w.begun(t, test.from),
				tftest.TestStep{
					PreConfig: func() {
						if test.happen != nil {
							test.happen(w)
						}
						w.Inject(test.fault)
						w.dies = test.killed
					},
					Config: test.to, ExpectError: says(test.says),
				},
				tftest.TestStep{
					PreConfig: func() {
						w.Heal()
						w.dies = false
						w.steps()
						w.warned()
					},
					Config: test.to,
					ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
						plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate),
						planFunc(func(before, after, unknown map[string]any) error {
							if text, _ := json.Marshal(before["members"]); strings.Contains(test.from, "192.0.2.12") && !strings.Contains(string(text), `"192.0.2.12"`) {
								return fmt.Errorf("the failed apply has saved %s", text)
							}
							shown = texts(after["rollout"])
							if known := unknown["rollout"] != true; known != test.known {
								return fmt.Errorf("rollout known: %v: %v", known, after["rollout"])
							}
							if test.known {
								return nil
							}
							warned := w.warned()
							if !strings.Contains(warned, "The apply continues an unfinished change") {
								return fmt.Errorf("there is no warning")
							}
							_, foreseen, _ := strings.Cut(warned, "by what was seen just now it does this:")
							shown = nil
							for line := range strings.Lines(foreseen) {
								if step, is := strings.CutPrefix(line, "  "); is {
									shown = append(shown, strings.TrimSuffix(step, "\n"))
								}
							}
							return nil
						}),
					}},
					Check: tftest.ComposeAggregateTestCheckFunc(w.allWell, func(s *terraform.State) error {
						done := strings.Join(listed(s, "rollout"), "\n")
						if strings.Join(shown, "\n") != done {
							return fmt.Errorf("done was\n%s\nand shown\n%s", done, strings.Join(shown, "\n"))
						}
						rest := done
						for _, step := range test.left {
							_, after, found := strings.Cut(rest, step)
							if !found {
								return fmt.Errorf("no step %q in this order:\n%s", step, done)
							}
							rest = after
						}
						for _, step := range test.not {
							if strings.Contains(done, step) {
								return fmt.Errorf("%q was done twice:\n%s", step, done)
							}
						}
						return nil
					}),
				})
		})
	}
}

// TestUnfinishedChangeIsGivenUp holds that an unfinished change is undone if it is no longer desired.
func TestUnfinishedChangeIsGivenUp(t *testing.T) {
	for name, test := range map[string]struct {
		to, then string
		op       api.Operation // operation that loses its answer
		killed   bool          // the provider, before it could answer
		says     []string
		clear    []int // hosts that carry nothing afterwards
	}{
		"a learner": {
			to: of("a b@21 c", unprotected), then: three(unprotected), op: api.OpStart,
			says: []string{"remove b (192.0.2.21): a learner that is no longer in the configuration", "retire b (192.0.2.21)"}, clear: []int{21},
		},
		"a learner, for another": {
			to: of("a b@21 c", unprotected), then: of("a b@22 c", unprotected), op: api.OpStart,
			says: []string{"remove b (192.0.2.21): a learner that is no longer in the configuration", "promote b (192.0.2.22)", "retire b (192.0.2.12)"}, clear: []int{12, 21},
		},
		"a voter": {
			to: of("a b@21 c", unprotected), then: three(unprotected), op: api.OpPromote,
			says: []string{"remove b (192.0.2.21): no longer in the configuration", "retire b (192.0.2.21)"}, clear: []int{21},
		},
		"one that has left": {
			to: of("a b@21 c", unprotected), then: three(unprotected), op: api.OpRemoveMember,
			says: []string{"promote b (192.0.2.12)", "remove b (192.0.2.21): no longer in the configuration", "retire b (192.0.2.21)"}, clear: []int{21},
		},
		"growth": {
			to: of("a b c d e", unprotected), then: three(unprotected), op: api.OpPromote,
			says: []string{"remove d (192.0.2.14): no longer in the configuration", "retire d (192.0.2.14)"}, clear: []int{14, 15},
		},
		"a learner that nobody knows of": {
			to: of("a b@21 c", unprotected), then: three(unprotected), op: api.OpAddLearner, killed: true,
			says: []string{"a learner that an earlier change left behind"},
		},
		"growth, in a destroy": {
			to: of("a b c d e", unprotected), op: api.OpPromote, clear: []int{11, 12, 13, 14, 15},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			steps := []tftest.TestStep{w.begun(t, three(unprotected)), {
				PreConfig: func() {
					w.Inject(nodetest.Fault{Operation: test.op, After: true})
					w.dies = test.killed
				},
				Config: test.to, ExpectError: says("the connection was lost"),
			}}
			if test.then == "" {
				steps = append(steps, tftest.TestStep{PreConfig: w.Heal, Config: test.to, Destroy: true})
			} else {
				then := w.asPlanned(t, test.then, test.says)
				then.PreConfig = func() { w.Heal(); w.Forget(); w.dies = false }
				steps = append(steps, then)
			}
			// The last step is needed, since the test destroys what is left at its end.
			steps = append(steps, tftest.TestStep{Config: "resource \"terraform_data\" \"done\" {}", Check: func(*terraform.State) error {
				for _, last := range test.clear {
					if left := w.host(last).Leftovers("prod", dir); len(left) > 0 {
						return fmt.Errorf("%d: %v is left", last, left)
					}
				}
				return nil
			}})
			w.run(t, steps...)
		})
	}
}

// TestVoterOfAKilledApplyIsNamed holds that the refusal names a voter of a killed apply: only the configuration that
// began it knows the route to its host.
func TestVoterOfAKilledApplyIsNamed(t *testing.T) {
	w := newWorld(t)
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{
			PreConfig: func() {
				w.Inject(nodetest.Fault{Operation: api.OpPromote, After: true})
				w.dies = true
			},
			Config: of("a b@21 c", unprotected), ExpectError: says("the connection was lost"),
		},
		tftest.TestStep{
			PreConfig:   func() { w.Heal(); w.dies = false; w.Forget() },
			Config:      three(unprotected),
			ExpectError: saysInOrder("an interrupted apply has made member b", "peer URL https://192.0.2.21:2380) a voter", "put it back into the configuration at that address"),
		},
		tftest.TestStep{PreConfig: func() {
			if changes := w.changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
		}, Config: of("a b@21 c", unprotected), Check: w.allWell},
		w.asPlanned(t, three(unprotected), []string{"promote b (192.0.2.12)", "retire b (192.0.2.21)"}))
}

// TestPlanWithoutALook holds that no change is planned for hosts that nobody has observed.
func TestPlanWithoutALook(t *testing.T) {
	w := newWorld(t)
	w.run(t, w.begun(t, three(unprotected)),
		// The plan of such a step does not refresh, and a create leaves no observation behind.
		tftest.TestStep{Config: of("a b@21 c", unprotected), PlanOnly: true, ExpectError: says("this state does not know it yet. Plan without -refresh=false")},
		tftest.TestStep{Config: three(unprotected + "purge_data = true"), Check: w.untouched})
}
