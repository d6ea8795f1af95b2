package upgrade_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
)

// namePeers changes the desired common name of peers; empty: none is desired.
func (l *life) namePeers(name string) { l.cluster.PeerName = name }

// mustDemand fails the test if a member's flags demand another common name than demands, or if its peer certificate has
// another one than named.
func (s *site) mustDemand(demands, named string) {
	s.Helper()
	for _, m := range s.cluster.Members {
		h, name := s.host(m.Name), named
		if name == "" {
			name = m.Name
		}
		if has := signing.CommonName(h.Certificates("prod")[api.KeyPeer]); has != name {
			s.Errorf("the peer certificate of %s has the common name %q, want %q", m.Name, has, name)
		}
		var flags []string
		h.EditFlags("prod", func(has []string) []string {
			flags = has
			return has
		})
		if has := api.FlagValue(flags, "peer-cert-allowed-cn"); has != demands {
			s.Errorf("%s demands the common name %q of its peers, want %q", m.Name, has, demands)
		}
	}
}

// TestCreateDemandsPeersOfItsCluster has a create give all members the common name and demand it, at the same time.
func TestCreateDemandsPeersOfItsCluster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, 3)
		s.cluster.PeerName = "prod peers"
		s.mustForm()
		s.mustDemand("prod peers", "prod peers")
	})
}

// attempt is a run that a test kills.
type attempt struct {
	world *nodetest.World
	whole func()          // the run, which nothing kills
	run   func() error    // the run
	goOn  func(err error) // what comes after the run, and its error
}

// killedAtEachCall begins an attempt anew for each call of its run, kills the run there, and continues. Every other
// kill comes after the call has taken effect.
func killedAtEachCall(t *testing.T, begin func(t *testing.T) attempt) {
	calls := 0
	bubble(t, func(t *testing.T) {
		a := begin(t)
		a.whole()
		calls = len(a.world.Calls())
	})
	for nth := 1; nth <= calls; nth++ {
		fault := nodetest.Fault{Nth: nth, After: nth%2 == 0, Extent: nodetest.Run}
		t.Run(describe(fault), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := begin(t)
				a.world.Inject(fault)
				err := a.run()
				a.world.Heal()
				a.goOn(err)
			})
		})
	}
}

// TestCreatesGoOnWithAnotherCommonName kills a create at each call. The create that continues wants another common name
// of peers, or none, like an earlier release that knows none: its members become one cluster all the same.
func TestCreatesGoOnWithAnotherCommonName(t *testing.T) {
	for _, names := range [][2]string{{"", "prod"}, {"prod", ""}, {"prod", "other"}} {
		t.Run(strings.Join(names[:], " to "), func(t *testing.T) {
			killedAtEachCall(t, func(t *testing.T) attempt {
				s := newSite(t, 3)
				s.cluster.PeerName = names[0]
				return attempt{s.world, func() { s.mustForm() }, func() error {
					_, err := s.form(context.Background())
					return err
				}, func(err error) {
					// One host may have been handed over, of a cluster whose create has returned nothing.
					s.world.Waive(nodetest.KeepQuorum, nodetest.LeaderMoves)
					s.cluster.PeerName = names[1]
					s.mustGoOn(err)
					if err != nil && !s.handedOver() {
						s.mustDemand(names[1], names[1])
					}
				}}
			})
		})
	}
}

// TestCreatesFromSnapshotGoOnWithAnotherCommonName does the same with a create from a snapshot. No member demands a
// name after the create, since members that were opened before get no other certificate. The next change has all of
// them demand the name.
func TestCreatesFromSnapshotGoOnWithAnotherCommonName(t *testing.T) {
	for _, names := range [][2]string{{"", "prod"}, {"prod", ""}} {
		t.Run(strings.Join(names[:], " to "), func(t *testing.T) {
			killedAtEachCall(t, func(t *testing.T) attempt {
				r := unborn(t, 3)
				r.cluster.PeerName = names[0]
				return attempt{r.world, func() {
					r.mustCreate()
					r.mustDemand("", names[0])
				}, func() error {
					_, err := r.create(context.Background())
					return err
				}, func(err error) {
					r.cluster.PeerName = names[1]
					if err == nil || r.handedOver() {
						return
					}
					done := r.mustCreate()
					r.cluster.Restore = membership.Restoration{}
					r.owner, r.token, r.members = done.Owner, done.Token, r.cluster.Members
					if _, err := r.change(context.Background(), nil); err != nil {
						t.Errorf("change: %v\n%s", err, strings.Join(r.progress, "\n"))
					}
					r.mustBeFormed(done.Owner)
					r.mustDemand(names[1], names[1])
				}}
			})
		})
	}
}

// TestRestoresRolledBackKeepCommonNames stops a restore that comes with another common name of peers, or none, before
// its steps, and rolls it back: flags are those from before, and certificates may have the other name. The change after
// it makes all members one cluster, whichever of the two names the configuration has then.
func TestRestoresRolledBackKeepCommonNames(t *testing.T) {
	for _, names := range [][2]string{{"prod", ""}, {"prod", "other"}, {"", "prod"}} {
		t.Run(strings.Join(names[:], " to "), func(t *testing.T) {
			for step := range stepsOfRestore(t, "healthy") {
				if testing.Short() && step%3 != 0 {
					continue
				}
				bubble(t, func(t *testing.T) {
					r := restores["healthy"](t)
					restoration := r.cluster.Restore
					r.cluster.Restore, r.cluster.PeerName = membership.Restoration{}, names[0]
					if _, err := r.change(context.Background(), nil); err != nil {
						t.Fatal(err)
					}
					r.mustDemand(names[0], names[0])
					r.cluster.Restore, r.cluster.PeerName = restoration, names[1]
					if r.restoreUntil(step) {
						return
					}
					r.cluster.Restore.RollBack = true
					if done, err := r.restore(context.Background(), nil); err != nil {
						t.Fatalf("step %d: roll back: %v\n%s", step+1, err, texts(done.Done))
					}
					r.cluster.Restore, r.cluster.PeerName = membership.Restoration{}, names[step%2]
					if _, err := r.change(context.Background(), nil); err != nil {
						t.Errorf("step %d: change: %v\n%s", step+1, err, strings.Join(r.progress, "\n"))
					}
					r.mustBeAsDesired()
					r.mustDemand(r.cluster.PeerName, r.cluster.PeerName)
				})
			}
		})
	}
}

// TestMembersRefuseOtherCommonNames holds that members of the fake refuse each other's certificates in both directions.
// So of three members, one that demands a name which the others lack stops serving, and two cost the quorum.
func TestMembersRefuseOtherCommonNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		demand := func(name string) {
			h := l.host(name)
			h.EditFlags("prod", func(flags []string) []string { return append(flags, "--peer-cert-allowed-cn=prod") })
			h.RestartUnit("prod")
			l.world.Tick()
		}
		demand("c")
		if why := l.world.Unhealthy("prod", "192.0.2.11", "192.0.2.12"); len(why) > 0 {
			t.Errorf("the others: %v", why)
		}
		if why := l.world.Unhealthy("prod", "192.0.2.13"); len(why) != 1 {
			t.Errorf("the one that demands a name serves: %v", why)
		}
		demand("b")
		if err := l.world.Put("prod"); err == nil {
			t.Error("members that refuse each other are a quorum")
		}
	})
}

// TestUnaskedMemberKeepsCommonNames has a member that cannot be asked. Meanwhile no certificate gets another common
// name, no member comes to demand one, and the plan says why. Once the member is back, the change continues.
func TestUnaskedMemberKeepsCommonNames(t *testing.T) {
	for _, names := range [][2]string{{"", "prod"}, {"prod", ""}, {"prod", "other"}} {
		t.Run(strings.Join(names[:], " to "), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.namePeers(names[0])
				l.mustConverge(1)
				l.host("c").Unreachable = errors.New("no route to host")
				l.namePeers(names[1])
				planned := l.planned()
				if len(planned.Deferred) == 0 {
					t.Errorf("nothing is deferred:\n%s", texts(planned.Steps))
				}
				if _, err := l.change(context.Background(), planned.Steps); err != nil {
					t.Error(err)
				}
				l.host("c").Unreachable = nil
				l.mustDemand(names[0], names[0])
				l.mustConverge(1)
				l.mustDemand(names[1], names[1])
			})
		})
	}
}
