package provider

import (
	"fmt"
	"os"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/types"
)

// variables are the environment variables that stand for attributes of ssh, where a configuration does not set them.
var variables = map[string]string{
	"user":                   "ETCD_SSH_USER",
	"private_key":            "ETCD_SSH_PRIVATE_KEY",
	"private_key_file":       "ETCD_SSH_PRIVATE_KEY_FILE",
	"private_key_passphrase": "ETCD_SSH_PRIVATE_KEY_PASSPHRASE",
	"certificate":            "ETCD_SSH_CERTIFICATE",
	"certificate_file":       "ETCD_SSH_CERTIFICATE_FILE",
	"agent":                  "ETCD_SSH_AGENT",
	"host_ca":                "ETCD_SSH_HOST_CA",
	"known_hosts_file":       "ETCD_SSH_KNOWN_HOSTS_FILE",
	"sudo_password":          "ETCD_SSH_SUDO_PASSWORD",
	"connect_timeout":        "ETCD_SSH_CONNECT_TIMEOUT",
}

// progressLogVariable stands for progress_log.
const progressLogVariable = "ETCD_PROGRESS_LOG"

// fill sets what the configuration leaves out from the environment. What a login shows is one thing: where the configuration
// brings a key or an agent, no variable adds another.
func (s *sshModel) fill() error {
	set := map[string]*types.String{
		"user": &s.User, "host_ca": &s.HostCA, "known_hosts_file": &s.KnownHostsFile, "sudo_password": &s.SudoPassword, "connect_timeout": &s.ConnectTimeout,
	}
	if !s.hasCredentials() {
		set["private_key"], set["private_key_file"], set["private_key_passphrase"] = &s.PrivateKey, &s.PrivateKeyFile, &s.Passphrase
		if !s.hasCertificate() {
			set["certificate"], set["certificate_file"] = &s.Certificate, &s.CertificateFile
		}
		if text := os.Getenv(variables["agent"]); text != "" && s.Agent.IsNull() {
			agent, err := strconv.ParseBool(text)
			if err != nil {
				return fmt.Errorf("the environment variable %s is %q: set it to true or false", variables["agent"], text)
			}
			s.Agent = types.BoolValue(agent)
		}
	}
	for name, value := range set {
		*value = orVariable(*value, variables[name])
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
