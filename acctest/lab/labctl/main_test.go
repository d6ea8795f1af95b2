package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestMistakes sees to it that a mistake at the prompt is answered with what to type instead.
func TestMistakes(t *testing.T) {
	for args, want := range map[string]string{
		"":                         "labctl help",
		"reboto a":                 `no verb "reboto"`,
		"status -name none-such":   "labctl up -name none-such",
		"up a":                     `"a"`,
		"up -hosts 27":             "1 to 26",
		"up -name Upper":           `"Upper"`,
		"power-off -name nope a":   "labctl up -name nope",
		"up -device lots":          `"lots"`,
		"down -bastion":            "not defined: -bastion",
		"exec -name ../labs true":  `no lab "../labs"`,
		"run -name none-such a ls": "labctl up",
	} {
		err := do(t.Context(), strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("labctl %s: %v, and nothing of %q", args, err, want)
		}
	}
}

// TestHelp sees to it that the help lists all verbs.
func TestHelp(t *testing.T) {
	verbs := []string{"up"}
	for verb := range labVerbs {
		verbs = append(verbs, verb)
	}
	for verb := range hostVerbs {
		verbs = append(verbs, verb)
	}
	for _, verb := range verbs {
		if !strings.Contains(usage, "labctl "+verb+" ") {
			t.Errorf("nothing of %s", verb)
		}
	}
}

// TestVariablesSayHowToLogIn sees to it that a lab whose hosts are reached in another way than by default prints how.
func TestVariablesSayHowToLogIn(t *testing.T) {
	for _, test := range []struct {
		config lab.HostConfig
		want   map[string]any
	}{
		{lab.HostConfig{User: "root", Port: 22}, map[string]any{"address": "192.0.2.11", "host_key": "ssh-ed25519 AAAA"}},
		{lab.HostConfig{User: "ops", Port: 2222}, map[string]any{"address": "192.0.2.11", "host_key": "ssh-ed25519 AAAA", "ssh_user": "ops", "ssh_port": 2222}},
	} {
		if got := member(test.config, "192.0.2.11", "ssh-ed25519 AAAA"); !maps.Equal(got, test.want) {
			t.Errorf("%+v: %v, want %v", test.config, got, test.want)
		}
	}
}
