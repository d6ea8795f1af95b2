package resources_test

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// planFunc is a check of what a plan does to the cluster.
type planFunc func(before, after, unknown map[string]any) error

func (f planFunc) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	for _, change := range req.Plan.ResourceChanges {
		if change.Address == cluster {
			before, _ := change.Change.Before.(map[string]any)
			after, _ := change.Change.After.(map[string]any)
			unknown, _ := change.Change.AfterUnknown.(map[string]any)
			resp.Error = f(before, after, unknown)
			return
		}
	}
	resp.Error = fmt.Errorf("the plan does not speak of %s", cluster)
}

func planned(check func(after, unknown map[string]any) error) plancheck.PlanCheck {
	return planFunc(func(_, after, unknown map[string]any) error { return check(after, unknown) })
}

func changed(check func(before, after map[string]any) error) plancheck.PlanCheck {
	return planFunc(func(before, after, _ map[string]any) error { return check(before, after) })
}

// purpose checks what a plan says that it is for; empty: only the apply can tell.
func purpose(want plan.Purpose) plancheck.PlanCheck {
	return planned(func(after, unknown map[string]any) error {
		if is, _ := after["planned_change"].(string); is != string(want) || (unknown["planned_change"] == true) != (want == "") {
			return fmt.Errorf("planned_change is %q (unknown: %v), want %q", is, unknown["planned_change"], want)
		}
		return nil
	})
}

// purposeOf checks what a plan says that it is for, of another resource than the cluster; empty: only the apply can
// tell.
type purposeOf struct{ address, want string }

func (p purposeOf) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	for _, change := range req.Plan.ResourceChanges {
		if change.Address != p.address {
			continue
		}
		after, _ := change.Change.After.(map[string]any)
		unknown, _ := change.Change.AfterUnknown.(map[string]any)
		if is, _ := after["planned_change"].(string); is != p.want || (unknown["planned_change"] == true) != (p.want == "") {
			resp.Error = fmt.Errorf("planned_change of %s is %q (unknown: %v), want %q", p.address, is, unknown["planned_change"], p.want)
		}
		return
	}
	resp.Error = fmt.Errorf("the plan does not speak of %s", p.address)
}

// meanwhile calls a function between a plan and its apply.
type meanwhile func()

func (m meanwhile) CheckPlan(context.Context, plancheck.CheckPlanRequest, *plancheck.CheckPlanResponse) {
	m()
}
