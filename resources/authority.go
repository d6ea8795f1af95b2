package resources

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	ephemeral "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
)

// authorityModel are the two authorities of a cluster: what etcd_pki gives as `authority`, and what
// everything that has certificates signed takes as `pki`.
type authorityModel struct {
	Peer   keyPairModel `tfsdk:"peer"`
	Client keyPairModel `tfsdk:"client"`
}

// keyPairModel is one authority. Its key is a secret: a model is never logged or put into an error.
type keyPairModel struct {
	Certificate types.String `tfsdk:"certificate"`
	PrivateKey  types.String `tfsdk:"private_key"`
}

// Descriptions of the object's attributes, the same wherever it stands.
const (
	aboutPeer        = "The authority that members trust each other by."
	aboutClient      = "The authority that clients and servers trust each other by."
	aboutCertificate = "The authority's certificate, PEM."
	aboutPrivateKey  = "The authority's private key, PEM."
)

// authorityType is the type of the object.
func authorityType() types.ObjectType {
	pair := types.ObjectType{AttrTypes: map[string]attr.Type{"certificate": types.StringType, "private_key": types.StringType}}
	return types.ObjectType{AttrTypes: map[string]attr.Type{"peer": pair, "client": pair}}
}

// authorityWriteOnly is the object as a resource takes it: no state and no plan holds it.
func authorityWriteOnly(description string) schema.SingleNestedAttribute {
	pair := func(description string) schema.SingleNestedAttribute {
		return schema.SingleNestedAttribute{
			Required: true, WriteOnly: true, MarkdownDescription: description,
			Attributes: map[string]schema.Attribute{
				"certificate": schema.StringAttribute{Required: true, WriteOnly: true, MarkdownDescription: aboutCertificate},
				"private_key": schema.StringAttribute{Required: true, WriteOnly: true, Sensitive: true, MarkdownDescription: aboutPrivateKey},
			},
		}
	}
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{"peer": pair(aboutPeer), "client": pair(aboutClient)},
	}
}

// authorityComputed is the object as etcd_pki gives it.
func authorityComputed(description string) schema.SingleNestedAttribute {
	pair := func(description string) schema.SingleNestedAttribute {
		return schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: description,
			Attributes: map[string]schema.Attribute{
				"certificate": schema.StringAttribute{Computed: true, MarkdownDescription: aboutCertificate},
				"private_key": schema.StringAttribute{Computed: true, Sensitive: true, MarkdownDescription: aboutPrivateKey},
			},
		}
	}
	return schema.SingleNestedAttribute{
		Computed: true, Sensitive: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{"peer": pair(aboutPeer), "client": pair(aboutClient)},
	}
}

// authorityEphemeral is the object as an ephemeral resource takes it.
func authorityEphemeral(description string) ephemeral.SingleNestedAttribute {
	pair := func(description string) ephemeral.SingleNestedAttribute {
		return ephemeral.SingleNestedAttribute{
			Required: true, MarkdownDescription: description,
			Attributes: map[string]ephemeral.Attribute{
				"certificate": ephemeral.StringAttribute{Required: true, MarkdownDescription: aboutCertificate},
				"private_key": ephemeral.StringAttribute{Required: true, Sensitive: true, MarkdownDescription: aboutPrivateKey},
			},
		}
	}
	return ephemeral.SingleNestedAttribute{
		Required: true, Sensitive: true, MarkdownDescription: description,
		Attributes: map[string]ephemeral.Attribute{"peer": pair(aboutPeer), "client": pair(aboutClient)},
	}
}

// authorityFrom reads the object. What is not known of it, on whichever level, is unknown in the model.
func authorityFrom(ctx context.Context, object types.Object) (authorityModel, diag.Diagnostics) {
	unknown := keyPairModel{Certificate: types.StringUnknown(), PrivateKey: types.StringUnknown()}
	model := authorityModel{Peer: unknown, Client: unknown}
	var diags diag.Diagnostics
	for name, pair := range map[string]*keyPairModel{"peer": &model.Peer, "client": &model.Client} {
		if value, ok := object.Attributes()[name].(types.Object); ok && !value.IsUnknown() {
			diags.Append(value.As(ctx, pair, basetypes.ObjectAsOptions{})...)
		}
	}
	return model, diags
}
