package pki

import "testing"

// TestSucceeding holds that successive authorities have different names, and that each name says what its authority is
// for.
func TestSucceeding(t *testing.T) {
	for before, want := range map[string]string{
		"etcd prod peers":       "etcd prod peers 2",
		"etcd prod peers 2":     "etcd prod peers 3",
		"etcd prod peers 9":     "etcd prod peers 10",
		"Example Corp etcd CA":  "etcd prod peers",
		"etcd other peers 4":    "etcd prod peers",
		"etcd prod peers 02":    "etcd prod peers",
		"etcd prod peers 2 bis": "etcd prod peers",
	} {
		if got := Succeeding(PeersName("prod"), before); got != want {
			t.Errorf("after %q comes %q, want %q", before, got, want)
		}
	}
	for name, want := range map[string]bool{"etcd prod peers 12": true, "etcd prod clients": true, "etcd prod": false, "Example 2": false} {
		if got := IsMadeHere(name); got != want {
			t.Errorf("%q was made here: %t", name, got)
		}
	}
}
