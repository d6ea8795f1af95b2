// Package certificates implements etcd_pki, the authorities of a cluster, and etcd_certificate, the certificates of its
// clients.
package certificates

import (
	"context"
	"errors"
	"os"

	"github.com/hashicorp/terraform-plugin-framework-validators/resourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

var (
	_ resource.ResourceWithConfigure        = (*certificateResource)(nil)
	_ resource.ResourceWithConfigValidators = (*certificateResource)(nil)
	_ resource.ResourceWithValidateConfig   = (*certificateResource)(nil)
	_ resource.ResourceWithModifyPlan       = (*certificateResource)(nil)
)

// certificateResource implements etcd_certificate.
type certificateResource struct{ providerData *providerdata.Data }

// NewCertificate returns the resource etcd_certificate.
func NewCertificate() resource.Resource { return &certificateResource{} }

// Metadata sets the name of the resource type.
func (r *certificateResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_certificate"
}

// Schema describes the attributes.
func (r *certificateResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = certificateSchema()
}

// Configure receives the provider's data.
func (r *certificateResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.providerData = providerdata.From(req.ProviderData, &resp.Diagnostics)
}

// ConfigValidators require exactly one source of the key.
func (r *certificateResource) ConfigValidators(context.Context) []resource.ConfigValidator {
	return []resource.ConfigValidator{resourcevalidator.ExactlyOneOf(path.MatchRoot("private_key_file"), path.MatchRoot("csr"))}
}

// ValidateConfig refuses values that contradict each other. The plan, and not the validation, checks the authority: a
// Terraform test that mocks etcd_pki validates any text in its place.
func (r *certificateResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config certificateModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(config.check()...)
}

// Create issues the certificate.
func (r *certificateResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var config, plan certificateModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(r.issue(ctx, config.PKI, &plan, nil, earlier{}, resp.Private)...)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	}
}

// Read compares the certificate with the clock and with the files, and says whether the next apply issues another.
func (r *certificateResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state certificateModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	now := r.providerData.Now()
	made, diags := keyMade(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(state.look(now, made)...)
	resp.Diagnostics.Append(noteLook(ctx, resp.Private, now)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update issues another certificate if the plan says so, and writes the files to their configured places.
func (r *certificateResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var config, plan, state certificateModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	written, diags := earlierOf(ctx, req.Private, &state)
	resp.Diagnostics.Append(diags...)
	if plan.CACertificate.IsUnknown() {
		authority, diags := authority.ClientFrom(ctx, config.PKI)
		resp.Diagnostics.Append(diags...)
		plan.CACertificate = authority.Bundle()
	}
	if plan.RenewalDue.IsUnknown() { // the renewal waits
		plan.RenewalDue = state.RenewalDue
	}
	if plan.Certificate.IsUnknown() {
		resp.Diagnostics.Append(r.issue(ctx, config.PKI, &plan, &state, written, resp.Private)...)
	} else if err := plan.refuseOverwriting(plan.CACertificate.ValueString(), written); err != nil {
		resp.Diagnostics.AddError(notOverwritten, err.Error()+"\n\nNo file was changed.")
	} else if err := plan.writeFiles(written); err != nil {
		resp.Diagnostics.AddError("The certificate was not written", err.Error())
	}
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(written.noteFormer(ctx, resp.Private, plan.CACertificate.ValueString())...)
	resp.Diagnostics.Append(warnLeft(state.removeFiles(plan, &r.providerData.AuthorityFiles))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Delete deletes the certificate's file, and a key that the resource has made.
func (r *certificateResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state certificateModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	made, diags := keyMade(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := state.removeFiles(certificateModel{}, &r.providerData.AuthorityFiles)
	if file := state.PrivateKeyFile.ValueString(); file != "" && file == made {
		if key, unreadable := readKey(file); unreadable == nil && belongs(state.Certificate.ValueString(), key) {
			local, _ := ssh.ExpandHome(file) // it has just been read
			place, _ := placeOf(file)
			err = errors.Join(err, r.providerData.Files.Leave(place, state.SerialNumber.ValueString(), func() error { return os.Remove(local) }))
		}
	}
	resp.Diagnostics.Append(warnLeft(err)...)
}

// refuseFiles refuses a plan that would overwrite another authority's files, if the plan knows the authority. The apply
// looks at the files again before it writes.
func (c certificateModel) refuseFiles(written earlier) (diags diag.Diagnostics) {
	if c.CACertificate.IsUnknown() || c.CertificateFile.IsUnknown() || c.CACertificateFile.IsUnknown() {
		return nil
	}
	if err := c.refuseOverwriting(c.CACertificate.ValueString(), written); err != nil {
		diags.AddError(notOverwritten, err.Error()+"\n\nNothing was changed.")
	}
	return diags
}

// ModifyPlan depends on configuration and state alone. The last refresh, which has a clock, has found whether the
// certificate is due.
func (r *certificateResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		var state certificateModel
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		if !resp.Diagnostics.HasError() {
			resp.Diagnostics.Append(state.refuseDestroyed(ctx, req.Private, &r.providerData.Files)...)
		}
		return
	}
	var config, plan certificateModel
	var state *certificateModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if !req.State.Raw.IsNull() {
		state = new(certificateModel)
		resp.Diagnostics.Append(req.State.Get(ctx, state)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	authority, diags := authority.ClientFrom(ctx, config.PKI)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(authority.Check()...)
	resp.Diagnostics.Append(authority.RefuseEphemeral(r.providerData.Ephemeral.Made)...)
	resp.Diagnostics.Append(plan.check()...)
	if state != nil {
		resp.Diagnostics.Append(authority.MustShow()...)
	}
	looked, diags := lookedAt(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	written, diags := earlierOf(ctx, req.Private, state)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	made, diags := keyMade(ctx, req.Private)
	resp.Diagnostics.Append(diags...)
	rekeys := plan.rekeys(state, made)
	plan.plan(ctx, authority, state, looked, rekeys)
	if rekeys && plan.Certificate.IsUnknown() && plan.PlannedChange.ValueString() != purposeRenewal {
		resp.Diagnostics.Append(plan.warnRekeyed(*state)...)
	}
	resp.Diagnostics.Append(plan.refuseNames(ctx, authority)...)
	resp.Diagnostics.Append(plan.checkKey(authority, state, looked)...)
	resp.Diagnostics.Append(plan.checkEnd(authority, state, r.providerData.Now())...)
	plan.alert(authority, state, looked)
	resp.Diagnostics.Append(plan.refuseFiles(written)...)
	resp.Diagnostics.Append(plan.refuseShared(ctx, state, req.Private, &r.providerData.Files)...)
	if file := plan.PrivateKeyFile.ValueString(); file != "" && plan.Certificate.IsUnknown() {
		_, err := readKey(file)
		resp.Diagnostics.Append(refuseKey(err)...)
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}
