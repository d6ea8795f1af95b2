package provider

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// progressLogVariable is the environment variable for progress_log.
const progressLogVariable = "ETCD_PROGRESS_LOG"

// variable returns the environment variable for an attribute of ssh that the configuration does not set.
func variable(attribute string) string { return "ETCD_SSH_" + strings.ToUpper(attribute) }

// bastionVariable returns the environment variable for an attribute of ssh.bastion, if the configuration has no
// bastion.
func bastionVariable(attribute string) string { return variable("bastion_" + attribute) }

// fill sets attributes that the configuration omits from the environment. Credentials belong together: if the
// configuration has a key or an agent, no variable adds another. So does a bastion: one in the configuration is used
// as it is.
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

// fill sets attributes of a login that are not set from their variables.
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

// orVariable returns a value or, if it is not set, that of an environment variable.
func orVariable(value types.String, variable string) types.String {
	if text := os.Getenv(variable); value.IsNull() && text != "" {
		return types.StringValue(text)
	}
	return value
}

// secretOrVariable is orVariable for a secret.
func secretOrVariable(value sensitive.String, variable string) sensitive.String {
	if text := os.Getenv(variable); value.IsNull() && text != "" {
		return sensitive.Of(text)
	}
	return value
}
