package upgrade_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// signers sign by the authority that is named, and else by the first.
type signers []*signing.Authority

func (s signers) Sign(ctx context.Context, by string, want api.KeyRequest, request string) (string, error) {
	for _, authority := range s {
		bundle := authority.ClientCA()
		if want.Name == api.KeyPeer {
			bundle = authority.PeerCA()
		}
		if by == "" || by == authorityName(bundle) {
			return authority.Sign(ctx, by, want, request)
		}
	}
	return "", fmt.Errorf("the key of authority %s is not at hand", by)
}

// authorityName is the name of the one authority of a bundle.
func authorityName(bundle string) string {
	authority, err := cert.ParseOne([]byte(bundle))
	if err != nil {
		panic(err)
	}
	return cert.Name(authority)
}

// exchange has the cluster name new authorities: alone, or with the old ones beside them, whose keys are at hand too.
func (l *life) exchange(keep bool) {
	l.Helper()
	before, after := l.authority, l.another()
	l.cluster.PeerCA, l.cluster.ClientCA = after.PeerCA(), after.ClientCA()
	l.cluster.Signers = membership.Signers{Peers: []string{authorityName(after.PeerCA())}, Clients: []string{authorityName(after.ClientCA())}}
	l.signer = signers{after}
	if keep {
		l.cluster.PeerCA, l.cluster.ClientCA = after.PeerCA()+before.PeerCA(), after.ClientCA()+before.ClientCA()
		l.cluster.Signers.Peers = append(l.cluster.Signers.Peers, authorityName(before.PeerCA()))
		l.cluster.Signers.Clients = append(l.cluster.Signers.Clients, authorityName(before.ClientCA()))
		l.signer = signers{after, before}
	}
	l.authority = after
}

// signBy has another of the authorities sign first that the cluster names. All are trusted as they are.
func (l *life) signBy(n int) {
	l.Helper()
	all := l.signer.(signers)
	first := all[n]
	l.signer = signers{first, all[1-n]}
	l.cluster.PeerCA, l.cluster.ClientCA = first.PeerCA()+all[1-n].PeerCA(), first.ClientCA()+all[1-n].ClientCA()
	slices.Reverse(l.cluster.Signers.Peers)
	slices.Reverse(l.cluster.Signers.Clients)
	l.authority = first
}

// TestRenewalThatBecomesDueBetweenPlanAndApply has the certificates come into the last third of their life after a plan was made:
// the plan is carried out as it was shown, and the next one renews them.
func TestRenewalThatBecomesDueBetweenPlanAndApply(t *testing.T) {
	for _, name := range []string{"flags edited", "authorities rotated"} {
		bubble(t, func(t *testing.T) {
			l := operations[name].begin(t)
			shown := l.planned().Steps
			l.world.Clock = l.world.Clock.Add(300 * 24 * time.Hour)
			if _, err := l.change(t.Context(), shown); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			// The authority of tests signs from its own time on, so that those of a rotation are due too.
			left := l.planned().Steps
			if text := fmt.Sprint(left); len(left) != 3 || !strings.Contains(text, "renew certificates of a (192.0.2.11): its peer certificate expires at ") {
				t.Errorf("%s: the next plan is %s", name, text)
			}
		})
	}
}
