package provider

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// progressLogVariable stands for progress_log.
const progressLogVariable = "ETCD_PROGRESS_LOG"

// variable is the environment variable that stands for an attribute of ssh, where a configuration does not set it.
func variable(attribute string) string { return "ETCD_SSH_" + strings.ToUpper(attribute) }

// bastionVariable is the one that stands for an attribute of ssh.bastion, where a configuration has no bastion.
func bastionVariable(attribute string) string { return variable("bastion_" + attribute) }

// fill sets what the configuration leaves out from the environment. What a login shows is one thing: where the configuration
// brings a key or an agent, no variable adds another. A bastion is one thing too: one of the configuration is what that says.
func (s *sshModel) fill() error {
	if err := s.loginModel.fill(variable); err != nil {
		return err
	}
	for name, value := range map[string]*types.String{"known_hosts_file": &s.KnownHostsFile, "connect_timeout": &s.ConnectTimeout} {
		*value = orVariable(*value, variable(name))
	}
	s.SudoPassword = secretOrVariable(s.SudoPassword, variable("sudo_password"))
	if s.Bastion != nil || os.Getenv(bastionVariable("address")) == "" {
		return nil
	}
	s.Bastion = &bastionModel{Address: orVariable(types.StringNull(), bastionVariable("address")), HostKey: orVariable(types.StringNull(), bastionVariable("host_key"))}
	return s.Bastion.fill(bastionVariable)
}

// fill sets what a login leaves out from the variables of its attributes.
func (l *loginModel) fill(variable func(attribute string) string) error {
	set := map[string]*types.String{"user": &l.User, "host_ca": &l.HostCA}
	if !l.hasCredentials() {
		set["private_key_file"] = &l.PrivateKeyFile
		l.PrivateKey, l.Passphrase = secretOrVariable(l.PrivateKey, variable("private_key")), secretOrVariable(l.Passphrase, variable("private_key_passphrase"))
		if l.Agent.IsNull() {
			set["agent_socket"], set["agent_key"] = &l.AgentSocket, &l.AgentKey
			if text := os.Getenv(variable("agent")); text != "" {
				agent, err := strconv.ParseBool(text)
				if err != nil {
					return fmt.Errorf("the environment variable %s is %q: set it to true or false", variable("agent"), text)
				}
				l.Agent = types.BoolValue(agent)
			}
		}
		if !l.hasCertificate() {
			set["certificate"], set["certificate_file"] = &l.Certificate, &l.CertificateFile
		}
	}
	for name, value := range set {
		*value = orVariable(*value, variable(name))
	}
	if text := os.Getenv(variable("port")); l.Port.IsNull() && text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return fmt.Errorf("the environment variable %s is %q: set it to a port, 1 to 65535", variable("port"), text)
		}
		l.Port = types.Int64Value(int64(port))
	}
	return nil
}

// orVariable is a value, or where it is not set that of an environment variable.
func orVariable(value types.String, variable string) types.String {
	if text := os.Getenv(variable); value.IsNull() && text != "" {
		return types.StringValue(text)
	}
	return value
}

// secretOrVariable is the same of a secret.
func secretOrVariable(value sensitive.String, variable string) sensitive.String {
	if text := os.Getenv(variable); value.IsNull() && text != "" {
		return sensitive.Of(text)
	}
	return value
}
