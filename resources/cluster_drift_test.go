package resources

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

func TestStoppedMemberIsRepaired(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.Host("192.0.2.12").StopUnit("prod"); w.Forget() },
			Config:    three(unprotected),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate),
				changed(func(before, after map[string]any) error {
					was, is := before["members"].(map[string]any)["b"].(map[string]any)["health"], after["members"].(map[string]any)["b"].(map[string]any)["health"]
					if was != "stopped" || is != "healthy" || before["status"] != "degraded" || after["status"] != "healthy" {
						return fmt.Errorf("health %v -> %v, status %v -> %v", was, is, before["status"], after["status"])
					}
					if rollout := fmt.Sprint(after["rollout"]); rollout != "[start b (192.0.2.12) agree: 3 voters, one cluster ID, one leader, quorum 2]" {
						return errors.New(rollout)
					}
					return nil
				}),
			}},
			Check: tftest.ComposeAggregateTestCheckFunc(values("status", "healthy", "rollout.#", "2"), func(*terraform.State) error {
				if calls := w.changes(); !slices.Equal(calls, []string{"192.0.2.12 start"}) {
					return fmt.Errorf("calls: %v", calls)
				}
				return nil
			}),
		},
		tftest.TestStep{Config: three(unprotected), PlanOnly: true})
}

// TestFailedUpdateKeepsOldWishes: what was wanted and not done is wanted still.
func TestFailedUpdateKeepsOldWishes(t *testing.T) {
	w := newWorld(t)
	purging := three(unprotected + "purge_data = true\n")
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				w.Host("192.0.2.12").StopUnit("prod")
				w.Inject(nodetest.Fault{Operation: api.OpStart, Err: &api.Error{Code: api.CodeFailed, Message: "its unit is masked"}})
			},
			Config:      purging,
			ExpectError: says("start b (192.0.2.12): its unit is masked"),
		},
		tftest.TestStep{
			PreConfig: w.Heal,
			Config:    purging,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				// What the failed apply has saved.
				changed(func(before, after map[string]any) error {
					if before["purge_data"] != false || after["purge_data"] != true {
						return fmt.Errorf("purge_data %v -> %v", before["purge_data"], after["purge_data"])
					}
					if len(before["rollout"].([]any)) != 13 {
						return fmt.Errorf("rollout was %v", before["rollout"])
					}
					return nil
				}),
			}},
			Check: values("purge_data", "true", "status", "healthy"),
		})
}

func TestUnreachableHostStays(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.Host("192.0.2.13").Unreachable = errGone; w.Forget() },
			Config:    three(unprotected), ExpectNonEmptyPlan: true, // it is to be looked at again
			Check: tftest.ComposeAggregateTestCheckFunc(
				values("members.c.health", "unreachable", "members.c.address", "192.0.2.13", "status", "degraded"),
				tftest.TestCheckResourceAttrSet(cluster, "members.c.id")),
		},
		tftest.TestStep{ // What is between Terraform and the provider alone can be changed meanwhile.
			Config:             three(unprotected + "purge_data = true\n"),
			ExpectNonEmptyPlan: true,
			Check:              values("members.c.health", "unreachable", "purge_data", "true"),
		},
		tftest.TestStep{ // It is not known what runs there, so it is not destroyed.
			Config: three(unprotected), Destroy: true, ExpectError: says("c (192.0.2.13): it cannot be asked"),
		},
		tftest.TestStep{
			PreConfig: func() {
				if calls := w.changes(); len(calls) > 0 {
					t.Errorf("hosts were changed: %v", calls)
				}
				w.Host("192.0.2.13").Unreachable = nil
			},
			Config: three(unprotected), Check: values("members.c.health", "healthy", "status", "healthy"),
		})
}

// TestLostMembersStay: what was taken off its hosts from outside is shown, and never dropped. One member is
// built anew; of all of them nothing is left to build on.
func TestLostMembersStay(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three("")},
		tftest.TestStep{
			PreConfig: w.Host("192.0.2.12").Wipe,
			Config:    three(""), Check: values("members.b.health", "healthy", "status", "healthy"),
		},
		tftest.TestStep{
			PreConfig: func() {
				for _, address := range []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"} {
					w.Host(address).Wipe()
				}
			},
			Config: three(""), ExpectError: says("somebody has taken it off all of them"),
		},
		tftest.TestStep{ // It can be unprotected all the same, to be destroyed. The plan after that is refused again.
			Config: three(unprotected), ExpectError: says("terraform destroy -refresh=false"),
		},
	)
}

// TestStrangerIsShown: a member that somebody has added beside Terraform.
func TestStrangerIsShown(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				w.observed = func(o *api.Observation) {
					o.Member.Members = append(o.Member.Members, api.ListedMember{ID: "66", Name: "x", PeerURLs: []string{"https://192.0.2.66:2380"}})
				}
			},
			Config:      three(unprotected),
			ExpectError: says("member x (ID 66, peer URL https://192.0.2.66:2380)"),
		},
	)
}

// TestRemovedMemberJoinsAnew: a member that somebody has removed beside Terraform is not started again as it
// was: its data is moved aside, and it joins anew.
func TestRemovedMemberJoinsAnew(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.RemoveBehindOurBack("prod", "b") },
			Config:    three(unprotected),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				changed(func(before, after map[string]any) error {
					if was := before["members"].(map[string]any)["b"].(map[string]any)["health"]; was != "removed" {
						return fmt.Errorf("health was %v", was)
					}
					return nil
				}),
			}},
			Check: values("members.b.health", "healthy", "status", "healthy"),
		},
		tftest.TestStep{Config: three(unprotected), PlanOnly: true},
	)
	if aside := w.Host("192.0.2.12").Aside("/var/lib/etcd/prod"); len(aside) == 0 {
		t.Error("the data of the member that was removed was not moved aside")
	}
}

// TestSettingsNotKnownYet: a host that cannot be looked at yet is no reason to change the state.
func TestSettingsNotKnownYet(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{PreConfig: func() { w.notKnown = true }, Config: three(unprotected), ExpectError: says("ssh.private_key: not known before apply")},
		tftest.TestStep{PreConfig: func() { w.notKnown = false }, Config: three(unprotected)},
		tftest.TestStep{PreConfig: func() { w.notKnown = true; w.Host("192.0.2.12").StopUnit("prod") }, Config: three(unprotected), PlanOnly: true},
		tftest.TestStep{PreConfig: func() { w.notKnown = false }, Config: three(unprotected), Check: values("rollout.#", "2")})
}
