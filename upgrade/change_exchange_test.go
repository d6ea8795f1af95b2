package upgrade_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// exchanges are the authorities that a cluster has had and may have again.
type exchanges struct {
	*life
	all []*signing.Authority
}

// name has the cluster name these authorities. The first signs; the keys of the others are at hand or not.
func (l *life) name(keys bool, named ...*signing.Authority) {
	l.authority, l.signer, l.cluster.Signers = named[0], signers(nil), membership.Signers{}
	l.cluster.PeerCA, l.cluster.ClientCA = "", ""
	for i, authority := range named {
		l.cluster.PeerCA += authority.PeerCA()
		l.cluster.ClientCA += authority.ClientCA()
		if i == 0 || keys {
			l.cluster.Signers.Peers = append(l.cluster.Signers.Peers, authorityName(authority.PeerCA()))
			l.cluster.Signers.Clients = append(l.cluster.Signers.Clients, authorityName(authority.ClientCA()))
			l.signer = append(l.signer.(signers), authority)
		}
	}
}

// nameAny has the cluster name any of the authorities. The first may be a new one.
func (x *exchanges) nameAny(t *rapid.T) {
	if len(x.all) < 3 && rapid.Bool().Draw(t, "new authority") {
		x.all = append([]*signing.Authority{x.another()}, x.all...)
	}
	named := rapid.Permutation(x.all).Draw(t, "authorities")
	x.name(rapid.Bool().Draw(t, "keys at hand"), named[:rapid.IntRange(1, min(2, len(named))).Draw(t, "so many")]...)
}

// expire makes the certificates of a host expire, whichever authority signed them.
func (x *exchanges) expire(h *nodetest.Host) {
	for _, authority := range x.all {
		if signing.IsOf(h.Certificates(cluster)[api.KeyPeer], authority.PeerCA()) {
			h.ExpireCertificates(cluster, authority)
			return
		}
	}
}

// follow does what an exchange that is not possible yet advises: it gives the named authority with its key.
func (x *exchanges) follow(outcome upgrade.Outcome) bool {
	i := slices.IndexFunc(outcome.Deferred, func(r *membership.Refusal) bool { return r.Summary == membership.NotExchangeable })
	if i < 0 {
		return false
	}
	refusal := outcome.Deferred[i]
	named := slices.Clone(x.signer.(signers))
	for _, authority := range x.all {
		if strings.Contains(refusal.Remedy, authorityName(authority.PeerCA())+" for peers") && !slices.Contains(named, authority) {
			x.name(true, append(named, authority)...)
			return true
		}
	}
	return false
}

// TestExchangesConverge exchanges the authorities of a cluster again and again, breaks hosts, makes certificates
// expire, and cuts changes short at any call. Running members trust each other after every call. Once all hosts are
// back, repeated changes reach what is desired; if one is refused, the test follows its advice.
func TestExchangesConverge(t *testing.T) {
	sample.CheckInBubble(t, 100, func(t *rapid.T) {
		l := serving(t, rapid.SampledFrom([]int{1, 3, 3, 5}).Draw(t, "members"), nodetest.EtcdVersion)
		x := &exchanges{l, []*signing.Authority{l.authority}}
		x.name(true, x.all...)
		for range rapid.IntRange(1, 6).Draw(t, "events") {
			switch rapid.IntRange(0, 7).Draw(t, "event") {
			case 7:
				x.namePeers(rapid.SampledFrom([]string{"", "prod", "other"}).Draw(t, "peer name"))
				x.changeCutShort(t)
			case 0, 1:
				x.nameAny(t)
				x.changeCutShort(t)
			case 2:
				x.changeCutShort(t)
			case 3:
				if rapid.Bool().Draw(t, "members change") {
					x.wantAny(t)
				} else if losers := x.spared(); len(losers) > 0 {
					losses["wipe"](l, x.world.Host(rapid.SampledFrom(losers).Draw(t, "of").Address))
				}
			case 4:
				h := x.world.Host(rapid.SampledFrom(x.members).Draw(t, "of").Address)
				if h.Marker(cluster) != nil {
					x.expire(h)
				}
			default:
				drift := rapid.SampledFrom([]string{"power cut", "power on", "unreachable", "reachable", "stop", "time passes"}).Draw(t, "drift")
				h := x.world.Host(rapid.SampledFrom(x.members).Draw(t, "of").Address)
				if h.Marker(cluster) != nil {
					drifts[drift](l, h)
				}
			}
		}
		for i := range worldHosts {
			h := x.world.Host(fmt.Sprintf("192.0.2.%d", 11+i))
			h.Unreachable = nil
			h.PowerOn()
		}
		for range 3 {
			x.world.Tick()
		}
		for range 4 {
			if outcome, _ := x.change(context.Background(), nil); !x.follow(outcome) {
				break
			}
		}
		x.mustConverge(5)
	})
}

// TestAuthoritiesMadeAgain makes the certificates of the authorities again, with the same keys: one apply has every
// member trust only the new ones, and no member needs another certificate.
func TestAuthoritiesMadeAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		again, err := l.authority.Remade(nodetest.Start.AddDate(0, 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		before := l.host("a").Certificates(cluster)
		l.name(true, again)
		if _, err := l.change(t.Context(), l.planned().Steps); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(before, l.host("a").Certificates(cluster)) {
			t.Error("a has other certificates")
		}
		l.mustBeAsDesired()
		l.mustBeDone()
	})
}
