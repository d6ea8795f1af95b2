package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// sshModel is the provider's ssh attribute.
type sshModel struct {
	loginModel
	KnownHostsFile types.String     `tfsdk:"known_hosts_file"`
	SudoPassword   sensitive.String `tfsdk:"sudo_password"`
	ConnectTimeout types.String     `tfsdk:"connect_timeout"`
	Bastion        *bastionModel    `tfsdk:"bastion"`
}

// bastionModel is the host to go through.
type bastionModel struct {
	loginModel
	Address types.String `tfsdk:"address"`
	HostKey types.String `tfsdk:"host_key"`
}

// loginModel is who logs in, and with what.
type loginModel struct {
	User            types.String     `tfsdk:"user"`
	Port            types.Int64      `tfsdk:"port"`
	PrivateKey      sensitive.String `tfsdk:"private_key"`
	PrivateKeyFile  types.String     `tfsdk:"private_key_file"`
	Passphrase      sensitive.String `tfsdk:"private_key_passphrase"`
	Certificate     types.String     `tfsdk:"certificate"`
	CertificateFile types.String     `tfsdk:"certificate_file"`
	Agent           types.Bool       `tfsdk:"agent"`
	AgentSocket     types.String     `tfsdk:"agent_socket"`
	AgentKey        types.String     `tfsdk:"agent_key"`
	HostCA          types.String     `tfsdk:"host_ca"`
}

// defaultUser logs in where the configuration names nobody.
const defaultUser = "root"

// auth is what the login shows.
func (l loginModel) auth() ssh.Auth {
	return ssh.Auth{
		PrivateKey:      secret.New(l.PrivateKey.Reveal()),
		PrivateKeyFile:  l.PrivateKeyFile.ValueString(),
		Passphrase:      secret.New(l.Passphrase.Reveal()),
		Certificate:     l.Certificate.ValueString(),
		CertificateFile: l.CertificateFile.ValueString(),
		Agent:           l.Agent.ValueBool(),
		AgentSocket:     l.AgentSocket.ValueString(),
		AgentKey:        l.AgentKey.ValueString(),
	}
}

// over is what the login shows where it stands above another one: a key or an agent of its own alone, with what belongs to it; else
// the other's, with the certificate or the passphrase that this one brings for it.
func (l loginModel) over(other loginModel) ssh.Auth {
	if l.hasCredentials() {
		return l.auth()
	}
	if l.hasCertificate() {
		other.Certificate, other.CertificateFile = l.Certificate, l.CertificateFile
	}
	if !l.Passphrase.IsNull() {
		other.Passphrase = l.Passphrase
	}
	if !l.Agent.IsNull() { // and not true, or these were credentials
		other.Agent, other.AgentSocket, other.AgentKey = l.Agent, types.StringNull(), types.StringNull()
	}
	return other.auth()
}

// hasCertificate tells whether the login brings a certificate.
func (l loginModel) hasCertificate() bool {
	return !l.Certificate.IsNull() || !l.CertificateFile.IsNull()
}

// hasCredentials tells whether the login brings a key or an agent of its own to log in with.
func (l loginModel) hasCredentials() bool {
	return !l.PrivateKey.IsNull() || !l.PrivateKeyFile.IsNull() || l.Agent.ValueBool() || !l.AgentSocket.IsNull() || !l.AgentKey.IsNull()
}

// target is the way to a host: what is set for it, and what is set for all where nothing is.
func (s sshModel) target(reach providerdata.Reach) ssh.Target {
	return ssh.Target{
		Address: reach.Address,
		Port:    or(reach.Port, int(s.Port.ValueInt64())),
		User:    or(reach.User, s.User.ValueString(), defaultUser),
		Auth:    s.auth(),
		Trust:   s.trust(reach.HostKey, or(reach.HostCA, s.HostCA.ValueString())),
		Bastion: s.bastion(),
	}
}

// bastion is the host to go through; nil: none.
func (s sshModel) bastion() *ssh.Target {
	if s.Bastion == nil {
		return nil
	}
	return &ssh.Target{
		Address: s.Bastion.Address.ValueString(),
		Port:    int(s.Bastion.Port.ValueInt64()),
		User:    or(s.Bastion.User.ValueString(), s.User.ValueString(), defaultUser),
		Auth:    s.Bastion.over(s.loginModel),
		Trust:   s.trust(s.Bastion.HostKey.ValueString(), or(s.Bastion.HostCA.ValueString(), s.HostCA.ValueString())),
	}
}

// trust is what vouches for a host: its pin alone where it has one; else its authority, and the
// known_hosts file. The user's own file is taken where nothing else was named.
func (s sshModel) trust(hostKey, hostCA string) ssh.Trust {
	trust := ssh.Trust{HostKey: hostKey, HostCA: hostCA}
	if file := s.KnownHostsFile.ValueString(); file != "" {
		trust.KnownHosts = []string{file}
	} else if hostKey == "" && hostCA == "" {
		if file := usersKnownHosts(); file != "" {
			trust.KnownHosts = []string{file}
		}
	}
	return trust
}

// usersKnownHosts is the user's own known_hosts file; empty where there is none.
func usersKnownHosts() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	file := filepath.Join(home, ".ssh", "known_hosts")
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// validate finds what is wrong with the settings before any host is needed: keys and certificates
// that cannot be read, files that are not there.
func (s sshModel) validate() error {
	target := s.target(providerdata.Reach{Address: "localhost"})
	if target.Trust.HostCA == "" && len(target.Trust.KnownHosts) == 0 {
		// Nothing vouches for all hosts, so that each has to bring its own pin. That is seen when it is reached.
		target.Trust.KnownHosts = []string{os.DevNull}
	}
	return target.Validate()
}

// options are the limits of the connections.
func (s sshModel) options() (ssh.Options, error) {
	if s.ConnectTimeout.IsNull() {
		return ssh.Options{}, nil
	}
	timeout, err := time.ParseDuration(s.ConnectTimeout.ValueString())
	if err != nil || timeout <= 0 {
		return ssh.Options{}, fmt.Errorf("%q is no positive duration: set one like \"30s\"", s.ConnectTimeout.ValueString())
	}
	return ssh.Options{ConnectTimeout: timeout, LookTimeout: min(timeout, longestLook)}, nil
}

// longestLook bounds the time in which a host that is only looked at may stay silent, however long one that is needed is
// waited for: a machine that boots for minutes is no reason for a plan that takes as long.
const longestLook = 10 * time.Second

// or is the first value that is set.
func or[T comparable](values ...T) T {
	var unset T
	for _, value := range values {
		if value != unset {
			return value
		}
	}
	return unset
}
