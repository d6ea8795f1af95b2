package ssh_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	const key, phrase = "MIIEowIBAAKCAQEA", "opensesame"
	target := ssh.Target{
		Address: "192.0.2.1",
		Auth:    ssh.Auth{PrivateKey: ssh.NewSecret(key), Passphrase: ssh.NewSecret(phrase)},
		Bastion: &ssh.Target{Auth: ssh.Auth{Passphrase: ssh.NewSecret(phrase)}},
	}
	// fmt calls no methods on what it finds in unexported fields.
	hidden := struct {
		target  ssh.Target
		pointer *ssh.Target
		secrets []ssh.Secret
	}{target, &target, []ssh.Secret{ssh.NewSecret(key)}}

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
	if !(ssh.Secret{}).IsEmpty() || !ssh.NewSecret("").IsEmpty() || ssh.NewSecret("").Reveal() != "" {
		t.Error("an empty secret is not empty")
	}
}
