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

// Host returns the host at target.
func (h overSSH) Host(target providerdata.SSHTarget) (upgrade.Host, error) {
	return node.New(h.pool, h.ssh.target(target), secret.New(h.ssh.SudoPassword.Reveal()), h.stores), nil
}

// Briefly returns the host at target, for a caller that can continue without it.
func (h overSSH) Briefly(target providerdata.SSHTarget) (upgrade.Host, error) {
	return node.New(h.pool, h.ssh.target(target), secret.New(h.ssh.SudoPassword.Reveal()), h.stores).Briefly(), nil
}

// unknownHosts stands for hosts that cannot be reached before apply.
type unknownHosts struct {
	attributes []string // attributes of the provider that have no value yet
}

// Briefly fails.
func (h unknownHosts) Briefly(target providerdata.SSHTarget) (upgrade.Host, error) {
	return h.Host(target)
}

// Host fails.
func (h unknownHosts) Host(providerdata.SSHTarget) (upgrade.Host, error) {
	return nil, fmt.Errorf("the provider's %s: %w, and hosts are reached with it", strings.Join(h.attributes, ", "), providerdata.ErrNotKnown)
}
