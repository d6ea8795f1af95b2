package authority

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// Trusted holds the authorities that members trust beside those that sign: their predecessors or their successors, nil
// if there are none.
type Trusted struct {
	Peer   *KeyPair `tfsdk:"peer"`
	Client *KeyPair `tfsdk:"client"`
}

// trustedWriteOnly returns the attribute by which a resource takes trusted authorities. Their keys may be left out.
func trustedWriteOnly() schema.SingleNestedAttribute {
	pair := func(description string) schema.SingleNestedAttribute {
		return schema.SingleNestedAttribute{
			Optional: true, WriteOnly: true, MarkdownDescription: description,
			Attributes: map[string]schema.Attribute{
				"certificate": schema.StringAttribute{Required: true, WriteOnly: true, MarkdownDescription: aboutGiven},
				"private_key": schema.StringAttribute{
					Optional: true, WriteOnly: true, Sensitive: true, CustomType: sensitive.StringType{},
					MarkdownDescription: aboutTrustedKey,
				},
				"remote": remoteWriteOnly(),
			},
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true, WriteOnly: true,
		MarkdownDescription: aboutTrusted,
		Attributes:          map[string]schema.Attribute{"peer": pair(AboutPeer), "client": pair(AboutClient)},
	}
}

// trustedFrom reads the trusted authorities from an object.
func trustedFrom(ctx context.Context, object types.Object) (*Trusted, diag.Diagnostics) {
	value, is := object.Attributes()["trusted"].(types.Object)
	if !is || value.IsNull() {
		return nil, nil
	}
	var read Trusted
	var diags diag.Diagnostics
	for name, into := range map[string]**KeyPair{"peer": &read.Peer, "client": &read.Client} {
		if one, is := value.Attributes()[name].(types.Object); is && one.IsNull() {
			continue
		}
		pair, d := PairFrom(ctx, value, name)
		diags.Append(d...)
		*into = &pair
	}
	return &read, diags
}

// of returns the authorities for one of members' keys, the signing one first.
func (a Model) of(key string) []KeyPair {
	var beside Trusted
	if a.Trusted != nil {
		beside = *a.Trusted
	}
	signs, trusted := api.ForKey(key, a.Peer, a.Client), api.ForKey(key, beside.Peer, beside.Client)
	if trusted == nil {
		return []KeyPair{signs}
	}
	return []KeyPair{signs, *trusted}
}

// Bundles returns the certificates that members are to trust, for peers and for clients. A bundle is unknown if one of
// its certificates is.
func (a Model) Bundles() (peers, clients types.String) {
	return bundle(certificates(a.of(api.KeyPeer))), bundle(certificates(a.of(api.KeyServer)))
}

func certificates(authorities []KeyPair) (all []types.String) {
	for _, authority := range authorities {
		all = append(all, authority.Certificate)
	}
	return all
}

// bundle returns the signing certificate of each authority, each once, although a vault and openssl write one
// certificate differently. Chains are left out: a member that trusted a root would trust what all other authorities
// below it sign.
func bundle(certificates []types.String) types.String {
	if one := certificates[0]; len(certificates) == 1 {
		if one.IsUnknown() || one.IsNull() {
			return one
		}
		return types.StringValue(cert.First(one.ValueString())) // as it is given
	}
	var texts []string
	for _, certificate := range certificates {
		if certificate.IsUnknown() {
			return types.StringUnknown()
		}
		text := strings.TrimSpace(cert.First(certificate.ValueString()))
		if !slices.ContainsFunc(texts, func(other string) bool { return cert.Same(text, other) }) {
			texts = append(texts, text)
		}
	}
	return types.StringValue(strings.Join(texts, "\n") + "\n")
}

// Signers names the authorities that sign: the first of each kind, whose key a plan that signs nothing may leave out,
// and the trusted ones whose keys are given.
func (a Model) Signers() membership.Signers {
	return membership.Signers{Peers: signers(a.of(api.KeyPeer)), Clients: signers(a.of(api.KeyServer))}
}

func signers(authorities []KeyPair) (names []string) {
	for i, authority := range authorities {
		certificate, err := cert.ParseLeaf([]byte(authority.Certificate.ValueString()))
		if err == nil && (i == 0 || authority.Signs()) {
			names = append(names, cert.Name(certificate))
		}
	}
	return names
}

// checkTrusted refuses known authorities that cannot be trusted.
func (a Model) checkTrusted() (diags diag.Diagnostics) {
	for _, key := range []string{api.KeyPeer, api.KeyServer} {
		for _, k := range a.of(key)[1:] {
			if !k.known() {
				continue
			}
			if err := k.checkTrusted(); err != nil {
				diags.AddAttributeError(path.Root("pki").AtName("trusted"), "A trusted authority cannot be used", err.Error())
			}
		}
	}
	return diags
}
