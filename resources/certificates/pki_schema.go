package certificates

import (
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// authorityValidity is how long an authority lasts by default: ten years.
const authorityValidity = "87600h"

// aboutAsMade ends the description of what authorities are made by.
const aboutAsMade = " Authorities that are there, imported ones among them, keep what they were made by where this is not set; it cannot be changed yet."

func pkiSchema() schema.Schema {
	return schema.Schema{
		Version: pkiSchemaVersion,
		MarkdownDescription: "The two certificate authorities of a cluster: one for peers, and one for clients and servers, so that the certificate of a client never opens the port of the peers.\n\n" +
			"Their private keys are in this resource's state, marked sensitive, and in no other's: protect the state accordingly. " +
			"Whoever loses them can issue no further certificate to the cluster. A replacement (`terraform taint`, `-replace`) is refused; " +
			"to guard against a destroy too, set `lifecycle { prevent_destroy = true }`.\n\n" +
			"Authorities that you have already, made by openssl, say, are imported, with `name` alone in the configuration; `etcd_cluster` takes them without this resource too, as an object of the same shape as `authority`. " +
			"They have to be two, with two keys of one algorithm.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name in the subjects of the authorities, usually the cluster's: 1 to 32 lower-case letters, digits and hyphens, " +
					"beginning with a letter and not ending with a hyphen. Cannot be changed.",
				Validators: []validator.String{validate.ClusterName},
			},
			"algorithm": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Algorithm of the authorities' keys, and of the keys that members make. " + validate.AboutAlgorithms() + aboutAsMade,
				Validators:          []validator.String{validate.OneOfAlgorithms()},
				PlanModifiers:       []planmodifier.String{asMade(pki.DefaultAlgorithm)},
			},
			"validity": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "How long the authorities' certificates are valid, as a duration like `87600h`. At least 10m. Default: `87600h` (ten years)." + aboutAsMade,
				Validators:          []validator.String{validate.Lifetime},
				PlanModifiers:       []planmodifier.String{asMade(authorityValidity)},
			},
			"authority": schema.SingleNestedAttribute{
				Computed: true, Sensitive: true,
				MarkdownDescription: "Both authorities with their keys: what `etcd_cluster` takes as `pki`.",
				Attributes:          map[string]schema.Attribute{"peer": authority.PairComputed(authority.AboutPeer), "client": authority.PairComputed(authority.AboutClient)},
			},
			"client_authority": schema.SingleNestedAttribute{
				Computed: true, Sensitive: true,
				MarkdownDescription: "The authority for clients alone, with its key: what `etcd_certificate` takes as `pki`. Whoever issues certificates to clients needs no more, " +
					"and with the key of the peers could take part in the cluster as a member.",
				Attributes: map[string]schema.Attribute{"client": authority.PairComputed(authority.AboutClient)},
			},
			"expires_at": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "When the first of the authorities expires, as RFC 3339 in UTC. No certificate of the cluster holds longer: give the cluster others in time. " +
					"Plans of `etcd_cluster` warn for the last 180 days.",
			},
			"peer_ca_certificate":   schema.StringAttribute{Computed: true, MarkdownDescription: "PEM certificate of the authority that members trust each other by."},
			"client_ca_certificate": schema.StringAttribute{Computed: true, MarkdownDescription: "PEM certificate of the authority that clients and servers trust each other by."},
		},
	}
}
