package authority

import (
	ephemeral "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// PairEphemeral returns the attribute by which the ephemeral etcd_pki provides one authority.
func PairEphemeral(description string) ephemeral.SingleNestedAttribute {
	return ephemeral.SingleNestedAttribute{
		Computed: true, MarkdownDescription: description,
		Attributes: map[string]ephemeral.Attribute{
			"certificate": ephemeral.StringAttribute{Computed: true, MarkdownDescription: aboutCertificate},
			"private_key": ephemeral.StringAttribute{Computed: true, Sensitive: true, CustomType: sensitive.StringType{}, MarkdownDescription: aboutPrivateKey},
		},
	}
}
