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
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// signers sign by the named authority, or by the first one if none is named.
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

// authorityName returns the name of the only authority of a bundle.
func authorityName(bundle string) string {
	authority, err := cert.ParseOne([]byte(bundle))
	if err != nil {
		panic(err)
	}
	return cert.Name(authority)
}

// exchange has the cluster name new authorities: alone, or beside the old ones, whose keys are then at hand too.
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

// haveOne gives the cluster one authority for peers, clients and servers.
func (l *life) haveOne() *signing.Authority {
	l.Helper()
	one := l.another().AsOne()
	l.name(true, one)
	l.mustConverge(1)
	return one
}

// TestOneAuthorityIsSplit starts with a cluster whose members and clients have certificates of one authority, and gives
// it two, in each way that a configuration can express. Members trust each other throughout, as the rules of nodetest
// check, and in the end no client certificate opens the peer port.
func TestOneAuthorityIsSplit(t *testing.T) {
	for name, split := range map[string]func(l *life, one, fresh *signing.Authority){
		"both at once": func(l *life, _, fresh *signing.Authority) { l.name(false, fresh) },
		"both, the old key is at hand": func(l *life, one, fresh *signing.Authority) {
			l.name(true, fresh, one)
			l.mustConverge(1)
			l.name(false, fresh)
		},
		"both, the old one signs at first": func(l *life, one, fresh *signing.Authority) {
			l.name(true, one, fresh)
			l.mustConverge(1)
			l.name(true, fresh, one)
			l.mustConverge(1)
			l.name(false, fresh)
		},
		"peers get another one": func(l *life, one, fresh *signing.Authority) { l.name(false, fresh.Split(one)) },
		"peers before the clients": func(l *life, one, fresh *signing.Authority) {
			l.name(false, fresh.Split(one))
			l.mustConverge(1)
			l.name(false, fresh)
		},
		"clients before the peers": func(l *life, one, fresh *signing.Authority) {
			l.name(false, one.Split(fresh))
			l.mustConverge(1)
			l.name(false, fresh)
		},
		"with a replacement": func(l *life, one, fresh *signing.Authority) {
			l.name(true, fresh, one)
			l.host("c").Wipe()
			l.want("a", "b", "c@21")
			l.mustConverge(1)
			l.name(false, fresh)
		},
		"with an upgrade of settings": func(l *life, _, fresh *signing.Authority) {
			l.name(false, fresh)
			l.set("quota-backend-bytes", "8589934592")
		},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d", name, n), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					if n == 1 && name == "with a replacement" {
						return
					}
					l := serving(t, n, nodetest.EtcdVersion)
					one := l.haveOne()
					split(l, one, l.another())
					l.mustConverge(1)
					for _, m := range l.cluster.Members {
						h := l.host(m.Name)
						if signing.IsOf(h.Certificates(cluster)[api.KeyAdmin], l.cluster.PeerCA) || signing.IsOf(h.Certificates(cluster)[api.KeyPeer], one.PeerCA()) {
							t.Errorf("%s: certificates for clients open the peer port", m.Name)
						}
					}
				})
			})
		}
	}
}

// signBy has another of the cluster's authorities sign first. All stay trusted.
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

// TestRenewalThatBecomesDueBetweenPlanAndApply has certificates come into the last third of their lifetime after a plan
// was made: the run carries the plan out as shown, and the next plan renews the certificates.
func TestRenewalThatBecomesDueBetweenPlanAndApply(t *testing.T) {
	for _, name := range []string{"flags edited", "authorities rotated"} {
		bubble(t, func(t *testing.T) {
			l := operations[name].begin(t)
			shown := l.planned().Steps
			l.world.Clock = l.world.Clock.Add(300 * 24 * time.Hour)
			if _, err := l.change(t.Context(), shown); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			// The authority of tests signs from its own time on, so certificates of a rotation are due too.
			left := l.planned().Steps
			if text := fmt.Sprint(left); len(left) != 3 || !strings.Contains(text, "renew certificates of a (192.0.2.11): its peer certificate expires at ") {
				t.Errorf("%s: the next plan is %s", name, text)
			}
		})
	}
}
