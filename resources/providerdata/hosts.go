package providerdata

import (
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// Hosts finds hosts. Nothing is dialed before a host is used.
type Hosts interface {
	// Host is the host that target leads to. It fails with ErrNotKnown where the provider's settings
	// will be known at apply only. Whatever else is wrong with the way there, its calls say.
	Host(target SSHTarget) (upgrade.Host, error)

	// Briefly is the same host for who can go on without its answer: where it cannot be reached it is given up soon, and
	// not asked again for a while. A host that a change needs may still be booting, and is waited for.
	Briefly(target SSHTarget) (upgrade.Host, error)
}

// ErrNotKnown says that a setting of the provider has no value yet: it comes out of a resource that
// the same apply makes.
var ErrNotKnown = errors.New("not known before apply")

// SSHTarget says how to reach one host over SSH. What is empty is as the provider block has it.
type SSHTarget struct {
	Address string // host name or IP address
	Port    int    // of its sshd; 0: the provider's
	User    string // who logs in; empty: the provider's
	HostKey string // its public key, to pin; empty: none
	HostCA  string // authority that signs its host certificate; empty: the provider's
}

// SSHTargetOf returns how to reach a host that a configuration describes: at address, unless sshAddress is another.
func SSHTargetOf(address, sshAddress types.String, port types.Int64, user, key, ca types.String) SSHTarget {
	by := sshAddress.ValueString()
	if by == "" {
		by = address.ValueString()
	}
	return SSHTarget{Address: by, Port: int(port.ValueInt64()), User: user.ValueString(), HostKey: key.ValueString(), HostCA: ca.ValueString()}
}
