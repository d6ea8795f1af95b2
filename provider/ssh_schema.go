package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// notEmpty requires a text that is not empty: an empty one would be taken for none.
var notEmpty = []validator.String{stringvalidator.LengthAtLeast(1)}

// notEmptyInsteadOf is notEmpty, and requires that another attribute beside it is not set.
func notEmptyInsteadOf(name string) []validator.String {
	return append([]validator.String{stringvalidator.ConflictsWith(path.MatchRelative().AtParent().AtName(name))}, notEmpty...)
}

// privateKeyCheck refuses what is no private key. Its error does not cite the text.
type privateKeyCheck struct{}

func (privateKeyCheck) Description(context.Context) string { return "has to be a private key" }

func (c privateKeyCheck) MarkdownDescription(ctx context.Context) string { return c.Description(ctx) }

func (privateKeyCheck) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.ValueString() == "" { // unknown, or refused by another check
		return
	}
	if err := ssh.CheckPrivateKey(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "This is no private key", fmt.Sprintf("%s: %s.", req.Path, err))
	}
}

// sshAttribute returns the ssh attribute.
func sshAttribute() schema.SingleNestedAttribute {
	attributes := hostAttributes()
	attributes["bastion"] = schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Host through which the provider reaches all members. The provider verifies it like any other host, by `host_key`, `host_ca` or the provider's known_hosts file. " +
			"The provider logs in to it as it does to the hosts, unless the bastion has a key or an agent of its own; a `certificate` or a passphrase without these is for the hosts' key. " +
			"The bastion only has to allow TCP forwarding to the members' sshd. " +
			"If this is not set, and the environment variable `" + bastionVariable("address") + "` is, that and the variables of the other attributes define the bastion. " +
			"If this is set, the variables fill in what it leaves out, unless `" + bastionVariable("address") + "` names another bastion.",
		Attributes: bastionAttributes(),
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "How the provider reaches hosts. It connects to a host when an operation first needs that host, and values may be unknown until then. " +
			"It always verifies host keys, and nothing turns that off. Terraform silently drops an attribute that this reference does not name, so that a misspelt one counts as not set.",
		Attributes: attributes,
	}
}

// hostAttributes are how all hosts are reached, but for the bastion.
func hostAttributes() map[string]schema.Attribute {
	attributes := loginAttributes()
	attributes["known_hosts_file"] = schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "Path of a `known_hosts` file that vouches for host keys, with its `@cert-authority` and `@revoked` lines; `~/` is the home directory. " +
			"Default: `~/.ssh/known_hosts`, where that exists and no `host_ca` is set. A member whose `host_key` is set is verified by that alone.",
		Validators: notEmpty,
	}
	attributes["sudo_password"] = schema.StringAttribute{
		Optional: true, Sensitive: true, CustomType: sensitive.StringType{},
		MarkdownDescription: "Password for sudo, where `user` is not root and sudo asks for one. An ephemeral value is accepted. Default: sudo without a password.",
	}
	attributes["connect_timeout"] = schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "How long a change waits for a host that it needs, from the first dial until the login succeeds, retries included, as a duration like `30s`: " +
			"a machine that has just been made refuses connections until it has booted. Default: `30s`. " +
			"A refresh, and a change that can go on without a host, give up after 2 s if the host refuses connections or there is no route to it. " +
			"If the host does not answer, they give up after `5s`, or after the time that is set here, but after `10s` at most.",
		Validators: []validator.String{validate.Duration},
	}
	for name := range attributes {
		attributes[name] = orFrom(attributes[name], variable(name))
	}
	return attributes
}

// bastionAttributes are how the bastion is reached.
func bastionAttributes() map[string]schema.Attribute {
	bastion := loginAttributes()
	bastion["address"] = schema.StringAttribute{
		Required:            true,
		MarkdownDescription: "Host name or IP address of the bastion, without a port.",
		Validators:          []validator.String{stringvalidator.LengthAtLeast(1), validate.Text("a host name or an IP address, without a port", ssh.CheckAddress)},
	}
	bastion["host_key"] = schema.StringAttribute{
		Optional:            true,
		MarkdownDescription: "Public SSH key of the bastion, like `ssh-ed25519 AAAA...`. Where it is set, no other key is accepted.",
		Validators:          []validator.String{validate.PublicKeys},
	}
	for name := range bastion {
		bastion[name] = orFrom(bastion[name], bastionVariable(name))
	}
	return bastion
}

// orFrom adds to an attribute's description which environment variable sets it.
func orFrom(attribute schema.Attribute, variable string) schema.Attribute {
	more := " Environment variable: `" + variable + "`."
	switch a := attribute.(type) {
	case schema.StringAttribute:
		a.MarkdownDescription += more
		return a
	case schema.Int64Attribute:
		a.MarkdownDescription += more
		return a
	case schema.BoolAttribute:
		a.MarkdownDescription += more
		return a
	}
	panic("no attribute for " + variable)
}

// loginAttributes returns the attributes of a login, for hosts and for the bastion alike.
func loginAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"user": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "User to log in as. On members, sudo is used where it is not root. Default: `root`; for a bastion, the user of the hosts.",
			Validators:          notEmpty,
		},
		"port": schema.Int64Attribute{
			Optional:            true,
			MarkdownDescription: "TCP port of sshd, 1 to 65535. Default: `22`.",
			Validators:          []validator.Int64{int64validator.Between(1, 65535)},
		},
		"private_key": schema.StringAttribute{
			Optional: true, Sensitive: true, CustomType: sensitive.StringType{},
			MarkdownDescription: "Private key to log in with: OpenSSH, or PEM with PKCS#1, SEC1 or PKCS#8. An ephemeral value is accepted. At most one of this and `private_key_file`.",
			Validators:          append(notEmptyInsteadOf("private_key_file"), privateKeyCheck{}),
		},
		"private_key_file": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Path of a private key to log in with; `~/` is the home directory. One that others than its owner can read or write is refused, as OpenSSH does (`chmod 600`).",
			Validators:          notEmpty,
		},
		"private_key_passphrase": schema.StringAttribute{
			Optional: true, Sensitive: true, CustomType: sensitive.StringType{},
			MarkdownDescription: "Passphrase of the private key, where it is encrypted. An ephemeral value is accepted.",
		},
		"certificate": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "OpenSSH user certificate for the key, the text of an `id_*-cert.pub`. At most one of this and `certificate_file`.",
			Validators:          notEmptyInsteadOf("certificate_file"),
		},
		"certificate_file": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Path of an OpenSSH user certificate for the key; `~/` is the home directory.",
			Validators:          notEmpty,
		},
		"agent": schema.BoolAttribute{
			Optional:            true,
			MarkdownDescription: "Log in with the keys of the SSH agent that `SSH_AUTH_SOCK` names. Default: `false`.",
		},
		"agent_socket": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Path of the socket of an SSH agent, instead of `SSH_AUTH_SOCK`; `~/` is the home directory. Implies `agent`.",
			Validators:          notEmpty,
		},
		"agent_key": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Public key (`ssh-ed25519 AAAA...`) of the one key of the agent to use: sshd disconnects after several keys that it does not know. " +
				"Implies `agent`.",
			Validators: []validator.String{validate.PublicKeys},
		},
		"host_ca": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Public key of an authority that signs SSH host certificates; several, one a line. " +
				"The way to trust machines that are created in the same apply.",
			Validators: []validator.String{validate.PublicKeys},
		},
	}
}
