// Package authority holds the authorities of a cluster as Terraform sees them. etcd_pki provides them, and etcd_cluster
// and etcd_certificate sign by them.
package authority

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// Model holds the authorities of a cluster: the two that sign, and those that are trusted beside them. etcd_pki
// provides it as `authority`, and etcd_cluster takes it as `pki`.
type Model struct {
	Peer    KeyPair  `tfsdk:"peer"`
	Client  KeyPair  `tfsdk:"client"`
	Trusted *Trusted `tfsdk:"trusted"`
}

// KeyPair holds one authority. etcd_pki provides certificate and key; resources that sign by the authority also take a
// server in place of the key.
type KeyPair struct {
	Certificate types.String     `tfsdk:"certificate"`
	PrivateKey  sensitive.String `tfsdk:"private_key"`
	Remote      *Remote          `tfsdk:"-"`
}

// Descriptions of attributes, shared by all schemas that have them.
const (
	AboutPeer        = "The authority that members trust each other by."
	AboutClient      = "The authority that clients and servers trust each other by."
	aboutCertificate = "The authority's certificate, PEM; behind that of an imported intermediate, its chain."
	aboutGiven       = "The authority's certificate, PEM. If it is an intermediate, its chain can follow: the certificate of the authority that has signed it, and so on; the root can be left out. " +
		"Members trust only the first certificate. The others, except a root, follow each certificate that this authority signs."
	aboutPrivateKey = "The authority's private key, PEM."
	aboutSigningKey = aboutPrivateKey + " Either this or `remote`. A plan that signs nothing needs neither; a plan that signs is refused without one of them."
	aboutTrusted    = "Authorities that members trust beside these: the previous ones, until all clients have certificates of these, or the next ones."
	aboutTrustedKey = "The authority's private key, PEM. With the key, this authority signs for members until all of them trust the one that is to sign, so that a member can be replaced meanwhile."
)

// pairType returns the type of one authority.
func pairType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"certificate": types.StringType, "private_key": sensitive.StringType{}}}
}

// Type returns the type of a Model.
func Type() types.ObjectType {
	pairs := map[string]attr.Type{"peer": pairType(), "client": pairType()}
	return types.ObjectType{AttrTypes: map[string]attr.Type{"peer": pairType(), "client": pairType(), "trusted": types.ObjectType{AttrTypes: pairs}}}
}

// pairWriteOnly returns the attribute by which a resource takes one authority. No state and no plan holds its value.
func pairWriteOnly(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"certificate": schema.StringAttribute{Required: true, WriteOnly: true, MarkdownDescription: aboutGiven},
			"private_key": schema.StringAttribute{Optional: true, WriteOnly: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutSigningKey},
			"remote":      remoteWriteOnly(),
		},
	}
}

// WriteOnly returns the attribute by which a resource takes the authorities.
func WriteOnly(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required: true, WriteOnly: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{"peer": pairWriteOnly(AboutPeer), "client": pairWriteOnly(AboutClient), "trusted": trustedWriteOnly()},
	}
}

// pairComputed returns the attribute by which etcd_pki provides one authority.
func pairComputed(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Computed: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"certificate": schema.StringAttribute{Computed: true, MarkdownDescription: aboutCertificate},
			"private_key": schema.StringAttribute{Computed: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutPrivateKey},
		},
	}
}

// Computed returns the attribute by which etcd_pki provides the authorities.
func Computed(description string) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Computed: true, Sensitive: true, MarkdownDescription: description,
		Attributes: map[string]schema.Attribute{
			"peer": pairComputed(AboutPeer), "client": pairComputed(AboutClient),
			"trusted": schema.SingleNestedAttribute{
				Computed: true, MarkdownDescription: "During a rotation, the authorities that are trusted beside these: the new ones, and from phase `sign` on the old ones. Null: there is no rotation.",
				Attributes: map[string]schema.Attribute{"peer": pairComputed(AboutPeer), "client": pairComputed(AboutClient)},
			},
		},
	}
}

// From reads the authorities from an object. Whatever is unknown in the object, on any level, is unknown in the model.
func From(ctx context.Context, object types.Object) (Model, diag.Diagnostics) {
	peer, diags := PairFrom(ctx, object, "peer")
	client, d := PairFrom(ctx, object, "client")
	diags.Append(d...)
	trusted, d := trustedFrom(ctx, object)
	diags.Append(d...)
	return Model{Peer: peer, Client: client, Trusted: trusted}, diags
}

// PairFrom reads one authority from an object.
func PairFrom(ctx context.Context, object types.Object, name string) (pair KeyPair, diags diag.Diagnostics) {
	value, is := object.Attributes()[name].(types.Object)
	if !is || value.IsUnknown() {
		return KeyPair{Certificate: types.StringUnknown(), PrivateKey: sensitive.Unknown()}, nil
	}
	attributes := value.Attributes()
	pair.Certificate, _ = attributes["certificate"].(types.String)
	pair.PrivateKey, _ = attributes["private_key"].(sensitive.String)
	pair.Remote, diags = remoteFrom(ctx, attributes["remote"])
	return pair, diags
}

// Warning is how long before an authority expires plans begin to warn. It leaves time to move the data into another
// cluster.
const Warning = 180 * 24 * time.Hour

// FirstToExpire inspects two authorities and those above them, and returns the one that expires first.
func FirstToExpire(peer, client string, above ...*x509.Certificate) (first cert.Info, err error) {
	first, errPeer := inspectFirst(peer)
	clients, errClient := inspectFirst(client)
	if err := errors.Join(errPeer, errClient); err != nil {
		return first, err
	}
	others := []cert.Info{clients}
	for _, certificate := range above {
		others = append(others, cert.InfoOf(certificate))
	}
	for _, other := range others {
		if other.NotAfter.Before(first.NotAfter) {
			first = other
		}
	}
	return first, nil
}

// Above returns the given certificates above the authorities that sign.
func (a Model) Above() (above []*x509.Certificate) {
	for _, authority := range []KeyPair{a.Peer, a.Client} {
		if chain := authority.chain(); len(chain) > 0 {
			above = append(above, chain[1:]...)
		}
	}
	return above
}

// WarnOfExpiry warns if an authority that signs, or one above it, is about to expire, and every certificate of the
// cluster with it.
func WarnOfExpiry(peer, client types.String, above []*x509.Certificate, cluster string, now time.Time, at path.Path) (diags diag.Diagnostics) {
	first, err := FirstToExpire(peer.ValueString(), client.ValueString(), above...)
	if err != nil || !cert.NeedsRenewal(first, now, Warning) {
		return nil
	}
	is, remedy := fmt.Sprintf("The authority %q", first.CommonName), "rotate it (rotation of etcd_pki), or, if it is made elsewhere, give the cluster another one, with the present one in pki.trusted until all clients have certificates of the new one."
	if slices.ContainsFunc(above, func(c *x509.Certificate) bool { return cert.InfoOf(c).SHA256 == first.SHA256 }) {
		is += " above one"
		remedy = "have its certificate renewed, and give the chain that has the new one: chain of an etcd_pki, or behind the certificate in pki. No member restarts for that."
	}
	diags.AddAttributeWarning(at, "The authorities are about to expire", fmt.Sprintf("%s of cluster %s expires at %s. No certificate of the cluster holds longer: from then on members and clients refuse each other. Before that day, %s",
		is, cluster, first.NotAfter.UTC().Format(time.RFC3339), remedy))
	return diags
}

// inspectFirst inspects the first certificate of a bundle, which is the authority that signs.
func inspectFirst(bundle string) (cert.Info, error) {
	certificate, err := cert.ParseLeaf([]byte(bundle))
	if err != nil {
		return cert.Info{}, err
	}
	return cert.InfoOf(certificate), nil
}

// Same tells whether two texts hold the same certificates, whatever stands around these and however lines break: a
// vault and openssl write one certificate differently. An unknown text is the same as no other.
func Same(a, b types.String) bool {
	return a.Equal(b) || !a.IsUnknown() && !b.IsUnknown() && cert.Same(a.ValueString(), b.ValueString())
}

// Signs tells whether an authority is the first of a bundle, which is the one that signs. An unknown authority is not.
func Signs(authority, bundle types.String) bool {
	if authority.Equal(bundle) {
		return true
	}
	one, err := cert.ParseLeaf([]byte(authority.ValueString()))
	first, errFirst := cert.ParseLeaf([]byte(bundle.ValueString()))
	return err == nil && errFirst == nil && one.Equal(first)
}
