package ssh_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// A private key in the place of a public one is an error that does not repeat it.
func TestMisplacedPrivateKeyIsNotRepeated(t *testing.T) {
	key := sshtest.OpenSSH(t, sshtest.NewKey(t, "ssh-ed25519"), "")
	inline := strings.ReplaceAll(key, "\n", " ")
	file := writeFile(t, key)
	for name, target := range map[string]ssh.Target{
		"public":   {Auth: ssh.Auth{Certificate: key, AgentKey: key}, Trust: ssh.Trust{HostKey: key, HostCA: key}},
		"one line": {Auth: ssh.Auth{Certificate: inline, AgentKey: inline}, Trust: ssh.Trust{HostKey: inline, HostCA: inline}},
		"host_ca":  {Trust: ssh.Trust{HostCA: "ssh-ed25519 " + strings.Split(key, "\n")[1]}},
		"files":    {Auth: ssh.Auth{CertificateFile: file}, Trust: ssh.Trust{KnownHosts: []string{file}}},
		"user":     {Auth: ssh.Auth{PrivateKey: secret.New("x" + key)}},
	} {
		err := target.Validate()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, line := range strings.Split(key, "\n")[1:4] {
			if strings.Contains(err.Error(), line) {
				t.Errorf("%s: the error holds the key: %v", name, err)
			}
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	const key, phrase = "MIIEowIBAAKCAQEA", "opensesame"
	target := ssh.Target{
		Address: "192.0.2.1",
		Auth:    ssh.Auth{PrivateKey: secret.New(key), Passphrase: secret.New(phrase)},
		Bastion: &ssh.Target{Auth: ssh.Auth{Passphrase: secret.New(phrase)}},
	}
	// fmt calls no methods on what it finds in unexported fields.
	hidden := struct {
		target  ssh.Target
		pointer *ssh.Target
		secrets []secret.Text
	}{target, &target, []secret.Text{secret.New(key)}}

	var printed []string
	for _, value := range []any{target, &target, target.Auth, target.Auth.PrivateKey, &target.Auth.PrivateKey, hidden, &hidden} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			printed = append(printed, fmt.Sprintf(verb, value))
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("connect", "value", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("connect", "value", value)
		printed = append(printed, string(text), log.String())
	}
	for _, text := range printed {
		for _, secret := range []string{key, phrase, fmt.Sprintf("%x", key), fmt.Sprintf("%x", phrase), fmt.Sprintf("%X", phrase)} {
			if strings.Contains(text, secret) {
				t.Errorf("a secret in %s", text)
			}
		}
	}
	if target.Auth.PrivateKey.Reveal() != key {
		t.Error("the secret is lost")
	}
}
