package resources_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestClocksThatDiffer has the clock of a running member's host go wrong: a plan that signs nothing warns, a plan that
// has a certificate signed is refused at plan and at apply, and the same plan succeeds once the clock is right.
func TestClocksThatDiffer(t *testing.T) {
	w := newWorld(t)
	warns := func(says ...string) tftest.ConfigPlanChecks {
		return tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, _ map[string]any) error {
			warned := w.warned()
			for _, text := range says {
				if !strings.Contains(warned, text) {
					return fmt.Errorf("the plan does not say %q:\n%s", text, warned)
				}
			}
			return nil
		})}}
	}
	skewed := func(skew time.Duration) func() {
		return func() { w.host(12).Skew = skew }
	}
	named := three(line + `
			extra_server_names = ["etcd.example.com"]`)
	w.run(t,
		w.begun(t, three(line)),
		tftest.TestStep{PreConfig: skewed(-3 * time.Second), Config: three(line), Check: w.untouched,
			ConfigPlanChecks: warns("The clocks of cluster prod differ", "b (192.0.2.12): its clock is at least 3s behind this machine's", "nothing is refused for that yet")},
		tftest.TestStep{PreConfig: skewed(6 * time.Minute), Config: three(line), Check: w.untouched,
			ConfigPlanChecks: warns("b (192.0.2.12): its clock is at least 6m ahead of this machine's", "no certificate is signed")},
		tftest.TestStep{Config: named, ExpectError: saysInOrder("b (192.0.2.12): its clock is at least 6m ahead of this machine's, and no certificate is signed then: it begins 5m before", "set the clocks right")},
		tftest.TestStep{PreConfig: skewed(0), Config: named, Check: w.allWell},
	)
}

// TestRenewalsWaitForClocks has certificates be due while the clock of a host is wrong. A plan that signs nothing else
// is carried out without the renewals, and warns which renewals wait, until when the certificates are valid, and why.
// The first plan with a right clock renews them. A plan that has to sign is refused, and so is one that asks for other
// certificates.
func TestRenewalsWaitForClocks(t *testing.T) {
	w := newWorld(t)
	due, begin := 8500*time.Hour, w.Clock
	waits := planned(func(_, _ map[string]any) error {
		text := w.warned()
		for _, says := range []string{
			"Certificates are due, and this plan does not renew them", "a: its first certificate expires at " + begin.Add(8760*time.Hour).UTC().Format("2006-01-02T15"),
			"b (192.0.2.12): its clock is at least 6m ahead of this machine's", "set the clocks right",
		} {
			if strings.Count(text, says) == 0 {
				return fmt.Errorf("the plan does not say %q:\n%s", says, text)
			}
		}
		return nil
	})
	const quota = "settings = { quota_backend_bytes = 8589934592 }\n"
	step := func(config string, happens func(), says ...string) tftest.TestStep {
		step := w.asPlanned(t, config, says, waits)
		step.Check = nil // certificates that are due stay due, and an upgrade of the state shows them
		step.ConfigPlanChecks.PostApplyPostRefresh, step.ExpectNonEmptyPlan = []plancheck.PlanCheck{leavesRenewals("a", "b", "c")}, true
		step.PreConfig = func() { happens(); w.Forget(); w.steps(); w.warned() }
		return step
	}
	repaired := step(three(line), func() {
		w.Clock = w.Clock.Add(due)
		w.host(12).Skew = 6 * time.Minute
		w.host(13).StopUnit("prod")
	}, "start c (192.0.2.13)")
	otherWay := strings.Replace(three(line+quota), `"192.0.2.13"`, `"192.0.2.13", ssh_port = 2222`, 1)
	w.run(t,
		w.begun(t, three(line)),
		repaired,
		step(three(line+quota), func() {}, "roll a (192.0.2.11)"),
		w.waiting(three(line+quota), waits, leavesRenewals("a", "b", "c")),
		w.waiting(three(line+quota), waits, leavesRenewals("a", "b", "c")), // second time
		// The plan looks at a host for another reason.
		tftest.TestStep{Config: otherWay, Check: w.untouched, PreConfig: w.Forget, ExpectNonEmptyPlan: true},
		tftest.TestStep{Config: strings.Replace(otherWay, "192.0.2.11", "192.0.2.21", 1), ExpectError: saysInOrder("b (192.0.2.12): its clock is at least 6m ahead")},
		tftest.TestStep{Config: strings.Replace(otherWay, quota, quota+"certificates = { validity = \"720h\" }\n", 1), ExpectError: saysInOrder("b (192.0.2.12): its clock is at least 6m ahead")},
		func() tftest.TestStep {
			step := w.asPlanned(t, otherWay, []string{"renew certificates of a (192.0.2.11)", "renew certificates of b (192.0.2.12)", "renew certificates of c (192.0.2.13)"}, purpose(plan.PurposeRepair))
			step.PreConfig = func() { w.host(12).Skew = 0; w.Forget(); w.steps() }
			return step
		}(),
	)
}

// leavesRenewals checks that a plan has no step and is not empty: the ends of these members' certificates are unknown
// in it.
func leavesRenewals(names ...string) plancheck.PlanCheck {
	return planned(func(after, unknown map[string]any) error {
		open, _ := unknown["members"].(map[string]any)
		for _, name := range names {
			if of, _ := open[name].(map[string]any); len(texts(after["rollout"])) > 0 || after["planned_change"] != "none" || of["certificate_expires_at"] != true || of["health"] == true {
				return fmt.Errorf("rollout %v for %v, and of %s these are known after apply: %v", after["rollout"], after["planned_change"], name, of)
			}
		}
		return nil
	})
}

// waiting is a plan that defers renewals and does nothing else: it is not empty, its apply succeeds and touches no
// host, and the next plan is the same.
func (w *world) waiting(config string, says, leaves plancheck.PlanCheck) tftest.TestStep {
	return tftest.TestStep{
		Config: config, PreConfig: func() { w.Forget(); w.warned() }, Check: w.untouched, ExpectNonEmptyPlan: true,
		ConfigPlanChecks: tftest.ConfigPlanChecks{
			PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate), says, leaves},
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate), leaves},
		},
	}
}

// TestRestoreWithClocksThatDiffer plans a restore while a clock is wrong: the plan is refused, no host is changed, and
// the same plan succeeds once the clock is right.
func TestRestoreWithClocksThatDiffer(t *testing.T) {
	p, steps := saved(t)
	restoring := p.restoring("a b c", "")
	p.run(t, append(steps,
		tftest.TestStep{PreConfig: func() { p.Forget(); p.host(12).Skew = -6 * time.Minute }, Config: restoring,
			ExpectError: saysInOrder("b (192.0.2.12): its clock is at least 6m behind this machine's, and no certificate is signed then", "set the clocks right")},
		tftest.TestStep{PreConfig: func() { p.host(12).Skew = 0 }, Config: three(unprotected), Check: p.untouched},
		p.restored(restoring, "restore b", "open a"),
	)...)
}
