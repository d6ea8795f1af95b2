package upgrade_test

import (
	"context"
	"slices"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestKeysGoneEverywhere has no member answer, though all serve, since keys are gone or belong to another certificate.
// The members get new certificates before any step that costs a voter.
func TestKeysGoneEverywhere(t *testing.T) {
	lose := func(h *nodetest.Host) { h.LoseKey(cluster, api.KeyAdmin) }
	swap := func(h *nodetest.Host) { h.SwapKey(cluster, api.KeyServer, api.KeyPeer) }
	for what, happens := range map[string]func(*nodetest.Host){"gone": lose, "another's": swap} {
		t.Run(what, func(t *testing.T) { keysEverywhere(t, happens) })
	}
}

func keysEverywhere(t *testing.T, happens func(*nodetest.Host)) {
	for name, desired := range map[string]func(*life){
		"as it is":       func(*life) {},
		"other settings": func(l *life) { l.set("quota-backend-bytes", "8589934592") },
		"a newer etcd":   func(l *life) { l.run(nodetest.EtcdVersion) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, older)
				desired(l)
				for _, m := range l.cluster.Members {
					happens(l.host(m.Name))
				}
				outcome, err := l.change(context.Background(), l.planned().Steps)
				if err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(outcome.Done, func(s membership.Step) bool { return s.Kind == membership.Stop }) {
					t.Errorf("a member was stopped:\n%s", texts(outcome.Done))
				}
				l.mustBeAsDesired()
			})
		})
	}
}
