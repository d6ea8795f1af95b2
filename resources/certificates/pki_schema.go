package certificates

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/rotation"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// authorityValidity is the default validity of an authority: ten years.
const authorityValidity = "87600h"

// aboutAsMade ends the descriptions of algorithm and validity.
const aboutAsMade = " If this is not set, existing and imported authorities keep theirs. "

func pkiSchema() schema.Schema {
	return schema.Schema{
		Version: pkiSchemaVersion,
		MarkdownDescription: "The two certificate authorities of a cluster: one for peers, and one for clients and servers, so that the certificate of a client never opens the port of the peers.\n\n" +
			"Their private keys are in this resource's state, marked sensitive, and in no other resource's: protect the state accordingly. " +
			"Without these keys nobody can issue certificates for the cluster. The provider refuses a replacement (`terraform taint`, `-replace`); " +
			"to guard against a destroy too, set `lifecycle { prevent_destroy = true }`.\n\n" +
			"If you have authorities already, for example made by openssl, import them, with only `name` in the configuration. " +
			"There have to be two, with two keys of one algorithm. `etcd_cluster` also takes authorities without this resource, as an object of the same shape as `authority`.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name in the subjects of the authorities, usually the cluster's: 1 to 32 lower-case letters, digits and hyphens, " +
					"beginning with a letter and not ending with a hyphen. Cannot be changed.",
				Validators: []validator.String{validate.ClusterName},
			},
			"algorithm": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Algorithm of the authorities' keys, and of the keys that members make. " + validate.AboutAlgorithms() + aboutAsMade + "Another one can come with a rotation of both authorities, in the apply that begins the rotation.",
				Validators:          []validator.String{validate.OneOfAlgorithms()},
				PlanModifiers:       []planmodifier.String{asMade(pki.DefaultAlgorithm)},
			},
			"validity": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "How long the authorities' certificates are valid, as a duration like `87600h`. At least 10m. Default: `87600h` (ten years)." + aboutAsMade + "Another one can come with a rotation, in the apply that begins the rotation.",
				Validators:          []validator.String{validate.Lifetime},
				PlanModifiers:       []planmodifier.String{asMade(authorityValidity)},
			},
			"revoked": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Serial numbers of revoked client certificates, as hexadecimal text: `terraform state show etcd_certificate.NAME` or `openssl x509 -serial` shows them. " +
					"The next apply puts them into `client_crl`, which members follow only if `etcd_cluster` has it as its `client_crl`. Keep a number here until its certificate has expired: if you remove the number, members accept the certificate again.",
				Validators: []validator.Set{setvalidator.SizeAtMost(10000), setvalidator.NoNullValues(), setvalidator.ValueStringsAre(validate.Serial)},
			},
			"chain":     chainAttribute(),
			"rotation":  rotationAttribute(),
			"authority": authority.Computed("Both authorities with their keys, and during a rotation those that are trusted beside them: what `etcd_cluster` takes as `pki`."),
			"client_authority": authority.ClientComputed("The authority for clients alone, with its key: what `etcd_certificate` takes as `pki`. Nobody needs more to issue certificates to clients, " +
				"and whoever has the key of the peers could join the cluster as a member."),
			"expires_at": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "When the first of the authorities that sign expires, as RFC 3339 in UTC. No certificate of the cluster is valid for longer: rotate the authorities in time (`rotation`). " +
					"Plans warn in the last 180 days, or in the last third of a life that is not longer.",
			},
			"peer_ca_certificate": schema.StringAttribute{
				Computed: true, MarkdownDescription: "What members verify each other with: the PEM certificate of the authority for peers. During a rotation, a bundle of two: the authority that signs first, and after it the one that is trusted beside it.",
			},
			"client_ca_certificate": schema.StringAttribute{
				Computed: true, MarkdownDescription: "What clients and servers verify each other with: the PEM certificate of the authority for clients. During a rotation, a bundle of two: the authority that signs first, and after it the one that is trusted beside it.",
			},
			"client_crl": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "The list of revoked client certificates (PEM `X509 CRL`), signed by the authority for clients: what `etcd_cluster` takes as `client_crl`. There is a list also while nothing is revoked. " +
					"Its number rises with each change, and its dates are those of the authority, so that a plan can show the exact list; etcd looks at neither. Null for an imported authority that may not sign lists.",
			},
			"peer_ca_fingerprints":   eachOf("peer_ca_certificate", "SHA-256", "lower-case hexadecimal. Steps and errors name an authority by the first 12 digits"),
			"client_ca_fingerprints": eachOf("client_ca_certificate", "SHA-256", "lower-case hexadecimal. Steps and errors name an authority by the first 12 digits"),
			"peer_ca_expires_at":     eachOf("peer_ca_certificate", "Expiry", "as RFC 3339 in UTC"),
			"client_ca_expires_at":   eachOf("client_ca_certificate", "Expiry", "as RFC 3339 in UTC"),
		},
	}
}

// chainAttribute returns the attribute chain.
func chainAttribute() schema.SingleNestedAttribute {
	above := func(kind string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: "The chain of the authority for " + kind + ", PEM."}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The chain of an imported intermediate, if certificates above the same intermediate were renewed since the import: the certificate of the authority that has signed the intermediate, of the authority above that one, and so on. " +
			"The intermediate itself may come first, and the root may be left out. Members and clients get the chain in the same apply, without a restart. If this is not set, the authorities keep the chain that they have.",
		Attributes: map[string]schema.Attribute{"peers": above("peers"), "clients": above("clients")},
	}
}

// eachOf returns a computed list with one value for each certificate of a bundle, which is written as form says.
func eachOf(bundle, what, form string) schema.ListAttribute {
	return schema.ListAttribute{
		Computed: true, ElementType: types.StringType,
		MarkdownDescription: fmt.Sprintf("%s of each certificate of `%s`, in the same order, %s.", what, bundle, form),
	}
}

// rotationAttribute returns the attribute rotation.
func rotationAttribute() schema.SingleNestedAttribute {
	label := func(kind string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: fmt.Sprintf("Any text, such as `\"1\"` or a date. Another text makes a new authority for %s. The apply that creates this resource only records the text, and so does one after an import with `phase = \"retire\"`.", kind),
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Replaces authorities by new ones, with another key, subject and key ID, in three phases, with one apply for each. `etcd_cluster` and `etcd_certificate` follow in the same apply. " +
			"Both authorities may be rotated together, or one after the other. See the guide on rotating authorities.",
		Attributes: map[string]schema.Attribute{
			"peers":   label("peers"),
			"clients": label("clients"),
			"phase": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(string(rotation.Trust)),
				MarkdownDescription: "Phase of the rotation. `trust` (the default): the provider makes the new authority, and members trust it beside the present one, which goes on signing. `sign`: the new authority signs, and members still trust the old one. " +
					"`retire`: the old authority leaves the members and this state. You can go back from `sign` to `trust`. To cancel a rotation that has never come to `sign`, set `peers` and `clients` back.",
				Validators: []validator.String{stringvalidator.OneOf(string(rotation.Trust), string(rotation.Sign), string(rotation.Retire))},
			},
		},
	}
}
