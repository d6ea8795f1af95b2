package provider

import (
	"fmt"
	"os"
	"slices"
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
// configuration has a key or an agent, no variable adds another. A passphrase is for whichever key there is.
func (s *sshModel) fill() error {
	if err := s.loginModel.fill(variable); err != nil {
		return err
	}
	for name, value := range map[string]*types.String{"known_hosts_file": &s.KnownHostsFile, "connect_timeout": &s.ConnectTimeout} {
		*value = orVariable(*value, variable(name))
	}
	s.SudoPassword = secretOrVariable(s.SudoPassword, variable("sudo_password"))
	return s.fillBastion()
}

// fillBastion does the same for the bastion. Its variables belong to the bastion whose address is among them, and to
// that of the configuration where none is: no bastion gets the login of another.
func (s *sshModel) fillBastion() error {
	address := orVariable(types.StringNull(), bastionVariable("address"))
	switch {
	case s.Bastion == nil && address.IsNull():
		if set := setVariables(bastionVariable, bastionAttributes()); len(set) > 0 {
			return fmt.Errorf("the environment has %s, and no bastion: set %s or ssh.bastion, or unset the others", strings.Join(set, ", "), bastionVariable("address"))
		}
		return nil
	case s.Bastion == nil:
		s.Bastion = &bastionModel{Address: address}
	case !address.IsNull() && !address.Equal(s.Bastion.Address):
		return nil
	}
	s.Bastion.HostKey = orVariable(s.Bastion.HostKey, bastionVariable("host_key"))
	return s.Bastion.fill(bastionVariable)
}

// setVariables are the variables of attributes that the environment has.
func setVariables[T any](variable func(attribute string) string, attributes map[string]T) (set []string) {
	for name := range attributes {
		if os.Getenv(variable(name)) != "" {
			set = append(set, variable(name))
		}
	}
	slices.Sort(set)
	return set
}

// fromEnvironment ends the text of an error with the variables that may have brought what is wrong; empty: there are
// none.
func fromEnvironment() string {
	set := append(setVariables(variable, hostAttributes()), setVariables(bastionVariable, bastionAttributes())...)
	if len(set) == 0 {
		return ""
	}
	return "\n\nWhat the configuration leaves out comes from the environment, which has " + strings.Join(set, ", ") + "."
}

// fill sets attributes of a login that are not set from their variables.
func (l *loginModel) fill(variable func(attribute string) string) error {
	set := map[string]*types.String{"user": &l.User, "host_ca": &l.HostCA}
	// A passphrase is of no use if no key is encrypted.
	l.Passphrase = secretOrVariable(l.Passphrase, variable("private_key_passphrase"))
	if !l.hasCredentials() {
		set["private_key_file"] = &l.PrivateKeyFile
		l.PrivateKey = secretOrVariable(l.PrivateKey, variable("private_key"))
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
