package certificates

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// Default lifetime of a client certificate, and how long before its end an apply renews the certificate.
const (
	certificateValidity = "8760h"
	certificateRenewal  = "720h"
)

// Descriptions that the resource and the ephemeral resource share.
const (
	aboutCommonName   = "Common name of the subject, 1 to 64 characters. If etcd's authentication is on, it is the name of the etcd user."
	aboutOrganization = "Organizations of the subject, each 1 to 64 characters. Default: none."
	aboutNames        = "DNS names and IP addresses that the certificate names (its subject alternative name), in lower case and without wildcards. etcd itself ignores them: a proxy in front of the members needs them, or a program that compares them itself. Default: none."
	aboutUsages       = "What the certificate is for. `client_auth`, which is always there, is for connecting to members. Add `server_auth` for a proxy that clients verify by the same authority. " +
		"Clients accept its holder as the server that `alternative_names` says: never name a member there. Default: `client_auth` alone."
	aboutCACertificate = "What clients verify members' certificates with, PEM: the certificate of the authority that signed this certificate, and during a rotation, after it, the certificate of the authority that is trusted beside it."
)

// Validators that the resource and the ephemeral resource share.
var (
	commonNameRules   = []validator.String{stringvalidator.LengthBetween(1, 64)}
	organizationRules = []validator.List{listvalidator.SizeAtLeast(1), listvalidator.NoNullValues(), listvalidator.ValueStringsAre(stringvalidator.LengthBetween(1, 64))}
	namesRules        = []validator.Set{setvalidator.SizeBetween(1, 64), setvalidator.NoNullValues(), setvalidator.ValueStringsAre(validate.HostAddress)}
	usagesRules       = []validator.Set{setvalidator.NoNullValues(), setvalidator.ValueStringsAre(stringvalidator.OneOf(clientAuth, serverAuth)), connects{}}
)

func certificateSchema() schema.Schema {
	return schema.Schema{
		Version: certificateSchemaVersion,
		MarkdownDescription: "A client certificate, to connect to a cluster with. No state holds its private key: either " +
			"the provider makes the key in a file on the machine that runs Terraform (`private_key_file`), or it never sees the key (`csr`). " +
			"The ephemeral resource of the same name makes a key and a certificate for one run alone.\n\n" +
			"A change of the configuration issues another certificate for the same key, in place, and so does an apply shortly before the certificate expires (`renew_before`).\n\n" +
			"There is nothing to import: the apply that creates the resource uses the key in `private_key_file`, or the request in `csr`, and overwrites a certificate of the same authority in `certificate_file`. The earlier certificate stays valid until it expires.",
		Attributes: map[string]schema.Attribute{
			"pki": authority.ClientWriteOnly(),
			"common_name": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: aboutCommonName,
				Validators:          commonNameRules,
			},
			"organization": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: aboutOrganization,
				Validators:          organizationRules,
			},
			"alternative_names": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: aboutNames,
				Validators:          namesRules,
			},
			"usages": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: aboutUsages,
				Validators:          usagesRules,
			},
			"validity": schema.StringAttribute{
				Optional: true, Computed: true,
				Default:             stringdefault.StaticString(certificateValidity),
				MarkdownDescription: "How long a certificate is valid, as a duration like `8760h`: at least 10m, and never longer than the authority's own. Default: `8760h` (a year).",
				Validators:          []validator.String{validate.Lifetime},
			},
			"renew_before": schema.StringAttribute{
				Optional: true, Computed: true,
				Default: stringdefault.StaticString(certificateRenewal),
				MarkdownDescription: "How long before the certificate's end the next apply renews it, as a duration shorter than `validity`. " +
					"Default: `720h` (30 days). A certificate that ends with its authority is not renewed, since another one would end at the same time: a refresh warns instead.",
				Validators: []validator.String{validate.Duration},
			},
			"private_key_file": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Path of the private key, PEM. If the file does not exist, the apply makes a key there, which only its owner can read (mode 0600). The provider uses a key that is there, and never overwrites it; " +
					"nobody but its owner may be able to read it. A destroy deletes a key that this resource made. No two resources may name one file for a key that one of them makes, or for a certificate. Exactly one of this and `csr`.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"csr": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "PKCS #10 certificate request, PEM, made with a key that this provider never sees. Its public key is certified; " +
					"subject, names and usages are what this resource says. A request that asks for anything more is refused.",
			},
			"algorithm": schema.StringAttribute{
				Optional: true, Computed: true,
				Default:             stringdefault.StaticString(string(pki.DefaultAlgorithm)),
				MarkdownDescription: "Algorithm of the key that this resource makes. If you change it, the same apply makes another key in its place, and a certificate for that key. It has no effect on a key that was there before, or on a request. " + validate.AboutAlgorithms(),
				Validators:          []validator.String{validate.OneOfAlgorithms()},
			},
			"certificate_file": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Path of a file to write the certificate to as well. The provider overwrites only a file that holds nothing but certificates of this authority, or of those that it has replaced by a rotation or an exchange. It refuses any other file, such as one with a private key beside its certificate. A destroy deletes the file if it still holds the certificate. Default: none.",
				Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"ca_certificate_file": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Path of a file to write `ca_certificate` to as well. Several of these resources may name one file. The provider overwrites it on the same conditions as `certificate_file`, and also if it holds a bundle of this authority and the one before or after it. " +
					"A destroy leaves the file, since others may use it, unless the same run destroys the `etcd_pki` whose certificate the file holds. Default: none.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},

			"certificate":    schema.StringAttribute{Computed: true, MarkdownDescription: "The certificate, PEM."},
			"ca_certificate": schema.StringAttribute{Computed: true, MarkdownDescription: aboutCACertificate},
			"expires_at":     schema.StringAttribute{Computed: true, MarkdownDescription: "When the certificate expires, as RFC 3339 in UTC."},
			"serial_number":  schema.StringAttribute{Computed: true, MarkdownDescription: "Serial number of the certificate, hexadecimal."},
			"renewal_due": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Why the next apply issues another certificate: the certificate is about to expire, one of its files is gone or holds something else, or a key that this resource made is not of `algorithm`. Null: the next apply issues none. Known after apply if a plan leaves a certificate in its last week unrenewed because `pki` has no key; `planned_change` is `none` then.",
			},
			"planned_change": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "What a plan is for, so that automation can tell a renewal from what somebody has to approve: `none`, `create`, " +
					"`renewal` (the certificate is about to expire, and nothing else is the matter: the same key gets another one), " +
					"`reissue` (the configuration is as it was, and a file is gone or holds something else on the machine that plans: another certificate is written, and where the key is gone, another key is made), or " +
					"`change` (the configuration asks for something else). Between an apply and the next refresh it says what that apply was for.",
			},
		},
	}
}
