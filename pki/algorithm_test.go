package pki

import (
	"strings"
	"testing"
)

func TestParseAlgorithm(t *testing.T) {
	for _, a := range Algorithms() {
		if got, err := ParseAlgorithm(string(a)); err != nil || got != a {
			t.Errorf("ParseAlgorithm(%q) = %q, %v", a, got, err)
		}
	}
	for _, name := range []string{"", "rsa", "rsa-1024", "ecdsa-p521", "ed25519", "ECDSA-P256"} {
		_, err := ParseAlgorithm(name)
		if err == nil {
			t.Errorf("ParseAlgorithm(%q) succeeded", name)
			continue
		}
		for _, a := range Algorithms() {
			if !strings.Contains(err.Error(), string(a)) {
				t.Errorf("ParseAlgorithm(%q): %q does not list %s", name, err, a)
			}
		}
	}
}

func TestGeneratedKeysAreOfTheirAlgorithm(t *testing.T) {
	for _, a := range Algorithms() {
		made, err := a.generate()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := AlgorithmOf(made.Public()); err != nil || got != a {
			t.Errorf("a key of %s is of %q, %v", a, got, err)
		}
	}
	if _, err := Algorithm("dsa").generate(); err == nil {
		t.Error("made a key of an algorithm that there is not")
	}
}
