// Package snapshots has etcd_snapshot, a snapshot that an apply takes, and etcd_backups, the list of those that hosts
// make.
package snapshots

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/resourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/s3"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/timeout"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

var (
	_ resource.ResourceWithConfigure        = (*snapshotResource)(nil)
	_ resource.ResourceWithConfigValidators = (*snapshotResource)(nil)
	_ resource.ResourceWithValidateConfig   = (*snapshotResource)(nil)
	_ resource.ResourceWithModifyPlan       = (*snapshotResource)(nil)
)

// snapshotResource implements etcd_snapshot.
type snapshotResource struct{ providerData *providerdata.Data }

// New returns the resource etcd_snapshot.
func New() resource.Resource { return &snapshotResource{} }

// Metadata sets the name of the resource type.
func (r *snapshotResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_snapshot"
}

// Schema describes the attributes.
func (r *snapshotResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = snapshotSchema(ctx)
}

// Configure receives the provider's data.
func (r *snapshotResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.providerData = providerdata.From(req.ProviderData, &resp.Diagnostics)
}

// ConfigValidators require one place to keep the snapshot.
func (r *snapshotResource) ConfigValidators(context.Context) []resource.ConfigValidator {
	return []resource.ConfigValidator{resourcevalidator.ExactlyOneOf(path.MatchRoot("file"), path.MatchRoot("s3"))}
}

// ValidateConfig refuses values that contradict each other.
func (r *snapshotResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config snapshotModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(s3.Check(path.Root("s3"), config.S3)...)
}

// Create takes the snapshot.
func (r *snapshotResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var config, plan snapshotModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	plan.notTaken()
	working, cancel := timeout.Bound(ctx, plan.Timeouts.Create, snapshotTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(r.take(working, config, &plan, snapshotModel{})...)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	}
}

// Read compares the file with what was written.
func (r *snapshotResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state snapshotModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	state.Status = types.StringValue(state.look())
	state.note(r.providerData)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update takes another snapshot if the plan says so. A whole new snapshot replaces the earlier one, or none does.
func (r *snapshotResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var config, state, plan snapshotModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	working, cancel := timeout.Bound(ctx, plan.Timeouts.Update, snapshotTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	if plan.SHA256.IsUnknown() {
		resp.Diagnostics.Append(r.take(working, config, &plan, state)...)
	}
	if resp.Diagnostics.HasError() {
		plan = state
	} else if left := state.leftBehind(plan); left != "" {
		resp.Diagnostics.AddWarning("The previous snapshot stays where it is", left)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Delete deletes the snapshot if the destroy was planned and purge_data is true. For the destroy half of a replacement
// it renames the file.
func (r *snapshotResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state snapshotModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	planned, diags := private.TakeDestroyPlan(ctx, resp.Private)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := state.remove(planned); err != nil {
		resp.Diagnostics.AddError("The snapshot was not deleted", err.Error())
	}
}

// ModifyPlan looks at where a new file would be written. The last refresh has found what became of the state's file.
func (r *snapshotResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		resp.Diagnostics.Append(private.PlanDestroy(ctx, resp.Private)...)
		return
	}
	var plan snapshotModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if req.State.Raw.IsNull() {
		resp.Diagnostics.Append(plan.mustFit(r.providerData)...)
		plan.notTaken()
		resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
		return
	}
	var state snapshotModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	plan.keep(state)
	status, another := state.Status.ValueString(), plan.wantsAnother(state)
	resp.Diagnostics.Append(state.compared(another && plan.File.Equal(state.File))...)
	state.note(r.providerData)
	switch {
	case !plan.File.Equal(state.File):
		resp.Diagnostics.Append(plan.mustFit(r.providerData)...)
	case another && value.Known(ctx, plan.Triggers, plan.Cluster): // else the apply may turn out to write nothing
		resp.Diagnostics.Append(plan.mustBeWritable()...)
	}
	switch {
	case !another:
		plan.Cluster = state.Cluster // other ways to its hosts are for the next snapshot
	case status == snapshotIntact:
		plan.notTaken()
	default:
		plan.notTaken()
		plan.Status = types.StringUnknown() // what was not known by now may turn out to ask for no other
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}
