package authority

import (
	"context"
	"crypto/x509"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	ephemeral "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// ClientModel holds the authority for clients, and the certificate of the one that is trusted beside it. etcd_pki
// provides it as `client_authority`, and etcd_certificate takes it as `pki`.
type ClientModel struct {
	Client  KeyPair        `tfsdk:"client"`
	Trusted *TrustedClient `tfsdk:"trusted"`
}

// TrustedClient holds the authority that clients and servers trust beside the one that signs. Issuing certificates to
// clients takes no key of that authority.
type TrustedClient struct {
	Client *Certificate `tfsdk:"client"`
}

// Certificate holds an authority without its key.
type Certificate struct {
	Certificate types.String `tfsdk:"certificate"`
}

// Descriptions of the attributes of a ClientModel.
const (
	aboutClientAuthority = "The authority for clients, which signs: `etcd_pki.NAME.client_authority`, or an object of the same shape. " +
		"`etcd_pki.NAME.authority` will do as well; Terraform drops the peers' half of it, so that this provider does not see their key."
	aboutTrustedClient = "The authority that clients and servers trust beside this one, for example during a rotation. `ca_certificate` has both."
)

// ForClients returns the half of the authorities that is for clients.
func (a Model) ForClients() ClientModel {
	model := ClientModel{Client: a.Client}
	if a.Trusted != nil && a.Trusted.Client != nil {
		model.Trusted = &TrustedClient{&Certificate{a.Trusted.Client.Certificate}}
	}
	return model
}

// Bundle returns the certificates that clients verify members with, the signing authority first. It is unknown if one
// of them is.
func (c ClientModel) Bundle() types.String {
	certificates := []types.String{c.Client.Certificate}
	if c.Trusted != nil && c.Trusted.Client != nil {
		certificates = append(certificates, c.Trusted.Client.Certificate)
	}
	return bundle(certificates)
}

// FirstToEnd returns the certificate that ends first of those that sign and stand above, or nil if they are unknown.
func (c ClientModel) FirstToEnd() *x509.Certificate {
	chain := c.Client.chain()
	if len(chain) == 0 {
		return nil
	}
	return cert.FirstToEnd(chain)
}

// ClientFrom reads the authority for clients from an object. Whatever is unknown in the object, on any level, is
// unknown in the model.
func ClientFrom(ctx context.Context, object types.Object) (model ClientModel, diags diag.Diagnostics) {
	model.Client, diags = PairFrom(ctx, object, "client")
	trusted, is := object.Attributes()["trusted"].(types.Object)
	if !is || trusted.IsNull() {
		return model, diags
	}
	certificate := Certificate{types.StringUnknown()}
	if one, is := trusted.Attributes()["client"].(types.Object); is && !one.IsUnknown() {
		if one.IsNull() {
			return model, diags
		}
		diags.Append(one.As(ctx, &certificate, basetypes.ObjectAsOptions{})...)
	}
	model.Trusted = &TrustedClient{&certificate}
	return model, diags
}

// ClientType returns the type of a ClientModel.
func ClientType() types.ObjectType {
	certificate := types.ObjectType{AttrTypes: map[string]attr.Type{"certificate": types.StringType}}
	return types.ObjectType{AttrTypes: map[string]attr.Type{"client": pairType(), "trusted": types.ObjectType{AttrTypes: map[string]attr.Type{"client": certificate}}}}
}

// ClientComputed returns the attribute by which etcd_pki provides the authority for clients.
func ClientComputed(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Computed: true, Sensitive: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"client": pairComputed(AboutClient),
			"trusted": schema.SingleNestedAttribute{
				Computed: true, MarkdownDescription: aboutTrustedClient + " Null: there is no rotation.",
				Attributes: map[string]schema.Attribute{"client": schema.SingleNestedAttribute{
					Computed: true, MarkdownDescription: AboutClient,
					Attributes: map[string]schema.Attribute{"certificate": schema.StringAttribute{Computed: true, MarkdownDescription: aboutCertificate}},
				}},
			},
		},
	}
}

// ClientWriteOnly returns the attribute by which a resource takes the authority for clients. It has no attribute for
// the authority for peers, so Terraform drops that one from an object that has both.
func ClientWriteOnly() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: aboutClientAuthority + " Write-only.",
		Attributes: map[string]schema.Attribute{
			"client": pairWriteOnly(AboutClient),
			"trusted": schema.SingleNestedAttribute{
				Optional: true, WriteOnly: true, MarkdownDescription: aboutTrustedClient,
				Attributes: map[string]schema.Attribute{"client": schema.SingleNestedAttribute{
					Optional: true, WriteOnly: true, MarkdownDescription: AboutClient,
					Attributes: map[string]schema.Attribute{"certificate": schema.StringAttribute{Required: true, WriteOnly: true, MarkdownDescription: aboutGiven}},
				}},
			},
		},
	}
}

// ClientEphemeral returns the attribute by which an ephemeral resource takes the authority for clients.
func ClientEphemeral() ephemeral.SingleNestedAttribute {
	return ephemeral.SingleNestedAttribute{
		Required: true, Sensitive: true, MarkdownDescription: aboutClientAuthority,
		Attributes: map[string]ephemeral.Attribute{
			"client": ephemeral.SingleNestedAttribute{
				Required: true, MarkdownDescription: AboutClient,
				Attributes: map[string]ephemeral.Attribute{
					"certificate": ephemeral.StringAttribute{Required: true, MarkdownDescription: aboutGiven},
					"private_key": ephemeral.StringAttribute{Optional: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutSigningKey},
					"remote":      remoteEphemeral(),
				},
			},
			"trusted": ephemeral.SingleNestedAttribute{
				Optional: true, MarkdownDescription: aboutTrustedClient,
				Attributes: map[string]ephemeral.Attribute{"client": ephemeral.SingleNestedAttribute{
					Optional: true, MarkdownDescription: AboutClient,
					Attributes: map[string]ephemeral.Attribute{"certificate": ephemeral.StringAttribute{Required: true, MarkdownDescription: aboutGiven}},
				}},
			},
		},
	}
}
