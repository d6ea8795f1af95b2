package resources_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

const (
	newest = nodetest.EtcdVersion
	older  = "3.6.16"
	dir    = "/var/lib/etcd/prod"
)

// host returns the host whose address ends with this number.
func (w *world) host(last int) *nodetest.Host { return w.Host(fmt.Sprintf("192.0.2.%d", last)) }

// put writes a key through every member that accepts it.
func (w *world) put(t *testing.T) {
	t.Helper()
	if err := w.Put("prod"); err != nil {
		t.Errorf("put: %v", err)
	}
}

// steps returns the steps since its last call, from the progress log.
func (w *world) steps() []string {
	w.progress.Lock()
	defer w.progress.Unlock()
	var steps []string
	for _, line := range w.progress.lines {
		if step := counted.FindStringSubmatch(line); step != nil {
			steps = append(steps, step[1])
		}
	}
	w.progress.lines = nil
	return steps
}

// counted matches a line of the progress log that begins a step.
var counted = regexp.MustCompile(`^prod \d+/\d+ (.*)$`)

// acts returns the steps except those that only wait. In this world members find each other in no time.
func acts(steps []string) []string {
	return slices.DeleteFunc(slices.Clone(steps), func(step string) bool { return strings.HasPrefix(step, "agree: ") })
}

// texts returns a list of texts in a plan.
func texts(list any) []string {
	var found []string
	items, _ := list.([]any)
	for _, item := range items {
		found = append(found, fmt.Sprint(item))
	}
	return found
}

// listed returns a list of texts in a state.
func listed(s *terraform.State, name string) []string {
	var found []string
	attributes := s.RootModule().Resources[cluster].Primary.Attributes
	for i := 0; ; i++ {
		text, there := attributes[fmt.Sprintf("%s.%d", name, i)]
		if !there {
			return found
		}
		found = append(found, text)
	}
}

// allWell checks that every member is healthy, and that no write was lost.
func (w *world) allWell(s *terraform.State) error {
	attributes := s.RootModule().Resources[cluster].Primary.Attributes
	var wrong []error
	for name, value := range attributes {
		if strings.HasSuffix(name, ".health") && value != "healthy" || strings.HasPrefix(name, "members.") && strings.Contains(name, ".drift.") && !strings.HasSuffix(name, "#") {
			wrong = append(wrong, fmt.Errorf("%s is %q", name, value))
		}
		if strings.HasPrefix(name, "members.") && strings.HasSuffix(name, ".etcd_version") && value != attributes["etcd_version"] {
			wrong = append(wrong, fmt.Errorf("%s is %q, and the cluster's %q", name, value, attributes["etcd_version"]))
		}
		if strings.HasPrefix(name, "members.") && strings.HasSuffix(name, ".id") && value == "" {
			wrong = append(wrong, fmt.Errorf("%s is not set", name))
		}
	}
	if attributes["status"] != "healthy" {
		wrong = append(wrong, fmt.Errorf("status is %q", attributes["status"]))
	}
	if lost := w.Lost("prod"); len(lost) > 0 {
		wrong = append(wrong, fmt.Errorf("lost: %v", lost))
	}
	return errors.Join(wrong...)
}

// asPlanned is an apply that does exactly what its plan has shown. Nothing is left to do then. The texts says are in
// its steps.
func (w *world) asPlanned(t *testing.T, config string, says []string, checks ...plancheck.PlanCheck) tftest.TestStep {
	var shown []string
	return tftest.TestStep{
		PreConfig: w.Forget,
		Config:    config,
		ConfigPlanChecks: tftest.ConfigPlanChecks{
			PreApply: append([]plancheck.PlanCheck{
				plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate),
				planned(func(after, unknown map[string]any) error {
					shown = texts(after["rollout"])
					if unknown["rollout"] == true || len(shown) == 0 {
						return fmt.Errorf("rollout is not known: %v", after["rollout"])
					}
					for _, text := range says {
						if !strings.Contains(strings.Join(shown, "\n"), text) {
							return fmt.Errorf("no step says %q:\n%s", text, strings.Join(shown, "\n"))
						}
					}
					if calls := w.changes(); len(calls) > 0 {
						return fmt.Errorf("the plan has changed hosts: %v", calls)
					}
					w.steps()
					return nil
				}),
			}, checks...),
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
		},
		Check: tftest.ComposeAggregateTestCheckFunc(func(s *terraform.State) error {
			if diff := cmp.Diff(acts(shown), acts(w.steps())); diff != "" {
				return fmt.Errorf("done differs from planned (-planned +done):\n%s", diff)
			}
			if diff := cmp.Diff(shown, listed(s, "rollout")); diff != "" {
				return fmt.Errorf("the state differs from what was planned (-planned +state):\n%s", diff)
			}
			return nil
		}, w.allWell),
	}
}

// begun is the create that a test begins with, and what happens to the cluster after it.
func (w *world) begun(t *testing.T, config string) tftest.TestStep {
	return tftest.TestStep{Config: config, Check: func(*terraform.State) error {
		w.put(t)
		w.Forget()
		w.steps()
		return nil
	}}
}

// alteration is one change of a running cluster.
type alteration struct {
	happen func(*world)
	to     string
	says   []string
	values []string // of the state afterwards
}

// TestRunningClusterChanges holds that every change is done as planned.
func TestRunningClusterChanges(t *testing.T) {
	const quota = "settings = { quota_backend_bytes = 8589934592 }\n"
	for name, life := range map[string]struct {
		carried []string // versions that the provider carries, if not only the newest
		from    string
		changes []alteration
	}{
		"replacements": {from: three(unprotected), changes: []alteration{
			{
				to:     of("a b@21 c", unprotected),
				says:   []string{"promote b (192.0.2.21): caught up, same hash; voters 3 -> 4, quorum 3, healthy 4", "remove b (192.0.2.12): no longer in the configuration; voters 4 -> 3, quorum 2, healthy 3", "retire b (192.0.2.12)"},
				values: []string{"members.b.address", "192.0.2.21", "members.b.client_url", "https://192.0.2.21:2379", "endpoints.1", "https://192.0.2.21:2379"},
			},
			{
				happen: func(w *world) { w.host(21).PowerCut() },
				to:     of("a b@22 c", unprotected),
				says:   []string{"remove b (192.0.2.21): dead, its host cannot be reached; voters 3 -> 2, quorum 2, healthy 2", "learner b (192.0.2.22)"},
			},
			{
				to:   of("a c d", unprotected),
				says: []string{"remove b (192.0.2.22): no longer in the configuration", "retire b (192.0.2.22)"},
			},
			{ // a host that was left can be used again
				to:   of("a b c", unprotected),
				says: []string{"learner b (192.0.2.12)", "retire d (192.0.2.14)"},
			},
		}},
		"the leader, and a wiped one while settings change": {from: three(unprotected), changes: []alteration{
			{to: of("a@21 b c", unprotected), says: []string{"lead: leadership moves from a (192.0.2.11), which leaves the cluster, to"}},
			{
				happen: func(w *world) { w.host(12).Wipe() }, to: of("a@21 b c", unprotected+quota),
				says: []string{"remove b (192.0.2.12): dead", "roll c (192.0.2.13): flags --quota-backend-bytes"},
			},
		}},
		"five": {from: of("a b c d e", unprotected), changes: []alteration{
			{to: of("a@21 b@22 c d e", unprotected), says: []string{"promote a (192.0.2.21)", "promote b (192.0.2.22)"}},
			{to: of("b@22 d e", unprotected), says: []string{"voters 5 -> 4", "voters 4 -> 3", "retire a", "retire c"}, values: []string{"endpoints.0", "https://192.0.2.22:2379", "members.%", "3"}},
			{to: of("d", unprotected), says: []string{"voters 3 -> 2", "voters 2 -> 1"}, values: []string{"members.%", "1"}},
			{to: of("d", unprotected+quota), says: []string{"a cluster of one has no spare: it serves nobody meanwhile"}},
		}},
		"what a member runs by": {from: three(unprotected), changes: []alteration{
			{
				to:   three(unprotected + quota),
				says: []string{"roll c (192.0.2.13): flags --quota-backend-bytes (not set) -> 8589934592; voters 3, quorum 2, healthy 2 meanwhile", "which is rolled last"},
			},
			{
				to:     three(unprotected + "client_port = 12379"),
				says:   []string{"roll b (192.0.2.12): flags --advertise-client-urls https://192.0.2.12:2379 -> https://192.0.2.12:12379, --listen-client-urls https://192.0.2.12:2379,https://127.0.0.1:2379 -> https://192.0.2.12:12379,https://127.0.0.1:12379, --quota-backend-bytes 8589934592 -> (not set)"},
				values: []string{"members.b.client_url", "https://192.0.2.12:12379", "endpoints.1", "https://192.0.2.12:12379"},
			},
			{to: three(unprotected + "client_port = 12379\nmetrics_port = 12381"), says: []string{"roll b (192.0.2.12): flags --listen-metrics-urls"}},
			{
				happen: func(w *world) { w.carry("3.7.4", newest) }, to: three(unprotected),
				says: []string{"roll c (192.0.2.13): etcd 3.7.3 -> 3.7.4, flags"}, values: []string{"etcd_version", "3.7.4"},
			},
			{
				to:   three(unprotected + `version = "3.7.3"`),
				says: []string{"roll a (192.0.2.11): etcd 3.7.4 -> 3.7.3"}, values: []string{"etcd_version", newest},
			},
		}},
		"an older minor version": {carried: []string{older}, from: three(unprotected), changes: []alteration{
			{
				happen: func(w *world) { w.carry(newest, "3.6.17", older) }, to: three(unprotected),
				says: []string{"roll c (192.0.2.13): etcd 3.6.16 -> 3.6.17"}, values: []string{"etcd_version", "3.6.17"},
			},
			{
				to:     of("a b c@21 d e", unprotected+quota+`version = "3.7"`),
				says:   []string{"roll b (192.0.2.12): etcd 3.6.17 -> 3.7.3, flags --quota-backend-bytes", "voters 4 -> 5", "remove c (192.0.2.13): no longer in the configuration"},
				values: []string{"etcd_version", newest, "members.b.etcd_version", newest},
			},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if life.carried != nil {
				w.carry(life.carried...)
			}
			steps := []tftest.TestStep{w.begun(t, life.from)}
			for _, change := range life.changes {
				step := w.asPlanned(t, change.to, change.says, purpose(plan.PurposeChange))
				step.PreConfig = func() {
					w.put(t)
					w.Forget()
					if change.happen != nil {
						change.happen(w)
					}
				}
				step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, values(change.values...))
				steps = append(steps, step)
			}
			w.run(t, steps...)
		})
	}
}

// TestGrowAndShrink takes one cluster through all sizes, and back.
func TestGrowAndShrink(t *testing.T) {
	w := newWorld(t)
	w.run(t, w.begun(t, of("a", unprotected)),
		w.asPlanned(t, of("a b c", unprotected), []string{"voters 1 -> 2", "voters 2 -> 3"}),
		w.asPlanned(t, of("a b c d e", unprotected), []string{"voters 3 -> 4", "voters 4 -> 5"}),
		w.asPlanned(t, of("a b c", unprotected), []string{"retire d", "retire e"}),
		w.asPlanned(t, of("a", unprotected), []string{"retire b", "retire c"}),
	)
	for _, last := range []int{12, 13, 14, 15} {
		if left := w.host(last).Leftovers("prod", dir); len(left) > 0 {
			t.Errorf("%d: a member that has left has left %v", last, left)
		}
	}
}

// TestVersionStaysOnItsMinor holds that a cluster without a configured version stays on its minor version, whatever
// else the provider carries.
func TestVersionStaysOnItsMinor(t *testing.T) {
	w := newWorld(t)
	w.carry(older)
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{PreConfig: func() { w.carry(newest, older) }, Config: three(unprotected), PlanOnly: true},
		tftest.TestStep{Config: three(unprotected + `version = "3.6"`), Check: tftest.ComposeAggregateTestCheckFunc(w.untouched, values("etcd_version", older))},
		w.asPlanned(t, three(unprotected+`version = "3.7"`), []string{"etcd 3.6.16 -> 3.7.3"}),
		w.asPlanned(t, three(unprotected+`version = "3.6"`), []string{"downgrade: enabled to etcd 3.6"}),
		// A provider that no longer carries the minor version leaves its clusters as they are.
		tftest.TestStep{PreConfig: func() { w.carry("3.7.4") }, Config: three(unprotected + `version = "3.6"`), PlanOnly: true},
		tftest.TestStep{PreConfig: func() { w.carry("3.6.15") }, Config: three(unprotected + `version = "3.6"`), PlanOnly: true},
		tftest.TestStep{PreConfig: func() { w.carry(newest, older) }, Config: three(unprotected + `version = "3.6"`), PlanOnly: true},
	)
}

// TestNewAddressComesOutOfThePlan has another resource replace a host in the same apply.
func TestNewAddressComesOutOfThePlan(t *testing.T) {
	w := newWorld(t)
	unknown := strings.Replace(of("a b@21 c", unprotected), `"192.0.2.21"`, "terraform_data.host.output", 1) + "\nresource \"terraform_data\" \"host\" { input = \"192.0.2.21\" }\n"
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{
			Config: unknown,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(after, unknown map[string]any) error {
				if unknown["rollout"] != true || unknown["endpoints"] != true || after["etcd_version"] != newest {
					return fmt.Errorf("rollout or endpoints are known: %v", unknown)
				}
				return nil
			}), purpose("")}},
			Check: tftest.ComposeAggregateTestCheckFunc(w.allWell, func(s *terraform.State) error {
				if diff := cmp.Diff(w.steps(), listed(s, "rollout")); diff != "" {
					return errors.New(diff)
				}
				if calls := w.changes(); !slices.ContainsFunc(calls, func(c string) bool { return c == "192.0.2.11 "+string(api.OpRemoveMember) }) {
					return fmt.Errorf("nobody was removed: %v", calls)
				}
				return nil
			}),
		})
}
