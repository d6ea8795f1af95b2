package provider

import (
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// overSSH connects to hosts over SSH. All resources of one run share its connections.
type overSSH struct {
	pool   *ssh.Pool
	ssh    sshModel
	stores node.Stores
}

// Host returns the host at reach.
func (h overSSH) Host(reach providerdata.Reach) (upgrade.Host, error) {
	return node.New(h.pool, h.ssh.target(reach), secret.New(h.ssh.SudoPassword.Reveal()), h.stores), nil
}

// Briefly returns the host at reach, for a caller that can continue without it.
func (h overSSH) Briefly(reach providerdata.Reach) (upgrade.Host, error) {
	return node.New(h.pool, h.ssh.target(reach), secret.New(h.ssh.SudoPassword.Reveal()), h.stores).Briefly(), nil
}

// unknownHosts stands for hosts that cannot be reached before apply.
type unknownHosts struct {
	attributes []string // attributes of the provider that have no value yet
}

// Briefly fails.
func (h unknownHosts) Briefly(reach providerdata.Reach) (upgrade.Host, error) { return h.Host(reach) }

// Host fails.
func (h unknownHosts) Host(providerdata.Reach) (upgrade.Host, error) {
	return nil, fmt.Errorf("the provider's %s: %w, and hosts are reached with it", strings.Join(h.attributes, ", "), providerdata.ErrNotKnown)
}
