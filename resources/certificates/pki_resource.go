package certificates

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

var (
	_ resource.ResourceWithConfigure  = (*pkiResource)(nil)
	_ resource.ResourceWithModifyPlan = (*pkiResource)(nil)
)

// pkiResource is etcd_pki. All of it is in the state; there is nothing outside to look at.
type pkiResource struct{ providerData *providerdata.Data }

// pkiModel is etcd_pki as Terraform has it.
type pkiModel struct {
	Name                types.String `tfsdk:"name"`
	Algorithm           types.String `tfsdk:"algorithm"`
	Validity            types.String `tfsdk:"validity"`
	Authority           types.Object `tfsdk:"authority"`
	ClientAuthority     types.Object `tfsdk:"client_authority"`
	ExpiresAt           types.String `tfsdk:"expires_at"`
	PeerCACertificate   types.String `tfsdk:"peer_ca_certificate"`
	ClientCACertificate types.String `tfsdk:"client_ca_certificate"`
}

// NewPKI is the resource etcd_pki.
func NewPKI() resource.Resource { return &pkiResource{} }

// Metadata names it.
func (r *pkiResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_pki"
}

// Schema says what a configuration may say.
func (r *pkiResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = pkiSchema()
}

// Configure takes what the provider gives.
func (r *pkiResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.providerData = providerdata.From(req.ProviderData, &resp.Diagnostics)
}

// Create makes both authorities.
func (r *pkiResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan pkiModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	validity, _ := time.ParseDuration(plan.Validity.ValueString()) // its validator has parsed it
	authorities, err := pki.NewAuthorities(plan.Name.ValueString(), pki.Algorithm(plan.Algorithm.ValueString()), validity, r.providerData.Now())
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("The authorities of %s were not made", plan.Name.ValueString()), err.Error())
		return
	}
	resp.Diagnostics.Append(plan.hold(ctx, authorities)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// hold takes the authorities into the model.
func (p *pkiModel) hold(ctx context.Context, authorities pki.Authorities) (diags diag.Diagnostics) {
	both, err := authority.Of(authorities)
	if err != nil {
		diags.AddError("The keys of the authorities cannot be kept", err.Error())
		return diags
	}
	var d diag.Diagnostics
	p.Authority, diags = types.ObjectValueFrom(ctx, authority.Type().AttrTypes, both)
	p.ClientAuthority, d = types.ObjectValueFrom(ctx, authority.ClientType().AttrTypes, authority.ClientModel{Client: both.Client})
	p.PeerCACertificate, p.ClientCACertificate = both.Peer.Certificate, both.Client.Certificate
	p.expire()
	return append(diags, d...)
}

// expire fills in when the authorities expire, by their certificates.
func (p *pkiModel) expire() {
	p.ExpiresAt = types.StringNull()
	if first, err := authority.FirstToExpire(p.PeerCACertificate.ValueString(), p.ClientCACertificate.ValueString()); err == nil {
		p.ExpiresAt = types.StringValue(first.NotAfter.UTC().Format(time.RFC3339))
	}
}

// Read changes nothing, but for what a release has added since.
func (r *pkiResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state pkiModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	state.expire()
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update saves another spelling of the same values; every other change is refused by its plan.
func (r *pkiResource) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = req.Plan.Raw
}

// Delete forgets the authorities, unless that is half of a replacement, and with them the files of their certificate that etcd_certificate
// resources have left in the same run.
func (r *pkiResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	planned, diags := private.TakeDestroyPlan(ctx, resp.Private)
	resp.Diagnostics.Append(diags...)
	if !resp.Diagnostics.HasError() && !planned {
		resp.Diagnostics.AddError("The authorities are not replaced", "Their destruction is one half of a replacement (terraform taint, or -replace): "+
			"their keys would be lost, and with them the way to issue certificates to the cluster that runs on them. Nothing was changed. "+
			"Untaint it (terraform untaint), or plan without -replace.")
	}
	var state pkiModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(warnLeft(r.providerData.AuthorityFiles.Each(func(file string) error { return removeIfHolds(file, state.ClientCACertificate.ValueString()) }))...)
	}
}

// ModifyPlan refuses changes: a cluster trusts the authorities as they are.
func (r *pkiResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		resp.Diagnostics.Append(private.PlanDestroy(ctx, resp.Private)...)
		var state pkiModel
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		resp.Diagnostics.Append(state.warnGone()...)
		return
	}
	if req.State.Raw.IsNull() {
		return
	}
	var plan, state pkiModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// What cannot change is taken for what it was. Where it turns out to be something else, the apply is refused.
	plan.Name, plan.Algorithm, plan.Validity = value.OrBefore(plan.Name, state.Name), value.OrBefore(plan.Algorithm, state.Algorithm), value.OrBefore(plan.Validity, state.Validity)
	resp.Diagnostics.Append(plan.refuseChanges(state)...)
	plan.Authority, plan.ClientAuthority = state.Authority, state.ClientAuthority
	plan.ExpiresAt = state.ExpiresAt
	plan.PeerCACertificate, plan.ClientCACertificate = state.PeerCACertificate, state.ClientCACertificate
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// refuseChanges refuses what would need other authorities.
func (p pkiModel) refuseChanges(state pkiModel) (diags diag.Diagnostics) {
	refuse := func(name, remedy string, is types.String) {
		diags.AddAttributeError(path.Root(name), name+" of authorities cannot be changed",
			fmt.Sprintf("The authorities that are there have %s, and this version of the provider does not exchange those of a running cluster. "+remedy+".", is))
	}
	if !p.Name.Equal(state.Name) {
		refuse("name", "Set name to that", state.Name)
	}
	if !p.Algorithm.Equal(state.Algorithm) {
		refuse("algorithm", "Set algorithm to that, or leave it out", state.Algorithm)
	}
	desired, _ := time.ParseDuration(p.Validity.ValueString()) // its validator has parsed it
	if lasts, _ := time.ParseDuration(state.Validity.ValueString()); desired != lasts {
		refuse("validity", "Set validity to that, or leave it out", state.Validity)
	}
	return diags
}

// asMade leaves what a configuration does not set as the authorities were made, here or elsewhere. Its value is the default of
// those that are yet to be made.
type asMade string

// Description implements planmodifier.Describer.
func (d asMade) Description(context.Context) string {
	return "authorities that are there keep theirs; " + string(d) + " for new ones"
}

// MarkdownDescription implements planmodifier.Describer.
func (d asMade) MarkdownDescription(ctx context.Context) string { return d.Description(ctx) }

// PlanModifyString plans what the configuration leaves out.
func (d asMade) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	switch {
	case !req.ConfigValue.IsNull():
	case req.State.Raw.IsNull():
		resp.PlanValue = types.StringValue(string(d))
	default:
		resp.PlanValue = req.StateValue
	}
}
