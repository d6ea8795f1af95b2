package certificates

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/rotation"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

var (
	_ resource.ResourceWithConfigure  = (*pkiResource)(nil)
	_ resource.ResourceWithModifyPlan = (*pkiResource)(nil)
)

// pkiResource implements etcd_pki. All of it is in the state, so that a refresh asks nobody.
type pkiResource struct{ providerData *providerdata.Data }

// pkiModel holds etcd_pki as Terraform sees it.
type pkiModel struct {
	Name                types.String `tfsdk:"name"`
	Algorithm           types.String `tfsdk:"algorithm"`
	Validity            types.String `tfsdk:"validity"`
	Chain               types.Object `tfsdk:"chain"`
	Rotation            types.Object `tfsdk:"rotation"`
	Authority           types.Object `tfsdk:"authority"`
	ClientAuthority     types.Object `tfsdk:"client_authority"`
	ExpiresAt           types.String `tfsdk:"expires_at"`
	PeerCACertificate   types.String `tfsdk:"peer_ca_certificate"`
	ClientCACertificate types.String `tfsdk:"client_ca_certificate"`
	PeerFingerprints    types.List   `tfsdk:"peer_ca_fingerprints"`
	ClientFingerprints  types.List   `tfsdk:"client_ca_fingerprints"`
	PeersExpireAt       types.List   `tfsdk:"peer_ca_expires_at"`
	ClientsExpireAt     types.List   `tfsdk:"client_ca_expires_at"`
	Revoked             types.Set    `tfsdk:"revoked"`
	ClientCRL           types.String `tfsdk:"client_crl"`
}

// NewPKI returns the resource etcd_pki.
func NewPKI() resource.Resource { return &pkiResource{} }

// Metadata sets the name of the resource type.
func (r *pkiResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_pki"
}

// Schema describes the attributes.
func (r *pkiResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = pkiSchema()
}

// Configure receives the provider's data.
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
	desired, _, diags := plan.desired(ctx)
	resp.Diagnostics.Append(diags...)
	authorities, err := pki.NewAuthorities(plan.Name.ValueString(), pki.Algorithm(plan.Algorithm.ValueString()), plan.lifetime(), r.providerData.Now())
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("The authorities of %s were not made", plan.Name.ValueString()), err.Error())
		return
	}
	resp.Diagnostics.Append(plan.holdNew(ctx, authorities, pki.Authorities{})...)
	resp.Diagnostics.Append(record(ctx, resp.Private, rotation.Made(desired))...)
	resp.Diagnostics.Append(plan.identify(ctx, resp.Identity)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// lifetime returns the validity of a new authority.
func (p pkiModel) lifetime() time.Duration {
	validity, _ := time.ParseDuration(p.Validity.ValueString()) // its validator has parsed it
	return validity
}

// holdNew writes authorities that were just made or imported into the model, and signs the first list of revoked
// certificates. trusted has the authorities that are trusted beside them, nil if there is none.
func (p *pkiModel) holdNew(ctx context.Context, authorities, trusted pki.Authorities) (diags diag.Diagnostics) {
	held, err := authority.Of(authorities)
	if err == nil {
		held.Trusted, err = authority.TrustedOf(trusted)
	}
	if err != nil {
		diags.AddError("The keys of the authorities cannot be kept", err.Error())
		return diags
	}
	diags = p.hold(ctx, held)
	return append(diags, p.revoke(ctx, authorities.Clients)...)
}

// hold writes authorities, and all that their certificates say, into the model.
func (p *pkiModel) hold(ctx context.Context, held authority.Model) (diags diag.Diagnostics) {
	var d diag.Diagnostics
	p.Authority, diags = types.ObjectValueFrom(ctx, authority.Type().AttrTypes, held)
	p.ClientAuthority, d = types.ObjectValueFrom(ctx, authority.ClientType().AttrTypes, held.ForClients())
	p.PeerCACertificate, p.ClientCACertificate = held.Bundles()
	p.inspect(ctx)
	return append(diags, d...)
}

// inspect fills in the fingerprints and expiry times of the authorities.
func (p *pkiModel) inspect(ctx context.Context) {
	p.PeerFingerprints, p.PeersExpireAt = inspected(p.PeerCACertificate)
	p.ClientFingerprints, p.ClientsExpireAt = inspected(p.ClientCACertificate)
	if p.PeerCACertificate.IsUnknown() || p.ClientCACertificate.IsUnknown() {
		return // those that sign stay, and with them expires_at
	}
	p.ExpiresAt = types.StringNull()
	if first, err := authority.FirstToExpire(p.PeerCACertificate.ValueString(), p.ClientCACertificate.ValueString(), p.above(ctx)...); err == nil {
		p.ExpiresAt = types.StringValue(first.NotAfter.UTC().Format(time.RFC3339))
	}
}

// above returns the certificates above the signing authorities, if these were imported with their chains.
func (p pkiModel) above(ctx context.Context) []*x509.Certificate {
	held, _ := authority.From(ctx, p.Authority) // one that cannot be read has none
	return held.Above()
}

// inspected returns the fingerprints and expiry times of a bundle's authorities, each in the bundle's order.
func inspected(bundle types.String) (fingerprints, ends types.List) {
	if bundle.IsUnknown() {
		return types.ListUnknown(types.StringType), types.ListUnknown(types.StringType)
	}
	certificates, err := cert.Parse([]byte(bundle.ValueString()))
	if err != nil {
		return types.ListNull(types.StringType), types.ListNull(types.StringType)
	}
	var sums, times []string
	for _, certificate := range certificates {
		info := cert.InfoOf(certificate)
		sums, times = append(sums, info.SHA256), append(times, info.NotAfter.UTC().Format(time.RFC3339))
	}
	return value.List(sums), value.List(times)
}

// Read fills in attributes that a later release has added, and warns of authorities that are about to expire.
func (r *pkiResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state pkiModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	state.inspect(ctx)
	resp.Diagnostics.Append(authority.WarnOfExpiry(state.PeerCACertificate, state.ClientCACertificate, state.above(ctx), state.Name.ValueString(), r.providerData.Now(), path.Root("rotation"))...)
	resp.Diagnostics.Append(state.identify(ctx, resp.Identity)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update moves a rotation on, revokes clients' certificates, or saves another spelling of the same values. The plan
// refuses every other change.
func (r *pkiResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state pkiModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	moves, next, diags := plan.decide(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(plan.rotate(ctx, state, moves, func(name, before string) (authority.KeyPair, error) {
		made, err := pki.NewAuthority(pki.Succeeding(name, before), pki.Algorithm(plan.Algorithm.ValueString()), plan.lifetime(), r.providerData.Now())
		if err != nil {
			return authority.KeyPair{}, err
		}
		return authority.KeyPairOf(made)
	})...)
	if resp.Diagnostics.HasError() {
		return
	}
	if plan.ClientCRL.IsUnknown() { // its plan did not know whom to revoke
		plan.ClientCRL = state.ClientCRL
		if resp.Diagnostics.Append(plan.revokeNow(ctx)...); resp.Diagnostics.HasError() {
			return
		}
	}
	resp.Diagnostics.Append(record(ctx, resp.Private, next)...)
	resp.Diagnostics.Append(plan.identify(ctx, resp.Identity)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Delete forgets the authorities, and deletes the files with their certificate that etcd_certificate resources of this
// run have left. It refuses the destroy half of a replacement.
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

// ModifyPlan plans a rotation and the list of revoked certificates. It refuses all other changes, since a cluster
// trusts the authorities as they are.
func (r *pkiResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		resp.Diagnostics.Append(private.PlanDestroy(ctx, resp.Private)...)
		var state pkiModel
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		resp.Diagnostics.Append(state.warnGone()...)
		return
	}
	var config, plan, state pkiModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(plan.checkChain(ctx, req.State.Raw.IsNull())...)
	if req.State.Raw.IsNull() {
		return
	}
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	plan.Name = value.OrBefore(plan.Name, state.Name)
	moves, diags := plan.planRotation(ctx, state, req.Private)
	resp.Diagnostics.Append(diags...)
	now, _ := recorded(ctx, req.Private)
	for _, planned := range plan.rotationsOf(state, moves, now) {
		r.providerData.Rotations.Plan(planned)
	}
	if moves.Peers == rotation.Cancel || moves.Clients == rotation.Cancel {
		resp.Diagnostics.Append(plan.takeBack(config, &state)...)
	}
	// What cannot change is planned as it was. If the apply finds another value, it is refused.
	if moves.Peers != rotation.Begin || moves.Clients != rotation.Begin {
		plan.Algorithm = value.OrBefore(plan.Algorithm, state.Algorithm)
	}
	if !moves.Changes() {
		plan.Validity = value.OrBefore(plan.Validity, state.Validity)
	}
	resp.Diagnostics.Append(plan.refuseChanges(state, moves)...)
	if plan.ClientCRL = state.ClientCRL; (!plan.Revoked.Equal(state.Revoked) || state.ClientCRL.IsNull()) && !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(plan.revokeNow(ctx)...)
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// takeBack fills in algorithm and validity from the authorities that stay when a rotation is cancelled: in the state,
// and in the plan where the configuration leaves them out. The authorities may have been made at different times with
// different validities; then the configuration says which one counts.
func (p *pkiModel) takeBack(config pkiModel, state *pkiModel) (diags diag.Diagnostics) {
	rotated, lasted := state.Algorithm, state.Validity
	if err := state.describe(p.PeerCACertificate.ValueString(), p.ClientCACertificate.ValueString()); err != nil {
		diags.AddAttributeError(path.Root("rotation"), "The rotation cannot be cancelled", err.Error())
		return diags
	}
	if p.rotates() && !rotated.Equal(state.Algorithm) {
		diags.AddAttributeError(path.Root("rotation"), "The rotation cannot be cancelled by halves", fmt.Sprintf("Both authorities were to get keys of another algorithm, %s, "+
			"and an etcd_pki has one algorithm. Cancel the rotation of both, or go on with both. Nothing was changed.", rotated))
		return diags
	}
	stays := append(validities(p.PeerCACertificate), validities(p.ClientCACertificate)...)
	for _, says := range []types.String{lasted, config.Validity} {
		if lasts, err := time.ParseDuration(says.ValueString()); err == nil && slices.Contains(stays, lasts) {
			state.Validity = says
		}
	}
	if config.Algorithm.IsNull() {
		p.Algorithm = state.Algorithm
	}
	if config.Validity.IsNull() {
		p.Validity = state.Validity
	}
	return nil
}

// refuseChanges refuses values that the present authorities, and those that a rotation makes now, do not have.
func (p pkiModel) refuseChanges(state pkiModel, moves rotation.Moves) (diags diag.Diagnostics) {
	refuse := func(name, remedy string, is types.String) {
		diags.AddAttributeError(path.Root(name), name+" of authorities cannot be changed", fmt.Sprintf("The authorities that are there have %s. "+remedy+".", is))
	}
	if !p.Name.Equal(state.Name) {
		refuse("name", "Set name to that", state.Name)
	}
	peers, clients := moves.Peers == rotation.Begin, moves.Clients == rotation.Begin
	if !p.Algorithm.Equal(state.Algorithm) && !(peers && clients) {
		refuse("algorithm", "Set algorithm to that, or leave it out; another one can come with a rotation of both authorities, in the apply that begins it", state.Algorithm)
	}
	desired, _ := time.ParseDuration(p.Validity.ValueString()) // its validator has parsed it
	if lasts, _ := time.ParseDuration(state.Validity.ValueString()); !p.Validity.IsUnknown() && desired != lasts && !peers && !clients {
		refuse("validity", "Set validity to that, or leave it out; another one can come with a rotation, in the apply that begins it", state.Validity)
	}
	return diags
}

// asMade is a plan modifier that keeps the values with which the authorities were made, if the configuration leaves
// them out. Its own value is the default for new authorities.
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
