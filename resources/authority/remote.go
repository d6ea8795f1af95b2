package authority

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	ephemeral "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/remote"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// Remote holds a cfssl server that keeps an authority's key and signs with it.
type Remote struct {
	URL           types.String     `tfsdk:"url"`
	AuthKey       sensitive.String `tfsdk:"auth_key"`
	Label         types.String     `tfsdk:"label"`
	Profiles      types.Map        `tfsdk:"profiles"`
	CACertificate types.String     `tfsdk:"ca_certificate"`
	OnHosts       *OnHosts         `tfsdk:"on_hosts"`
}

// OnHosts is how hosts ask that server by themselves. What is not given is as the provider asks it.
type OnHosts struct {
	URL      types.String     `tfsdk:"url"`
	AuthKey  sensitive.String `tfsdk:"auth_key"`
	Label    types.String     `tfsdk:"label"`
	Profiles types.Map        `tfsdk:"profiles"`
}

// Descriptions of the attributes of a Remote.
const (
	aboutRemote = "A cfssl server that signs by this authority, whose key then is in no Terraform process and no state. " +
		"The server's signing profile says for how long certificates are valid. The guide [Authorities that a signing server keeps](../guides/remote-signer.md) has an example."
	aboutURL      = "The server: `https://HOST:PORT`, with or without a path before `/api/v1/cfssl/authsign`."
	aboutAuthKey  = "The key that the server's profiles name as their `auth_key`, hexadecimal, at least 16 bytes."
	aboutLabel    = "Which of the server's authorities signs, if the server has several, as cfssl's `multirootca` does. Not set: the server has one."
	aboutProfiles = "Names of the server's signing profiles, by what a certificate is for: `peer`, `server` or `client`. Default: these names."
	aboutOnHosts  = "Only in `pki` of `etcd_cluster`: members' hosts ask this server too, by a timer, and renew certificates of this authority that are due, " +
		"without a Terraform process. If this is not set, only applies renew them. Every host has the `auth_key` below, which only root can read: " +
		"give hosts a key of their own, with profiles of their own on the server. The guide on signing servers says what such profiles can limit, and what they cannot."
	aboutHostsKey      = "The key that the server's profiles for hosts name as their `auth_key`. To give hosts the key of `remote`, repeat it here."
	aboutHostsURL      = "The server's URL as hosts reach it. Default: `url` of `remote`."
	aboutHostsLabel    = "Which of the server's authorities is to sign. Default: `label` of `remote`."
	aboutHostsProfiles = "Names of the server's signing profiles for hosts. Default: `profiles` of `remote`."
	aboutCA            = "PEM certificates of the authorities that the server's own certificate is verified by. Default: the system's."
)

// remoteWriteOnly returns the attribute by which a resource takes a Remote.
func remoteWriteOnly() schema.SingleNestedAttribute {
	text := func(about string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, WriteOnly: true, MarkdownDescription: about}
	}
	return schema.SingleNestedAttribute{
		Optional: true, WriteOnly: true, MarkdownDescription: aboutRemote,
		Attributes: map[string]schema.Attribute{
			"url":            schema.StringAttribute{Required: true, WriteOnly: true, MarkdownDescription: aboutURL},
			"auth_key":       schema.StringAttribute{Required: true, WriteOnly: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutAuthKey},
			"label":          text(aboutLabel),
			"profiles":       schema.MapAttribute{ElementType: types.StringType, Optional: true, WriteOnly: true, MarkdownDescription: aboutProfiles},
			"ca_certificate": text(aboutCA),
			"on_hosts": schema.SingleNestedAttribute{
				Optional: true, WriteOnly: true, MarkdownDescription: aboutOnHosts,
				Attributes: map[string]schema.Attribute{
					"url":      text(aboutHostsURL),
					"auth_key": schema.StringAttribute{Required: true, WriteOnly: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutHostsKey},
					"label":    text(aboutHostsLabel),
					"profiles": schema.MapAttribute{ElementType: types.StringType, Optional: true, WriteOnly: true, MarkdownDescription: aboutHostsProfiles},
				},
			},
		},
	}
}

// remoteEphemeral returns the attribute by which an ephemeral resource takes a Remote.
func remoteEphemeral() ephemeral.SingleNestedAttribute {
	text := func(about string) ephemeral.StringAttribute {
		return ephemeral.StringAttribute{Optional: true, MarkdownDescription: about}
	}
	return ephemeral.SingleNestedAttribute{
		Optional: true, MarkdownDescription: aboutRemote,
		Attributes: map[string]ephemeral.Attribute{
			"url":            ephemeral.StringAttribute{Required: true, MarkdownDescription: aboutURL},
			"auth_key":       ephemeral.StringAttribute{Required: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutAuthKey},
			"label":          text(aboutLabel),
			"profiles":       ephemeral.MapAttribute{ElementType: types.StringType, Optional: true, MarkdownDescription: aboutProfiles},
			"ca_certificate": text(aboutCA),
			"on_hosts": ephemeral.SingleNestedAttribute{
				Optional: true, MarkdownDescription: aboutOnHosts,
				Attributes: map[string]ephemeral.Attribute{
					"url":      text(aboutHostsURL),
					"auth_key": ephemeral.StringAttribute{Required: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutHostsKey},
					"label":    text(aboutHostsLabel),
					"profiles": ephemeral.MapAttribute{ElementType: types.StringType, Optional: true, MarkdownDescription: aboutHostsProfiles},
				},
			},
		},
	}
}

// remoteFrom reads the server of an authority, nil if none is given. If the object is unknown, all values in the Remote
// are.
func remoteFrom(ctx context.Context, value attr.Value) (*Remote, diag.Diagnostics) {
	object, is := value.(types.Object)
	switch {
	case !is || object.IsNull():
		return nil, nil
	case object.IsUnknown():
		return &Remote{URL: types.StringUnknown(), AuthKey: sensitive.Unknown(), Label: types.StringUnknown(), Profiles: types.MapUnknown(types.StringType), CACertificate: types.StringUnknown()}, nil
	}
	var read Remote
	attributes := object.Attributes()
	onHosts, is := attributes["on_hosts"].(types.Object)
	if is && onHosts.IsUnknown() { // there is no part of it that is known
		read.OnHosts = &OnHosts{URL: types.StringUnknown(), AuthKey: sensitive.Unknown(), Label: types.StringUnknown(), Profiles: types.MapUnknown(types.StringType)}
		attributes["on_hosts"] = types.ObjectNull(onHosts.AttributeTypes(ctx))
		var diags diag.Diagnostics
		if object, diags = types.ObjectValue(object.AttributeTypes(ctx), attributes); diags.HasError() {
			return nil, diags
		}
		unknown := read.OnHosts
		diags = object.As(ctx, &read, basetypes.ObjectAsOptions{})
		read.OnHosts = unknown
		return &read, diags
	}
	diags := object.As(ctx, &read, basetypes.ObjectAsOptions{})
	return &read, diags
}

// known tells whether all values are known.
func (r Remote) known() bool {
	return allKnown(r.URL, r.AuthKey, r.Label, r.Profiles, r.CACertificate)
}

// known tells whether all of it is known, apart from what it takes over.
func (h OnHosts) known() bool { return allKnown(h.URL, h.AuthKey, h.Label, h.Profiles) }

func allKnown(values ...attr.Value) bool {
	for _, value := range values {
		if profiles, is := value.(types.Map); is && slices.ContainsFunc(slices.Collect(maps.Values(profiles.Elements())), attr.Value.IsUnknown) {
			return false
		}
		if value.IsUnknown() {
			return false
		}
	}
	return true
}

// issuer returns the issuer that asks the server. It makes no connection yet. Hosts must be able to ask theirs too, as
// far as that is known.
func (r Remote) issuer() (pki.Issuer, error) {
	issuer, err := issuerAt("remote.", r)
	if err == nil && r.OnHosts != nil && r.OnHosts.known() {
		_, err = issuerAt("remote.on_hosts.", r.asHosts())
	}
	return issuer, err
}

// asHosts returns the server as hosts ask it.
func (r Remote) asHosts() Remote {
	h := r.OnHosts
	r.AuthKey = h.AuthKey
	if !h.URL.IsNull() {
		r.URL = h.URL
	}
	if !h.Label.IsNull() {
		r.Label = h.Label
	}
	if !h.Profiles.IsNull() {
		r.Profiles = h.Profiles
	}
	return r
}

// issuerAt returns the issuer that asks a server which stands at a place of the configuration.
func issuerAt(at string, r Remote) (pki.Issuer, error) {
	profiles, err := r.profiles()
	if err != nil {
		return nil, fmt.Errorf("%sprofiles: %w", at, err)
	}
	server := remote.Server{
		URL: r.URL.ValueString(), Key: secret.New(r.AuthKey.Reveal()), Label: r.Label.ValueString(), Profiles: map[pki.Profile]string{},
		CACertificate: r.CACertificate.ValueString(),
	}
	for kind, name := range profiles {
		server.Profiles[pki.Profile(kind)] = name
	}
	issuer, err := server.Issuer()
	if err != nil {
		return nil, errors.New(at + strings.ReplaceAll(err.Error(), "\n", "\n"+at)) // a line for each attribute
	}
	return issuer, nil
}

// profiles returns the names of the server's profiles, by what a certificate is for.
func (r Remote) profiles() (map[string]string, error) {
	profiles := map[string]string{}
	for kind, value := range r.Profiles.Elements() {
		name, is := value.(types.String)
		if !slices.Contains(kinds(), kind) || !is || name.ValueString() == "" {
			return nil, fmt.Errorf("%q = %s; keys must be %s, and values names of the server's profiles", kind, value, strings.Join(kinds(), ", "))
		}
		profiles[kind] = name.ValueString()
	}
	return profiles, nil
}

// kinds returns what certificates may be for.
func kinds() []string {
	var names []string
	for _, profile := range slices.Sorted(maps.Values(profiles)) {
		names = append(names, string(profile))
	}
	return names
}
