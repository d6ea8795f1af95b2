package certificates

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

var _ ephemeral.EphemeralResourceWithConfigure = (*ephemeralCertificate)(nil)

// ephemeralValidity is the default lifetime of a certificate that is made for one run.
const ephemeralValidity = "1h"

// ephemeralCertificate implements the ephemeral resource etcd_certificate.
type ephemeralCertificate struct{ providerData *providerdata.Data }

// ephemeralModel holds the ephemeral etcd_certificate as Terraform sees it.
type ephemeralModel struct {
	PKI           types.Object     `tfsdk:"pki"`
	CommonName    types.String     `tfsdk:"common_name"`
	Organization  types.List       `tfsdk:"organization"`
	Names         types.Set        `tfsdk:"alternative_names"`
	Usages        types.Set        `tfsdk:"usages"`
	Validity      types.String     `tfsdk:"validity"`
	Algorithm     types.String     `tfsdk:"algorithm"`
	PrivateKey    sensitive.String `tfsdk:"private_key"`
	Certificate   types.String     `tfsdk:"certificate"`
	CACertificate types.String     `tfsdk:"ca_certificate"`
	NotAfter      types.String     `tfsdk:"expires_at"`
}

// NewEphemeralCertificate returns the ephemeral resource etcd_certificate.
func NewEphemeralCertificate() ephemeral.EphemeralResource { return &ephemeralCertificate{} }

// Metadata sets the name of the resource type.
func (e *ephemeralCertificate) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_certificate"
}

// Schema describes the attributes.
func (e *ephemeralCertificate) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A client certificate with its key for one run: no state and no plan holds them. " +
			"Configure another provider by it, or give it to a write-only attribute. Each run makes another certificate, which nobody revokes: it expires.",
		Attributes: map[string]schema.Attribute{
			"pki": authority.ClientEphemeral(),
			"common_name": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: aboutCommonName,
				Validators:          commonNameRules,
			},
			"organization": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: aboutOrganization,
				Validators:          organizationRules,
			},
			"alternative_names": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: aboutNames,
				Validators:          namesRules,
			},
			"usages": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: aboutUsages,
				Validators:          usagesRules,
			},
			"validity": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "How long the certificate is valid, as a duration like `1h`: at least 10m. Default: `1h`.",
				Validators:          []validator.String{validate.Lifetime},
			},
			"algorithm": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Algorithm of the key. " + validate.AboutAlgorithms(),
				Validators:          []validator.String{validate.OneOfAlgorithms()},
			},
			"private_key":    schema.StringAttribute{Computed: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: "The private key, PEM."},
			"certificate":    schema.StringAttribute{Computed: true, MarkdownDescription: "The certificate, PEM."},
			"ca_certificate": schema.StringAttribute{Computed: true, MarkdownDescription: aboutCACertificate},
			"expires_at":     schema.StringAttribute{Computed: true, MarkdownDescription: "When the certificate expires, as RFC 3339 in UTC."},
		},
	}
}

// Configure receives the provider's data.
func (e *ephemeralCertificate) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.providerData = providerdata.From(req.ProviderData, &resp.Diagnostics)
}

// Open makes a key and has its certificate issued.
func (e *ephemeralCertificate) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var model ephemeralModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	authority, diags := authority.ClientFrom(ctx, model.PKI)
	resp.Diagnostics.Append(diags...)
	if model.Validity.IsNull() {
		model.Validity = types.StringValue(ephemeralValidity)
	}
	want, diags := requestOf(ctx, model.CommonName, model.Organization, model.Names, model.Usages, model.Validity)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	if model.Algorithm.IsNull() {
		model.Algorithm = types.StringValue(string(pki.DefaultAlgorithm))
	}
	if err := e.open(ctx, &model, authority, want); err != nil {
		resp.Diagnostics.AddError("The certificate was not issued", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.Result.Set(ctx, &model)...)
}

// open makes a key, has its certificate issued, and writes both into the model.
func (e *ephemeralCertificate) open(ctx context.Context, model *ephemeralModel, authority authority.ClientModel, want pki.Request) error {
	now := e.providerData.Now()
	clients, err := authority.Client.Parse(now)
	if err != nil {
		return err
	}
	leaf, err := clients.NewLeaf(ctx, want, pki.Algorithm(model.Algorithm.ValueString()), now)
	if err != nil {
		return err
	}
	key, err := leaf.PrivateKeyPEM()
	if err != nil {
		return err
	}
	info, err := cert.Inspect(leaf.CertificatePEM())
	if err != nil {
		return err
	}
	model.PrivateKey, model.Certificate = sensitive.Of(string(key)), types.StringValue(string(leaf.CertificatePEM()))
	model.CACertificate = authority.Bundle()
	model.NotAfter = types.StringValue(info.NotAfter.UTC().Format(time.RFC3339))
	return nil
}
