package providerdata

import (
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// Hosts returns hosts. It dials none before a host is used.
type Hosts interface {
	// Host returns the host that target leads to. It fails with ErrNotKnown if a setting of the provider is known only
	// after apply. Calls of the host report all other errors.
	Host(target SSHTarget) (upgrade.Host, error)

	// Briefly returns the same host for callers that can go on without an answer. If the host cannot be reached, it is
	// soon given up, and not asked again for a while. A change waits for its hosts instead, since they may still be
	// booting.
	Briefly(target SSHTarget) (upgrade.Host, error)
}

// ErrNotKnown says that a setting of the provider is unknown: it comes from a resource that the same apply makes.
var ErrNotKnown = errors.New("not known before apply")

// SSHTarget says how to reach one host over SSH. Empty values are those of the provider block.
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
