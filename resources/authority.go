package resources

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	ephemeral "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// authorityModel are the two authorities of a cluster: what etcd_pki gives as `authority`, and what
// etcd_cluster takes as `pki`.
type authorityModel struct {
	Peer   keyPairModel `tfsdk:"peer"`
	Client keyPairModel `tfsdk:"client"`
}

// clientAuthorityModel is the authority for clients alone: what etcd_pki gives as `client_authority`, and what
// etcd_certificate takes as `pki`.
type clientAuthorityModel struct {
	Client keyPairModel `tfsdk:"client"`
}

// keyPairModel is one authority.
type keyPairModel struct {
	Certificate types.String     `tfsdk:"certificate"`
	PrivateKey  sensitive.String `tfsdk:"private_key"`
}

// Descriptions of the object's attributes, the same wherever it stands.
const (
	aboutPeer        = "The authority that members trust each other by."
	aboutClient      = "The authority that clients and servers trust each other by."
	aboutCertificate = "The authority's certificate, PEM."
	aboutPrivateKey  = "The authority's private key, PEM."
)

// aboutClientAuthority is what everything says of `pki` that signs for clients.
const aboutClientAuthority = "The authority for clients, which signs: `etcd_pki.NAME.client_authority`, or an object of the same shape. " +
	"`etcd_pki.NAME.authority` will do as well; Terraform drops the peers' half of it, so that this provider does not see their key."

// pairType is the type of one authority.
func pairType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"certificate": types.StringType, "private_key": sensitive.StringType{}}}
}

// authorityType is the type of both.
func authorityType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"peer": pairType(), "client": pairType()}}
}

// clientAuthorityType is the type of the authority for clients.
func clientAuthorityType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"client": pairType()}}
}

// pairWriteOnly is one authority as a resource takes it: no state and no plan holds it.
func pairWriteOnly(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"certificate": schema.StringAttribute{Required: true, WriteOnly: true, MarkdownDescription: aboutCertificate},
			"private_key": schema.StringAttribute{Required: true, WriteOnly: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutPrivateKey},
		},
	}
}

// authorityWriteOnly are both authorities as a resource takes them.
func authorityWriteOnly(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{"peer": pairWriteOnly(aboutPeer), "client": pairWriteOnly(aboutClient)},
	}
}

// clientAuthorityWriteOnly is the authority for clients as a resource takes it. It has no attribute for the peers' one, so
// Terraform drops that of an object that has both.
func clientAuthorityWriteOnly() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: aboutClientAuthority + " Write-only.",
		Attributes: map[string]schema.Attribute{"client": pairWriteOnly(aboutClient)},
	}
}

// pairComputed is one authority as etcd_pki gives it.
func pairComputed(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Computed: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"certificate": schema.StringAttribute{Computed: true, MarkdownDescription: aboutCertificate},
			"private_key": schema.StringAttribute{Computed: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutPrivateKey},
		},
	}
}

// clientAuthorityEphemeral is the authority for clients as an ephemeral resource takes it.
func clientAuthorityEphemeral() ephemeral.SingleNestedAttribute {
	return ephemeral.SingleNestedAttribute{
		Required: true, Sensitive: true, MarkdownDescription: aboutClientAuthority,
		Attributes: map[string]ephemeral.Attribute{"client": ephemeral.SingleNestedAttribute{
			Required: true, MarkdownDescription: aboutClient,
			Attributes: map[string]ephemeral.Attribute{
				"certificate": ephemeral.StringAttribute{Required: true, MarkdownDescription: aboutCertificate},
				"private_key": ephemeral.StringAttribute{Required: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutPrivateKey},
			},
		}},
	}
}

// authorityFrom reads both authorities. What is not known of them, on whichever level, is unknown in the model.
func authorityFrom(ctx context.Context, object types.Object) (authorityModel, diag.Diagnostics) {
	peer, diags := pairFrom(ctx, object, "peer")
	client, d := pairFrom(ctx, object, "client")
	diags.Append(d...)
	return authorityModel{Peer: peer, Client: client}, diags
}

// pairFrom reads one of the authorities of an object.
func pairFrom(ctx context.Context, object types.Object, name string) (pair keyPairModel, diags diag.Diagnostics) {
	if value, ok := object.Attributes()[name].(types.Object); ok && !value.IsUnknown() {
		diags = value.As(ctx, &pair, basetypes.ObjectAsOptions{})
		return pair, diags
	}
	return keyPairModel{Certificate: types.StringUnknown(), PrivateKey: sensitive.Unknown()}, nil
}

// authorityWarning is how long before an authority expires plans warn: time enough to move the data into another cluster.
const authorityWarning = 180 * 24 * time.Hour

// firstToExpire is what the certificate of that one of two authorities says that expires first.
func firstToExpire(peer, client string) (first cert.Info, err error) {
	peers, errPeer := cert.Inspect([]byte(peer))
	clients, errClient := cert.Inspect([]byte(client))
	if clients.NotAfter.Before(peers.NotAfter) {
		peers = clients
	}
	return peers, errors.Join(errPeer, errClient)
}

// warnOfAuthorities says that the authorities of a cluster are about to expire, and with them every certificate that it has.
func (c clusterModel) warnOfAuthorities(now time.Time) (diags diag.Diagnostics) {
	first, err := firstToExpire(c.PeerCACertificate.ValueString(), c.CACertificate.ValueString())
	if err != nil || !pki.NeedsRenewal(first, now, authorityWarning) {
		return nil
	}
	diags.AddAttributeWarning(path.Root("pki"), "The authorities are about to expire", fmt.Sprintf("The authority %q of cluster %s expires at %s. No certificate of the cluster holds longer: from then on members and clients refuse each other. "+
		"This version of the provider does not exchange the authorities of a living cluster. Before that day, form another cluster, with an etcd_pki of its own, from a snapshot of this one (restore), and have the clients follow.",
		first.CommonName, c.Name.ValueString(), first.NotAfter.UTC().Format(time.RFC3339)))
	return diags
}

// sameCertificate tells whether two texts are of one certificate, whatever stands around it and however its lines break: a vault
// and openssl write the same one differently. One that is not known is none that is.
func sameCertificate(a, b types.String) bool {
	return a.Equal(b) || !a.IsUnknown() && !b.IsUnknown() && cert.Same(a.ValueString(), b.ValueString())
}
