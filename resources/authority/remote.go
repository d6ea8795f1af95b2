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
}

// Descriptions of the attributes of a Remote.
const (
	aboutRemote = "A cfssl server that signs by this authority, whose key then is in no Terraform process and no state. " +
		"The server's signing profile says for how long certificates are valid. The guide [Authorities that a signing server keeps](../guides/remote-signer.md) has an example."
	aboutURL      = "The server: `https://HOST:PORT`, with or without a path before `/api/v1/cfssl/authsign`."
	aboutAuthKey  = "The key that the server's profiles name as their `auth_key`, hexadecimal, at least 16 bytes."
	aboutLabel    = "Which of several authorities of the server is to sign, as cfssl's `multirootca` has them. Not given: the server has one."
	aboutProfiles = "Names of the server's signing profiles, by what a certificate is for: `peer`, `server` or `client`. Default: these very names."
	aboutCA       = "PEM: the authorities that the server's own certificate is verified by. Default: the system's."
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
	diags := object.As(ctx, &read, basetypes.ObjectAsOptions{})
	return &read, diags
}

// known tells whether all values are known.
func (r Remote) known() bool {
	for _, value := range r.Profiles.Elements() {
		if value.IsUnknown() {
			return false
		}
	}
	return !r.URL.IsUnknown() && !r.AuthKey.IsUnknown() && !r.Label.IsUnknown() && !r.Profiles.IsUnknown() && !r.CACertificate.IsUnknown()
}

// issuer returns the issuer that asks the server. It makes no connection yet.
func (r Remote) issuer() (pki.Issuer, error) {
	profiles := map[pki.Profile]string{}
	for kind, value := range r.Profiles.Elements() {
		name, is := value.(types.String)
		if !slices.Contains(kinds(), kind) || !is || name.ValueString() == "" {
			return nil, fmt.Errorf("remote.profiles: %q = %s; keys must be %s, and values names of the server's profiles", kind, value, strings.Join(kinds(), ", "))
		}
		profiles[pki.Profile(kind)] = name.ValueString()
	}
	server := remote.Server{
		URL: r.URL.ValueString(), Key: secret.New(r.AuthKey.Reveal()), Label: r.Label.ValueString(),
		Profiles: profiles, CACertificate: r.CACertificate.ValueString(),
	}
	issuer, err := server.Issuer()
	if err != nil {
		return nil, errors.New("remote." + strings.ReplaceAll(err.Error(), "\n", "\nremote.")) // a line for each attribute
	}
	return issuer, nil
}

// kinds returns what certificates may be for.
func kinds() []string {
	var names []string
	for _, profile := range slices.Sorted(maps.Values(profiles)) {
		names = append(names, string(profile))
	}
	return names
}
