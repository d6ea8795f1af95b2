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

// bastionModel is the ssh.bastion attribute.
type bastionModel struct {
	loginModel
	Address types.String `tfsdk:"address"`
	HostKey types.String `tfsdk:"host_key"`
}

// loginModel has the attributes of a login: the user and the credentials.
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

// defaultUser is the user to log in as if the configuration names none.
const defaultUser = "root"

// auth returns the credentials of the login.
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

// over returns the credentials of a login that takes precedence over other: its own key or agent with what belongs to
// it, if it has one; otherwise the other's, with the certificate or passphrase that this login adds.
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
	if !l.Agent.IsNull() { // and false: a true agent would count as credentials
		other.Agent, other.AgentSocket, other.AgentKey = l.Agent, types.StringNull(), types.StringNull()
	}
	return other.auth()
}

// hasCertificate tells whether the login has a certificate.
func (l loginModel) hasCertificate() bool {
	return !l.Certificate.IsNull() || !l.CertificateFile.IsNull()
}

// hasCredentials tells whether the login has a key or an agent of its own.
func (l loginModel) hasCredentials() bool {
	return !l.PrivateKey.IsNull() || !l.PrivateKeyFile.IsNull() || l.Agent.ValueBool() || !l.AgentSocket.IsNull() || !l.AgentKey.IsNull()
}

// target returns the SSH target for a host: its own settings, or else those for all hosts.
func (s sshModel) target(target providerdata.SSHTarget) ssh.Target {
	return ssh.Target{
		Address: target.Address,
		Port:    firstSet(target.Port, int(s.Port.ValueInt64())),
		User:    firstSet(target.User, s.User.ValueString(), defaultUser),
		Auth:    s.auth(),
		Trust:   s.trust(target.HostKey, firstSet(target.HostCA, s.HostCA.ValueString())),
		Bastion: s.bastion(),
	}
}

// bastion returns the bastion's target, or nil.
func (s sshModel) bastion() *ssh.Target {
	if s.Bastion == nil {
		return nil
	}
	return &ssh.Target{
		Address: s.Bastion.Address.ValueString(),
		Port:    int(s.Bastion.Port.ValueInt64()),
		User:    firstSet(s.Bastion.User.ValueString(), s.User.ValueString(), defaultUser),
		Auth:    s.Bastion.over(s.loginModel),
		Trust:   s.trust(s.Bastion.HostKey.ValueString(), firstSet(s.Bastion.HostCA.ValueString(), s.HostCA.ValueString())),
	}
}

// trust returns what vouches for a host: only its pinned key, if it has one; otherwise its authority and the
// known_hosts file. The user's own file is the default if nothing else is named.
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

// usersKnownHosts returns the user's own known_hosts file, or "".
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

// validate checks the settings before any host is needed: keys and certificates have to be readable, and files to
// exist.
func (s sshModel) validate() error {
	target := s.target(providerdata.SSHTarget{Address: "localhost"})

	return target.Validate()
}

// options returns the limits for connections.
func (s sshModel) options() (ssh.Options, error) {
	if s.ConnectTimeout.IsNull() {
		return ssh.Options{}, nil
	}
	timeout, err := time.ParseDuration(s.ConnectTimeout.ValueString())
	if err != nil || timeout <= 0 {
		return ssh.Options{}, fmt.Errorf("%q is no positive duration: set one like \"30s\"", s.ConnectTimeout.ValueString())
	}
	return ssh.Options{ConnectTimeout: timeout, LookTimeout: min(timeout, maxLookTimeout)}, nil
}

// maxLookTimeout bounds how long an optional host may stay silent, whatever connect_timeout says: a timeout for
// machines that boot for minutes must not make plans as slow.
const maxLookTimeout = 10 * time.Second

// firstSet returns the first value that is set.
func firstSet[T comparable](values ...T) T {
	var unset T
	for _, value := range values {
		if value != unset {
			return value
		}
	}
	return unset
}
