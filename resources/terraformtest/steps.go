// Package terraformtest runs the steps of a provider's tests as Terraform and its plugin-testing do, with the provider
// in this process and without a process of Terraform's: a step takes milliseconds instead of a second.
//
// It does what Terraform's core does between a configuration and the protocol: it proposes states, plans again at
// apply, and checks that a plan keeps to the configuration and an apply to its plan. It refuses what it does not
// support (Supports), and Terraform itself runs those steps.
package terraformtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// Factory starts a provider for one run of Terraform.
type Factory func() (tfprotov6.ProviderServer, error)

// fields are the supported fields of a step.
var fields = []string{"PreConfig", "Taint", "Config", "Check", "Destroy", "ExpectNonEmptyPlan", "ExpectError", "ConfigPlanChecks", "PlanOnly", "RefreshState"}

// Supports returns nil if Run supports these steps, of a provider whose resources begin with this name.
func Supports(name string, steps []tftest.TestStep) error {
	for i, step := range steps {
		value, allowed := reflect.ValueOf(step), fields
		if step.ImportState && step.ImportStateId != "" && step.Config == "" {
			allowed = append(slices.Clone(importing), "PreConfig", "ExpectError")
		}
		for j := range value.NumField() {
			if field := value.Type().Field(j).Name; !value.Field(j).IsZero() && !slices.Contains(allowed, field) {
				return fmt.Errorf("step %d: %w: %s", i+1, errUnsupported, field)
			}
		}
		blocks, err := parse(step.Config)
		if errors.Is(err, errUnsupported) {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		for _, b := range blocks {
			if !strings.HasPrefix(b.kind, name+"_") && (b.data || b.kind != "terraform_data") {
				return fmt.Errorf("step %d: %w: %s is of another provider", i+1, errUnsupported, b.address)
			}
		}
	}
	return nil
}

// driver is a working directory of Terraform's.
type driver struct {
	context.Context
	start   Factory
	schemas *tfprotov6.GetProviderSchemaResponse
	state   state
	config  config
}

// Run runs steps, and destroys at the end what they have created. Waits take no time: the provider has a clock of its
// own, which begins at the present time and advances when everything waits.
func Run(t *testing.T, start Factory, steps ...tftest.TestStep) {
	t.Helper()
	now := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		runSteps(t, start, steps)
	})
}

func runSteps(t *testing.T, start Factory, steps []tftest.TestStep) {
	t.Helper()
	d := &driver{Context: context.WithoutCancel(t.Context()), start: start, state: state{}}
	defer func() {
		if err := d.end(); err != nil {
			t.Errorf("Error running post-test destroy, there may be dangling resources: %v", err)
		}
	}()
	for i, step := range steps {
		if step.PreConfig != nil {
			step.PreConfig()
		}
		err := d.step(t, step)
		switch {
		case step.ExpectError == nil && err != nil:
			t.Fatalf("Step %d/%d error: %v", i+1, len(steps), err)
		case step.ExpectError != nil && err == nil:
			t.Fatalf("Step %d/%d, expected an error but got none", i+1, len(steps))
		case step.ExpectError != nil && !step.ExpectError.MatchString(err.Error()):
			t.Fatalf("Step %d/%d, expected an error with pattern (%s), no match on: %v", i+1, len(steps), step.ExpectError, err)
		}
	}
}

// begin starts a run of Terraform, with a provider of its own that is not configured yet.
func (d *driver) begin() (*run, provider, error) {
	server, err := d.start()
	if err != nil {
		return nil, nil, err
	}
	if d.schemas == nil {
		schemas, err := server.GetProviderSchema(d, &tfprotov6.GetProviderSchemaRequest{})
		if err == nil {
			err = problems(nil, schemas.Diagnostics, nil)
		}
		if err != nil {
			return nil, nil, err
		}
		d.schemas = schemas
	}
	started := &remote{server, d.schemas}
	return &run{Context: d, config: d.config, anew: func() error { return started.configure(d) }, provider: func(b *block) (provider, error) {
		if b.kind == "terraform_data" {
			return builtin{}, nil
		}
		return started, checkSchema(b.address, started.schema(b))
	}}, started, nil
}

// plan runs `terraform plan`, perhaps with -destroy, perhaps with -refresh=false.
func (d *driver) plan(destroy, refresh bool) (*plan, *run, error) {
	r, provider, err := d.begin()
	if err != nil {
		return nil, nil, err
	}
	if err := r.validate(); err != nil {
		return nil, nil, err
	}
	if err := provider.configure(d); err != nil {
		return nil, nil, err
	}
	var p *plan
	if destroy {
		p, err = r.planDestroy(maps.Clone(d.state), refresh)
	} else {
		p, err = r.plan(maps.Clone(d.state), refresh)
	}
	return p, r, err
}

// apply runs `terraform apply` with a plan.
func (d *driver) apply(p *plan) error {
	r, provider, err := d.begin()
	if err != nil {
		return err
	}
	if err := provider.configure(d); err != nil {
		return err
	}
	d.state, err = r.apply(p)
	return err
}

// refresh runs `terraform refresh`, which plans too, and keeps only the refreshed state.
func (d *driver) refresh() error {
	p, _, err := d.plan(false, true)
	if err == nil {
		d.state = p.state
	}
	return err
}

// end runs `terraform destroy -refresh=false`.
func (d *driver) end() error {
	if len(d.state) == 0 {
		return nil
	}
	p, r, err := d.plan(true, false)
	if err == nil {
		d.state, err = r.apply(p)
	}
	return err
}

// step runs one step, as plugin-testing does.
func (d *driver) step(t *testing.T, step tftest.TestStep) error {
	t.Helper()
	if !step.Destroy {
		for _, address := range step.Taint {
			o := d.state[address]
			if o == nil {
				return fmt.Errorf("error tainting resource: there is no %s", address)
			}
			tainted := *o
			tainted.tainted = true
			d.state[address] = &tainted
		}
	}
	switch {
	case step.ImportState:
		return d.importStep(step)
	case step.RefreshState:
		return d.refreshStep(step)
	}
	config, err := parse(step.Config)
	if err != nil {
		return printed("Error running pre-apply plan: %w", err)
	}
	d.config = config
	if !step.PlanOnly {
		if err := d.applyStep(step); err != nil {
			return err
		}
	}
	after, which := "After applying this test step, the", "post-apply "
	if step.PlanOnly {
		after, which = "The", ""
	}
	for _, refreshes := range []bool{false, true} {
		what, checks := "non-refresh plan", step.ConfigPlanChecks.PostApplyPreRefresh
		if refreshes {
			what, checks = "refresh plan", step.ConfigPlanChecks.PostApplyPostRefresh
		}
		p, _, err := d.plan(step.Destroy, refreshes)
		if err != nil {
			return printed("Error running %s%s: %w", which, what, err)
		}
		if err := d.check(p, checks); err != nil {
			return fmt.Errorf("plan check(s) of the %s%s failed:\n%w", which, what, err)
		}
		switch {
		case !p.empty() && !step.ExpectNonEmptyPlan:
			return printed("%s %s was not empty.\n\n%s", after, what, p.differences())
		case refreshes && p.empty() && step.ExpectNonEmptyPlan:
			return printed("Expected a non-empty plan, but got an empty refresh plan")
		}
	}
	return nil
}

func (d *driver) check(p *plan, checks []plancheck.PlanCheck) error {
	var failed []error
	for _, check := range checks {
		var resp plancheck.CheckPlanResponse
		check.CheckPlan(d, plancheck.CheckPlanRequest{Plan: p.show()}, &resp)
		failed = append(failed, resp.Error)
	}
	return errors.Join(failed...)
}

func (d *driver) applyStep(step tftest.TestStep) error {
	p, _, err := d.plan(step.Destroy, true)
	if err != nil {
		return printed("Error running pre-apply plan: %w", err)
	}
	if err := d.check(p, step.ConfigPlanChecks.PreApply); err != nil {
		return printed("Pre-apply plan check(s) failed:\n%w", err)
	}
	before := d.state
	if step.Destroy && step.Check != nil {
		if err := d.refresh(); err != nil {
			return printed("Error running pre-apply refresh: %w", err)
		}
		before = d.state
		if p, _, err = d.plan(step.Destroy, true); err != nil {
			return printed("Error running destroy plan after step.Check shimmed state was retrieved: %w", err)
		}
	}
	if err := d.apply(p); err != nil {
		if step.Destroy {
			return printed("Error running destroy: %w", err)
		}
		return printed("Error running apply: %w", err)
	}
	if step.Check == nil {
		return nil
	}
	if !step.Destroy {
		before = d.state
	}
	if err := step.Check(before.shown()); err != nil {
		return printed("Check failed: %w", err)
	}
	return nil
}

func (d *driver) refreshStep(step tftest.TestStep) error {
	if err := d.refresh(); err != nil {
		return err
	}
	if step.Check != nil {
		if err := step.Check(d.state.shown()); err != nil {
			return err
		}
	}
	p, _, err := d.plan(false, true)
	if err != nil {
		return printed("Error running post-refresh plan: %w", err)
	}
	if !p.empty() && !step.ExpectNonEmptyPlan {
		return printed("After refreshing state during this test step, a followup plan was not empty.\n\n%s", p.differences())
	}
	return nil
}
