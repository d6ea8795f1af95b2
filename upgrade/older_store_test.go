package upgrade_test

import (
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// rebuilt serves a cluster with the stores of an earlier release of the provider, which do not know some fields of
// requests.
func rebuilt(t tb, n int, unknown ...string) *life {
	t.Helper()
	l := serving(t, n, nodetest.EtcdVersion)
	earlier := l.versions[nodetest.EtcdVersion]["amd64"]
	l.world.RefuseFields(earlier, unknown...)
	l.carry(nodetest.EtcdVersion, l.world.Rebuild(nodetest.EtcdVersion))
	l.run(nodetest.EtcdVersion)
	return l
}

// TestOlderStoreKnowsNoLaterField has members run by a store of an earlier release, which refuses what this release
// asks a host to write: the store that the run has installed writes it, whatever the change.
func TestOlderStoreKnowsNoLaterField(t *testing.T) {
	for name, happen := range map[string]func(*life){
		"rolled":           func(*life) {},
		"settings":         func(l *life) { l.set("quota-backend-bytes", "8589934592") },
		"one is stopped":   func(l *life) { l.host("b").StopUnit(cluster) },
		"expired":          func(l *life) { l.host("b").ExpireCertificates(cluster, l.authority) },
		"one is replaced":  func(l *life) { l.want("a", "b@21", "c") },
		"one moves":        func(l *life) { l.readdress("b", "52", false) },
		"one is lost":      func(l *life) { l.host("c").Wipe() },
		"recovered":        func(l *life) { l.loseAllBut("a") },
		"another list too": func(l *life) { l.mustConverge(1); l.revoke(2) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := rebuilt(t, 3, "client_crl", "keys") // all that is written, and whatever is made before that
				l.revoke(1)
				happen(l)
				l.mustConverge(1)
			})
		})
	}
}

// TestOlderStoreKeepsRunning holds that a member gets new certificates though its store does not know the whole
// request. The member is not restarted for that, and keeps its store.
func TestOlderStoreKeepsRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := rebuilt(t, 3, "keys")
		l.cluster.HoldRestarts = true
		b := l.cluster.Members[1]
		selected := func() string {
			return l.executor().Observe(t.Context(), l.cluster.Members)[b].Observation.Store.Selected
		}
		before := selected()
		l.host("b").ExpireCertificates(cluster, l.authority)
		l.world.Watch = func(c nodetest.Call) {
			if c.Operation == api.OpRestart || c.Operation == api.OpStop {
				t.Errorf("%s of %s", c.Operation, c.Address)
			}
		}
		shown := l.planned().Steps
		if outcome, err := l.change(t.Context(), shown); err != nil || texts(shown) != texts(outcome.Done) || len(shown) != 1 || shown[0].Kind != membership.RenewCertificates {
			t.Errorf("planned %v, done %v: %v", shown, outcome.Done, err)
		}
		if left := l.planned().Steps; len(left) > 0 {
			t.Errorf("what is left: %v", left)
		}
		if after := selected(); after != before {
			t.Errorf("b had store %s, and has %s", before, after)
		}
	})
}

// TestOlderStoreIsExchangedForRenewals holds that hosts are told how to renew certificates only by a store that
// understands the call, and not before restarts are permitted.
func TestOlderStoreIsExchangedForRenewals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := rebuilt(t, 3, "of")
		place := &api.SigningPlace{Digest: "1", URL: "https://192.0.2.8", Key: secret.New("00")}
		l.cluster = l.cluster.RenewedOnHosts(&api.Renewal{Peers: place, Clients: place}, api.RenewalPlaces{Peers: true, Clients: true})
		l.cluster.HoldRestarts = true
		if held := l.planned(); len(held.Steps) > 0 || len(held.Deferred) != 1 || !held.Deferred[0].HeldBack() {
			t.Errorf("with restarts held back: %v, left %v", held.Steps, held.Deferred)
		} else if says := held.Deferred[0].Error(); !strings.Contains(says, "its store is of another release, and may not understand how its host is to renew certificates") || !strings.Contains(says, "set hold_restarts to false") {
			t.Errorf("with restarts held back it says %q", says)
		}
		l.cluster.HoldRestarts = false
		l.mustChange()
		l.mustBeDone()
		for _, m := range l.cluster.Members {
			if l.host(m.Name).Renews(cluster) == nil {
				t.Errorf("%s renews nothing", m)
			}
		}
	})
}

// TestOlderStoreIsExchangedForAFirewall holds that a host is told whom it lets in by a store that knows the call,
// whatever else is to be done with the cluster.
func TestOlderStoreIsExchangedForAFirewall(t *testing.T) {
	for name, happen := range map[string]func(*life){
		"nothing else":    func(*life) {},
		"one is stopped":  func(l *life) { l.host("b").StopUnit(cluster) },
		"one is replaced": func(l *life) { l.want("a", "b@21", "c") },
		"one is lost":     func(l *life) { l.host("c").Wipe() },
		"settings":        func(l *life) { l.set("quota-backend-bytes", "8589934592") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.world.RefuseOperations(l.versions[nodetest.EtcdVersion]["amd64"], api.OpFirewall)
				l.carry(nodetest.EtcdVersion, l.world.Rebuild(nodetest.EtcdVersion))
				l.run(nodetest.EtcdVersion)
				l.cluster = l.cluster.Filtered(&bootstrap.Firewall{Clients: []string{"10.0.1.0/24"}})
				happen(l)
				l.mustConverge(2)
				for _, m := range l.cluster.Members {
					if l.world.Host(m.Address).Filters(cluster) == nil {
						t.Errorf("%s filters nothing", m)
					}
				}
			})
		})
	}
}

// TestRefusedConfigurationRestartsNobody has a host refuse its member's configuration: the host has written nothing, so
// the member is not restarted in vain. If its address had changed in the list, the old one is back.
func TestRefusedConfigurationRestartsNobody(t *testing.T) {
	for name, change := range map[string]struct {
		happen func(*life)
		nth    int // among the calls that configure a host
		kind   membership.Kind
	}{
		"roll":      {func(l *life) { l.set("quota-backend-bytes", "8589934592") }, 1, membership.Roll},
		"readdress": {func(l *life) { l.readdress("b", "52", false) }, 2, membership.Readdress},
	} {
		for _, code := range []api.Code{api.CodeRefused, api.CodeUnsupported, api.CodeBusy, api.CodeNoStore} {
			t.Run(name+" "+string(code), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := serving(t, 3, nodetest.EtcdVersion)
					change.happen(l)
					shown := l.planned().Steps
					l.world.Inject(nodetest.Fault{Operation: api.OpConfigure, Nth: change.nth, Err: &api.Error{Code: code, Message: "it is not to be"}})
					before := l.world.Calls()
					outcome, err := l.change(t.Context(), shown)
					if err == nil || !strings.Contains(err.Error(), "it runs on as it did: it is not to be") || outcome.Done[len(outcome.Done)-1].Kind != change.kind {
						t.Errorf("change: %v", err)
					}
					for _, c := range l.world.Calls()[len(before):] {
						if c.Operation == api.OpRestart || c.Operation == api.OpStop {
							t.Errorf("%s of %s", c.Operation, c.Address)
						}
					}
					l.world.Heal()
					for _, s := range l.look().Voters() {
						if s.Moved {
							t.Errorf("the list has %s at an address that it does not run by", s)
						}
					}
					l.put()
					l.mustConverge(1)
				})
			})
		}
	}
}
