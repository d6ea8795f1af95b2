package main

import (
	"strings"
	"testing"
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
