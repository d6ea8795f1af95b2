package main

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// TestRenderedFlagsAreTaken holds that a member of this line starts by the flags that the provider renders:
// they are the same for every line.
func TestRenderedFlagsAreTaken(t *testing.T) {
	c := bootstrap.Cluster{
		Spec:         membership.Spec{Name: "main", Members: []membership.Member{{Name: "a", Address: "192.0.2.11"}, {Name: "b", Address: "192.0.2.12"}, {Name: "c", Address: "192.0.2.13"}}},
		DataDir:      "/var/lib/etcd/main",
		ClientPort:   2379,
		PeerPort:     2380,
		MetricsPort:  2381,
		KeyAlgorithm: "ecdsa-p256",
	}
	for _, state := range []string{bootstrap.StateNew, bootstrap.StateExisting} {
		flags := c.Flags(c.Members[0], formation, state)
		// With --version behind them etcd parses all flags, and ends.
		if got := called(t, "etcd", append(flags, "--version")...); got.status != exitDone {
			t.Errorf("%q: %+v", flags, got)
		}
		if got := called(t, "etcd", append(flags, "--feature-gates=Unheard=true", "--version")...); got.status == exitDone {
			t.Errorf("a feature gate that nobody knows is taken: %+v", got)
		}
	}
}
