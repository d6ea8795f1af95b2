package certificates

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
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
	return append(diags, d...)
}

// Read changes nothing.
func (r *pkiResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

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
	plan.PeerCACertificate, plan.ClientCACertificate = state.PeerCACertificate, state.ClientCACertificate
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// refuseChanges refuses what would need other authorities.
func (p pkiModel) refuseChanges(state pkiModel) (diags diag.Diagnostics) {
	refuse := func(name string, before types.String) {
		diags.AddAttributeError(path.Root(name), name+" of authorities cannot be changed",
			fmt.Sprintf("It would take new authorities, and this version of the provider does not exchange those of a living cluster. Put back %s.", before))
	}
	if !p.Name.Equal(state.Name) {
		refuse("name", state.Name)
	}
	if !p.Algorithm.Equal(state.Algorithm) {
		refuse("algorithm", state.Algorithm)
	}
	desired, _ := time.ParseDuration(p.Validity.ValueString()) // its validator has parsed it
	if lasts, _ := time.ParseDuration(state.Validity.ValueString()); desired != lasts {
		refuse("validity", state.Validity)
	}
	return diags
}
