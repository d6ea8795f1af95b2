package terraformtest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	frameworkprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// shop is a provider of things that makes the mistakes a test tells it to make.
type shop struct {
	things map[string]string // the existing things, by name
	calls  []string

	planText   string // the text that it plans in place of the configured one
	applied    string // the text that it reports after an apply in place of the planned one
	readText   string // the text that a read returns
	createFail string // an error of a create, which keeps a state
	updateFail string // an error of an update
	deleteFail string // an error of a delete
	noteAtRead string // the computed note that a read returns

	noteDeleted string // the note in the state that the last delete got
}

func (s *shop) start() (tfprotov6.ProviderServer, error) {
	return providerserver.NewProtocol6WithError(s)()
}

func (s *shop) Metadata(_ context.Context, _ frameworkprovider.MetadataRequest, resp *frameworkprovider.MetadataResponse) {
	resp.TypeName = "shop"
}
func (s *shop) Schema(context.Context, frameworkprovider.SchemaRequest, *frameworkprovider.SchemaResponse) {
}
func (s *shop) Configure(context.Context, frameworkprovider.ConfigureRequest, *frameworkprovider.ConfigureResponse) {
}
func (s *shop) DataSources(context.Context) []func() datasource.DataSource { return nil }
func (s *shop) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return &thing{s} }}
}

type thing struct{ *shop }

type thingModel struct {
	Name   types.String `tfsdk:"name"`
	Text   types.String `tfsdk:"text"`
	Secret types.String `tfsdk:"secret"`
	Note   types.String `tfsdk:"note"`
	Parts  types.Map    `tfsdk:"parts"`
}

func (r *thing) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "shop_thing"
}

func (r *thing) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"name":   schema.StringAttribute{Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()}},
		"text":   schema.StringAttribute{Optional: true},
		"secret": schema.StringAttribute{Optional: true, WriteOnly: true},
		"note":   schema.StringAttribute{Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}},
		"parts": schema.MapNestedAttribute{Optional: true, NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"size": schema.Int64Attribute{Required: true},
			"id":   schema.StringAttribute{Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}},
		}}},
	}}
}

func (r *thing) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.planText != "" && !req.Plan.Raw.IsNull() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("text"), r.planText)...)
	}
}

// made returns a plan with everything unknown made known.
func (r *thing) made(ctx context.Context, model *thingModel) {
	if model.Note.IsUnknown() {
		model.Note = types.StringValue("made")
	}
	if r.applied != "" {
		model.Text = types.StringValue(r.applied)
	}
	elements := map[string]types.Object{}
	model.Parts.ElementsAs(ctx, &elements, false)
	for name, object := range elements {
		attributes := object.Attributes()
		if attributes["id"].IsUnknown() {
			attributes["id"] = types.StringValue("id of " + name)
		}
		elements[name], _ = types.ObjectValue(object.AttributeTypes(ctx), attributes)
	}
	if !model.Parts.IsNull() {
		model.Parts, _ = types.MapValueFrom(ctx, model.Parts.ElementType(ctx), elements)
	}
}

func (r *thing) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var model thingModel
	var secret types.String
	resp.Diagnostics.Append(req.Plan.Get(ctx, &model)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("secret"), &secret)...)
	r.made(ctx, &model)
	r.things[model.Name.ValueString()] = secret.ValueString()
	r.calls = append(r.calls, "create "+model.Name.ValueString())
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
	if r.createFail != "" {
		resp.Diagnostics.AddError("It is not whole", r.createFail)
	}
}

func (r *thing) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var model thingModel
	resp.Diagnostics.Append(req.State.Get(ctx, &model)...)
	if _, found := r.things[model.Name.ValueString()]; !found {
		resp.State.RemoveResource(ctx)
		return
	}
	if r.readText != "" {
		model.Text = types.StringValue(r.readText)
	}
	if r.noteAtRead != "" {
		model.Note = types.StringValue(r.noteAtRead)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}

func (r *thing) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var model thingModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &model)...)
	r.calls = append(r.calls, "update "+model.Name.ValueString())
	if r.updateFail != "" {
		resp.Diagnostics.AddError("It is as it was", r.updateFail)
		return
	}
	r.made(ctx, &model)
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}

func (r *thing) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("name"), req, resp)
}

func (r *thing) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var model thingModel
	resp.Diagnostics.Append(req.State.Get(ctx, &model)...)
	r.calls = append(r.calls, "delete "+model.Name.ValueString())
	r.noteDeleted = model.Note.ValueString()
	if r.deleteFail != "" {
		resp.Diagnostics.AddError("It is still there", r.deleteFail)
		return
	}
	delete(r.things, model.Name.ValueString())
}

// a returns a configuration of one thing.
func a(more string) string {
	return fmt.Sprintf("resource \"shop_thing\" \"a\" {\n name = \"a\"\n%s\n}\n", more)
}

// failure returns the error of steps, or nil.
func (s *shop) failure(t *testing.T, steps ...tftest.TestStep) error {
	t.Helper()
	d := &driver{Context: t.Context(), start: s.start, state: state{}}
	for i, step := range steps {
		if step.PreConfig != nil {
			step.PreConfig()
		}
		if err := d.step(t, step); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return d.end()
}

// TestFindsWhatIsWrong: everything that Terraform and plugin-testing refuse is refused here too, in the same words.
func TestFindsWhatIsWrong(t *testing.T) {
	config := tftest.TestStep{Config: a(`text = "x"`)}
	for name, test := range map[string]struct {
		shop  shop
		steps []tftest.TestStep
		want  string
	}{
		"nothing":                        {steps: []tftest.TestStep{config, {Config: config.Config, PlanOnly: true}}},
		"another result than planned":    {shop: shop{applied: "y"}, steps: []tftest.TestStep{config}, want: "step 1: Error running apply: .*inconsistent result after apply"},
		"another plan than configured":   {shop: shop{planText: "y"}, steps: []tftest.TestStep{config}, want: "step 1: Error running pre-apply plan: .*invalid plan"},
		"a plan that is never empty":     {shop: shop{readText: "y"}, steps: []tftest.TestStep{config}, want: `the refresh plan was not empty.*text: "y" -> "x"`},
		"a plan that is empty":           {steps: []tftest.TestStep{{Config: config.Config, ExpectNonEmptyPlan: true}}, want: "Expected a non-empty plan"},
		"a plan with a change":           {steps: []tftest.TestStep{{Config: config.Config, PlanOnly: true}}, want: "The non-refresh plan was not empty"},
		"a create that fails":            {shop: shop{createFail: "half"}, steps: []tftest.TestStep{config}, want: "Error running apply: .*It is not whole.*half"},
		"a delete that fails":            {shop: shop{deleteFail: "stuck"}, steps: []tftest.TestStep{config, {Config: config.Config, Destroy: true}}, want: "step 2: Error running destroy: .*stuck"},
		"a delete that fails at its end": {shop: shop{deleteFail: "stuck"}, steps: []tftest.TestStep{config}, want: "^Error: It is still there"},
		"a check that fails":             {steps: []tftest.TestStep{{Config: config.Config, Check: tftest.TestCheckResourceAttr("shop_thing.a", "text", "z")}}, want: "Check failed: .*expected \"z\", got \"x\""},
		"a check of a plan that fails": {steps: []tftest.TestStep{{Config: config.Config, ConfigPlanChecks: tftest.ConfigPlanChecks{
			PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("shop_thing.a", plancheck.ResourceActionUpdate)}}}}, want: "Pre-apply plan check.* failed.*expected Update"},
		"an argument that there is not": {steps: []tftest.TestStep{{Config: a("colour = 1")}}, want: "Unsupported argument"},
		"an argument that is missing":   {steps: []tftest.TestStep{{Config: a("parts = { x = {} }")}}, want: `attribute "size" is required`},
		"a reference to nothing":        {steps: []tftest.TestStep{{Config: a("text = shop_thing.b.text")}}, want: "undeclared resource"},
		"a state that a refresh changes": {steps: []tftest.TestStep{config, {RefreshState: true, PreConfig: nil}, {Config: a(`text = "z"`), PlanOnly: true}},
			want: "step 3: The non-refresh plan was not empty"},
		"an import of what there is not": {steps: []tftest.TestStep{config, {ResourceName: "shop_thing.a", ImportState: true, ImportStateId: "b"}}, want: "step 2: Error: Cannot import non-existent"},
		"an import that finds less": {steps: []tftest.TestStep{config, {ResourceName: "shop_thing.a", ImportState: true, ImportStateId: "a",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"note"}}}, want: "step 2: ImportStateVerify.*text"},
		"an import that finds all that it has to": {steps: []tftest.TestStep{config, {ResourceName: "shop_thing.a", ImportState: true, ImportStateId: "a",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"note", "text"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			test.shop.things = map[string]string{}
			err := test.shop.failure(t, test.steps...)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !regexp.MustCompile("(?s)"+test.want).MatchString(err.Error())):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestFailuresInState: a failed update leaves the old state, and a failed create leaves an object to replace.
func TestFailuresInState(t *testing.T) {
	s := &shop{things: map[string]string{}}
	broken := regexp.MustCompile("broken")
	Run(t, s.start,
		tftest.TestStep{PreConfig: func() { s.createFail = "broken" }, Config: a(`text = "x"`), ExpectError: broken},
		tftest.TestStep{
			PreConfig: func() { s.createFail = "" }, Config: a(`text = "x"`),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("shop_thing.a", plancheck.ResourceActionReplace)}},
		},
		tftest.TestStep{PreConfig: func() { s.updateFail = "broken" }, Config: a(`text = "y"`), ExpectError: broken},
		tftest.TestStep{PreConfig: func() { s.updateFail = "" }, RefreshState: true, ExpectNonEmptyPlan: false, Config: a(`text = "y"`), ExpectError: regexp.MustCompile(`"x" -> "y"`)},
		tftest.TestStep{Config: a(`text = "y"`), Check: tftest.TestCheckResourceAttr("shop_thing.a", "text", "y")},
		tftest.TestStep{PreConfig: func() { delete(s.things, "a") }, Config: a(`text = "y"`),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("shop_thing.a", plancheck.ResourceActionCreate)}}},
	)
	want := []string{"create a", "delete a", "create a", "update a", "update a", "create a", "delete a"}
	if diff := cmp.Diff(want, s.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestOrder: an object that refers to another is created after it and destroyed before it, gets its values once they
// are known, and is replaced if it has to be.
func TestOrder(t *testing.T) {
	s := &shop{things: map[string]string{}}
	two := func(name string) string {
		return a(fmt.Sprintf("text = shop_thing.b.note\nsecret = terraform_data.key.output\nparts = { x = { size = %d } }", len(name))) +
			fmt.Sprintf("resource \"shop_thing\" \"b\" { name = %q }\nresource \"terraform_data\" \"key\" { input = \"swordfish\" }\n", name)
	}
	Run(t, s.start,
		tftest.TestStep{Config: two("b"), Check: tftest.ComposeAggregateTestCheckFunc(
			tftest.TestCheckResourceAttr("shop_thing.a", "text", "made"), tftest.TestCheckNoResourceAttr("shop_thing.a", "secret"),
			tftest.TestCheckResourceAttr("shop_thing.a", "parts.%", "1"), tftest.TestCheckResourceAttr("shop_thing.a", "parts.x.id", "id of x"),
			func(*terraform.State) error {
				if s.things["a"] != "swordfish" {
					return fmt.Errorf("the secret was %q", s.things["a"])
				}
				return nil
			},
		), ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{check(func(plan plancheck.CheckPlanRequest) error {
			change := plan.Plan.ResourceChanges[0]
			unknown := change.Change.AfterUnknown.(map[string]any)
			if diff := cmp.Diff(map[string]any{"note": true, "text": true, "parts": map[string]any{"x": map[string]any{"id": true}}}, unknown); change.Address != "shop_thing.a" || diff != "" {
				return errors.New(change.Address + " (-want +got):\n" + diff)
			}
			return nil
		})}}},
		tftest.TestStep{Config: two("bb"), ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
			plancheck.ExpectResourceAction("shop_thing.b", plancheck.ResourceActionDestroyBeforeCreate), plancheck.ExpectResourceAction("shop_thing.a", plancheck.ResourceActionUpdate)}},
			Check: tftest.TestCheckResourceAttr("shop_thing.a", "parts.x.id", "id of x")},
		tftest.TestStep{Config: a(""), Check: func(state *terraform.State) error {
			if found := state.RootModule().Resources; len(found) != 1 {
				return fmt.Errorf("there are %v", found)
			}
			return nil
		}},
	)
	want := []string{"create b", "create a", "delete b", "create bb", "update a", "delete bb", "update a", "delete a"}
	if diff := cmp.Diff(want, s.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestOrphanBeginsAtTheState: an object that has left the configuration is read, and its destroy is planned and applied
// from the state before that.
func TestOrphanBeginsAtTheState(t *testing.T) {
	s := &shop{things: map[string]string{}}
	Run(t, s.start, tftest.TestStep{Config: a(`text = "x"`)}, tftest.TestStep{
		PreConfig: func() { s.noteAtRead = "moved" }, Config: "",
		ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{check(func(plan plancheck.CheckPlanRequest) error {
			before := plan.Plan.ResourceChanges[0].Change.Before.(map[string]any)
			if before["note"] == "moved" {
				return fmt.Errorf("the change begins at %v", before)
			}
			return nil
		})}},
	})
	if s.noteDeleted == "moved" {
		t.Error("the delete was given what a look has found")
	}
}

type check func(plancheck.CheckPlanRequest) error

func (c check) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	resp.Error = c(req)
}

// TestSupports: whatever this package does not do is left to Terraform.
func TestSupports(t *testing.T) {
	if err := Supports("shop", []tftest.TestStep{{Config: a(`text = file("x")`)}, {RefreshState: true}, {Config: "nonsense {"}}); err != nil {
		t.Error(err)
	}
	for _, step := range []tftest.TestStep{
		{ImportState: true}, {Config: a("lifecycle { create_before_destroy = true }")}, {Config: a("count = 2")},
		{Config: "output \"x\" { value = 1 }"}, {Config: "ephemeral \"shop_thing\" \"x\" {}"}, {Config: "resource \"other_thing\" \"x\" {}"},
		{Config: a("text = var.x")}, {Config: a("text = upper(\"x\")")}, {Config: a("depends_on = [shop_thing.b]")},
	} {
		if err := Supports("shop", []tftest.TestStep{step}); err == nil || !strings.Contains(err.Error(), "not supported") {
			t.Errorf("%+v: %v", step, err)
		}
	}
}

// TestWaitsTakeNoTime: a provider that waits an hour does not make the test wait.
func TestWaitsTakeNoTime(t *testing.T) {
	s := &shop{things: map[string]string{}}
	began := time.Now()
	Run(t, s.start, tftest.TestStep{Config: a(""), Check: func(*terraform.State) error {
		time.Sleep(time.Hour)
		if time.Since(began) < time.Hour {
			return fmt.Errorf("no hour has passed, but %s", time.Since(began))
		}
		return nil
	}})
	if took := time.Since(began); took > 30*time.Minute {
		t.Errorf("it took %s", took)
	}
}
