package certificates

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

var _ ephemeral.EphemeralResourceWithConfigure = (*ephemeralPKI)(nil)

// ephemeralPKI implements the ephemeral resource etcd_pki.
type ephemeralPKI struct{ providerData *providerdata.Data }

// ephemeralPKIModel holds the ephemeral etcd_pki as Terraform sees it.
type ephemeralPKIModel struct {
	Name      types.String      `tfsdk:"name"`
	Algorithm types.String      `tfsdk:"algorithm"`
	Validity  types.String      `tfsdk:"validity"`
	Peer      authority.KeyPair `tfsdk:"peer"`
	Client    authority.KeyPair `tfsdk:"client"`
	ExpiresAt types.String      `tfsdk:"expires_at"`
}

// NewEphemeralPKI returns the ephemeral resource etcd_pki.
func NewEphemeralPKI() ephemeral.EphemeralResource { return &ephemeralPKI{} }

// Metadata sets the name of the resource type.
func (e *ephemeralPKI) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_pki"
}

// Schema describes the attributes.
func (e *ephemeralPKI) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The two authorities of a cluster that is to be formed, with their keys, for one run: no state and no plan holds them. " +
			"Each run, and each plan, makes others. So write them to a vault once, through a write-only attribute, and apply that. In a later apply, give `etcd_cluster` and `etcd_certificate` what an ephemeral resource reads from the vault. " +
			"The provider refuses them as `pki`: the apply would have other authorities than its plan, and nobody would have their keys.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Name in the subjects of the authorities, usually the cluster's: as `name` of the resource `etcd_pki`.",
				Validators:          []validator.String{validate.ClusterName},
			},
			"algorithm": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Algorithm of the keys. " + validate.AboutAlgorithms(),
				Validators:          []validator.String{validate.OneOfAlgorithms()},
			},
			"validity": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "How long the certificates are valid, as a duration like `87600h`. At least 10m. Default: `87600h` (ten years).",
				Validators:          []validator.String{validate.Lifetime},
			},
			"peer":       authority.PairEphemeral(authority.AboutPeer),
			"client":     authority.PairEphemeral(authority.AboutClient),
			"expires_at": schema.StringAttribute{Computed: true, MarkdownDescription: "When the authorities expire, as RFC 3339 in UTC."},
		},
	}
}

// Configure receives the provider's data.
func (e *ephemeralPKI) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.providerData = providerdata.From(req.ProviderData, &resp.Diagnostics)
}

// Open makes both authorities.
func (e *ephemeralPKI) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	// Open reads only the configured attributes: the computed ones are null in a configuration.
	var name, algorithm, validity types.String
	for attribute, into := range map[string]*types.String{"name": &name, "algorithm": &algorithm, "validity": &validity} {
		resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root(attribute), into)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if algorithm.IsNull() {
		algorithm = types.StringValue(string(pki.DefaultAlgorithm))
	}
	if validity.IsNull() {
		validity = types.StringValue(authorityValidity)
	}
	lifetime, _ := time.ParseDuration(validity.ValueString()) // its validator has parsed it
	made, err := pki.NewAuthorities(name.ValueString(), pki.Algorithm(algorithm.ValueString()), lifetime, e.providerData.Now())
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("The authorities of %s were not made", name.ValueString()), err.Error())
		return
	}
	for _, one := range []*pki.Authority{made.Peers, made.Clients} {
		e.providerData.Ephemeral.Make(one.Name())
	}
	held, err := authority.Of(made)
	if err != nil {
		resp.Diagnostics.AddError("The keys of the authorities cannot be written", err.Error())
		return
	}
	model := ephemeralPKIModel{Name: name, Algorithm: algorithm, Validity: validity, Peer: held.Peer, Client: held.Client}
	if first, err := authority.FirstToExpire(held.Peer.Certificate.ValueString(), held.Client.Certificate.ValueString()); err == nil {
		model.ExpiresAt = types.StringValue(first.NotAfter.UTC().Format(time.RFC3339))
	}
	resp.Diagnostics.Append(resp.Result.Set(ctx, &model)...)
}
