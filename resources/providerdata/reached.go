package providerdata

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// ReachedBy returns the attributes by which a configuration says how to reach a host, beside its address. text and
// number make an attribute of the schema that they are for, which all are optional in.
func ReachedBy[A any](
	text func(description string, rules ...validator.String) A,
	number func(description string, rules ...validator.Int64) A,
) map[string]A {
	return map[string]A{
		"host_key": text("Public SSH key of the host, like `ssh-ed25519 AAAA...`; several, one a line, while it is being changed. "+
			"Where it is set, no other key is accepted.", validate.PublicKeys),
		"host_ca": text("Public key of the authority that signs this host's SSH host certificate. Default: the provider's `ssh.host_ca`.",
			validate.PublicKeys),
		"ssh_address": text("Host name or IP address to reach the host's sshd by, where that is not `address`.", validate.HostAddress),
		"ssh_port":    number("TCP port of the host's sshd, 1 to 65535. Default: the provider's `ssh.port`.", int64validator.Between(1, 65535)),
		"ssh_user":    text("User to log in as on this host. Default: the provider's `ssh.user`.", stringvalidator.LengthAtLeast(1)),
	}
}
