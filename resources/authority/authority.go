// Package authority has the authorities of a cluster as Terraform has them: etcd_pki gives them, and etcd_cluster and
// etcd_certificate sign by them.
package authority

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	ephemeral "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// Both are the two authorities of a cluster as etcd_pki gives them as `authority`.
type Both struct {
	Peer   KeyPair `tfsdk:"peer"`
	Client KeyPair `tfsdk:"client"`
}

// Model are the authorities that etcd_cluster takes as `pki`: both of etcd_pki, and those that are trusted beside them.
type Model struct {
	Peer    KeyPair  `tfsdk:"peer"`
	Client  KeyPair  `tfsdk:"client"`
	Trusted *Trusted `tfsdk:"trusted"`
}

// ClientModel is the authority for clients alone: what etcd_pki gives as `client_authority`, and what
// etcd_certificate takes as `pki`.
type ClientModel struct {
	Client KeyPair `tfsdk:"client"`
}

// KeyPair is one authority.
type KeyPair struct {
	Certificate types.String     `tfsdk:"certificate"`
	PrivateKey  sensitive.String `tfsdk:"private_key"`
}

// Descriptions of the object's attributes, the same wherever it stands.
const (
	AboutPeer        = "The authority that members trust each other by."
	AboutClient      = "The authority that clients and servers trust each other by."
	aboutCertificate = "The authority's certificate, PEM."
	aboutPrivateKey  = "The authority's private key, PEM."
	aboutTrusted     = "Authorities that members trust beside these: the ones before them, until all clients have certificates of these, or the ones that are to come."
	aboutTrustedKey  = "The authority's private key, PEM. With it, the authority signs for members for as long as not all of them trust the one that is to sign: a member can be replaced meanwhile."
)

// aboutClientAuthority is what everything says of `pki` that signs for clients.
const aboutClientAuthority = "The authority for clients, which signs: `etcd_pki.NAME.client_authority`, or an object of the same shape. " +
	"`etcd_pki.NAME.authority` will do as well; Terraform drops the peers' half of it, so that this provider does not see their key."

// pairType is the type of one authority.
func pairType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"certificate": types.StringType, "private_key": sensitive.StringType{}}}
}

// Type is the type of both.
func Type() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"peer": pairType(), "client": pairType()}}
}

// ClientType is the type of the authority for clients.
func ClientType() types.ObjectType {
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

// WriteOnly are the authorities as a resource takes them.
func WriteOnly(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{"peer": pairWriteOnly(AboutPeer), "client": pairWriteOnly(AboutClient), "trusted": trustedWriteOnly()},
	}
}

// ClientWriteOnly is the authority for clients as a resource takes it. It has no attribute for the peers' one, so
// Terraform drops that of an object that has both.
func ClientWriteOnly() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: aboutClientAuthority + " Write-only.",
		Attributes: map[string]schema.Attribute{"client": pairWriteOnly(AboutClient)},
	}
}

// PairComputed is one authority as etcd_pki gives it.
func PairComputed(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Computed: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"certificate": schema.StringAttribute{Computed: true, MarkdownDescription: aboutCertificate},
			"private_key": schema.StringAttribute{Computed: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutPrivateKey},
		},
	}
}

// ClientEphemeral is the authority for clients as an ephemeral resource takes it.
func ClientEphemeral() ephemeral.SingleNestedAttribute {
	return ephemeral.SingleNestedAttribute{
		Required: true, Sensitive: true, MarkdownDescription: aboutClientAuthority,
		Attributes: map[string]ephemeral.Attribute{"client": ephemeral.SingleNestedAttribute{
			Required: true, MarkdownDescription: AboutClient,
			Attributes: map[string]ephemeral.Attribute{
				"certificate": ephemeral.StringAttribute{Required: true, MarkdownDescription: aboutCertificate},
				"private_key": ephemeral.StringAttribute{Required: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutPrivateKey},
			},
		}},
	}
}

// From reads both authorities. What is not known of them, on whichever level, is unknown in the model.
func From(ctx context.Context, object types.Object) (Model, diag.Diagnostics) {
	peer, diags := PairFrom(ctx, object, "peer")
	client, d := PairFrom(ctx, object, "client")
	diags.Append(d...)
	trusted, d := trustedFrom(ctx, object)
	diags.Append(d...)
	return Model{Peer: peer, Client: client, Trusted: trusted}, diags
}

// PairFrom reads one of the authorities of an object.
func PairFrom(ctx context.Context, object types.Object, name string) (pair KeyPair, diags diag.Diagnostics) {
	if value, ok := object.Attributes()[name].(types.Object); ok && !value.IsUnknown() {
		diags = value.As(ctx, &pair, basetypes.ObjectAsOptions{})
		return pair, diags
	}
	return KeyPair{Certificate: types.StringUnknown(), PrivateKey: sensitive.Unknown()}, nil
}

// Warning is how long before an authority expires plans warn: time enough to move the data into another cluster.
const Warning = 180 * 24 * time.Hour

// FirstToExpire is what the certificate of that one of two authorities says that expires first.
func FirstToExpire(peer, client string) (first cert.Info, err error) {
	peers, errPeer := inspectFirst(peer)
	clients, errClient := inspectFirst(client)
	if clients.NotAfter.Before(peers.NotAfter) {
		peers = clients
	}
	return peers, errors.Join(errPeer, errClient)
}

// inspectFirst reads the first certificate of a bundle, which is the authority that signs.
func inspectFirst(bundle string) (cert.Info, error) {
	certificate, err := cert.ParseLeaf([]byte(bundle))
	if err != nil {
		return cert.Info{}, err
	}
	return cert.InfoOf(certificate), nil
}

// Same tells whether two texts are of one certificate, whatever stands around it and however its lines break: a vault
// and openssl write the same one differently. One that is not known is none that is.
func Same(a, b types.String) bool {
	return a.Equal(b) || !a.IsUnknown() && !b.IsUnknown() && cert.Same(a.ValueString(), b.ValueString())
}
