package certificates

import (
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// authorityValidity is how long an authority lasts by default: ten years.
const authorityValidity = "87600h"

func pkiSchema() schema.Schema {
	return schema.Schema{
		Version: pkiSchemaVersion,
		MarkdownDescription: "The two certificate authorities of a cluster: one for peers, and one for clients and servers, so that the certificate of a client never opens the port of the peers.\n\n" +
			"Their private keys are in this resource's state, marked sensitive, and in no other's: protect the state accordingly. " +
			"Whoever loses them can issue no further certificate to the cluster. A replacement (`terraform taint`, `-replace`) is refused; " +
			"to guard against a destroy too, set `lifecycle { prevent_destroy = true }`.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name in the subjects of the authorities, usually the cluster's: 1 to 32 lower-case letters, digits and hyphens, " +
					"beginning with a letter and not ending with a hyphen. Cannot be changed.",
				Validators: []validator.String{validate.ClusterName},
			},
			"algorithm": schema.StringAttribute{
				Optional: true, Computed: true,
				Default:             stringdefault.StaticString(string(pki.DefaultAlgorithm)),
				MarkdownDescription: "Algorithm of the authorities' keys, and of the keys that members make. " + validate.AboutAlgorithms() + " Cannot be changed yet.",
				Validators:          []validator.String{validate.OneOfAlgorithms()},
			},
			"validity": schema.StringAttribute{
				Optional: true, Computed: true,
				Default:             stringdefault.StaticString(authorityValidity),
				MarkdownDescription: "How long the authorities' certificates are valid, as a duration like `87600h`. At least 10m. Default: `87600h` (ten years). Cannot be changed yet.",
				Validators:          []validator.String{validate.Lifetime},
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
			"peer_ca_certificate":   schema.StringAttribute{Computed: true, MarkdownDescription: "PEM certificate of the authority that members trust each other by."},
			"client_ca_certificate": schema.StringAttribute{Computed: true, MarkdownDescription: "PEM certificate of the authority that clients and servers trust each other by."},
		},
	}
}
