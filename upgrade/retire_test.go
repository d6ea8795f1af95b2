package upgrade_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// retire is one destroy.
func (s *site) retire(owner string, purge bool) error {
	return s.executor().Retire(context.Background(), plan.Retirement{Owner: owner, Purge: purge})
}

// mustBeBare fails the test if a host still carries a part of the cluster.
func (s *site) mustBeBare() {
	s.Helper()
	for _, m := range s.cluster.Members {
		if left := s.host(m.Name).Leftovers(s.cluster.Name, s.cluster.DataDir); len(left) > 0 {
			s.Errorf("%s still carries %v", m.Name, left)
		}
	}
}

func TestRetire(t *testing.T) {
	sizes(t, func(t *testing.T, n int) {
		for name, purge := range map[string]bool{"aside": false, "purge": true} {
			t.Run(name, func(t *testing.T) {
				s := newSite(t, n)
				first := s.mustForm()
				if err := s.retire(first.Owner, purge); err != nil {
					t.Fatal(err)
				}
				s.mustBeBare()
				for _, m := range s.cluster.Members {
					if aside := s.host(m.Name).Aside(s.cluster.DataDir); purge != (len(aside) == 0) {
						t.Errorf("purge %t: on %s lie %v", purge, m.Name, aside)
					}
				}
				s.world.Forget()
				if err := s.retire(first.Owner, purge); err != nil || len(s.world.Changes()) > 0 {
					t.Errorf("the second time: %v, %v", err, s.world.Changes())
				}
				s.mustForm()
				if ids := s.world.HandedOver(); len(ids) != 2 {
					t.Errorf("a new cluster on the same hosts has the ID of the old one: %v", ids)
				}
			})
		}
	})
}

// TestTheLeaderIsRetiredLast holds that no leader is stopped while it could wait for a stopping member to take over.
func TestTheLeaderIsRetiredLast(t *testing.T) {
	s := newSite(t, 3)
	formed := s.mustForm()
	var leader string
	for m, report := range s.executor().Observe(t.Context(), s.cluster.Members) {
		if view := report.Observation.Member; view.Leader == view.MemberID {
			leader = m.Address
		}
	}
	s.world.Forget()
	if err := s.retire(formed.Owner, false); err != nil {
		t.Fatal(err)
	}
	changes := s.world.Changes()
	if last := changes[len(changes)-1]; leader == "" || len(changes) != 3 || last != (nodetest.Call{Address: leader, Operation: api.OpRetire}) {
		t.Errorf("%s led, and the hosts were changed in the order %v", leader, changes)
	}
}

// TestRetireSurvivesEveryFault makes every call of a destroy fail once, and kills the run at every call once.
func TestRetireSurvivesEveryFault(t *testing.T) {
	sizes(t, func(t *testing.T, n int) {
		whole := newSite(t, n)
		owner := whole.mustForm().Owner
		whole.world.Forget()
		if err := whole.retire(owner, false); err != nil {
			t.Fatal(err)
		}
		for _, fault := range everyFault(n, len(whole.world.Calls())) {
			t.Run(describe(fault), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, n)
				owner := s.mustForm().Owner
				s.world.Inject(fault)
				err := s.retire(owner, false)
				s.world.Heal()
				if err != nil {
					err = s.retire(owner, false)
				}
				if err != nil {
					t.Error(err)
				}
				s.mustBeBare()
				for _, m := range s.cluster.Members {
					if aside := s.host(m.Name).Aside(s.cluster.DataDir); len(aside) != 1 {
						t.Errorf("on %s lie %v", m.Name, aside)
					}
				}
			})
		}
	})
}

// TestRetireFromAnyState holds that a destroy leaves nothing of a create that was cut short anywhere.
func TestRetireFromAnyState(t *testing.T) {
	sample.Check(t, 100, func(t *rapid.T) {
		s := newSite(t, rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "members"))
		for range rapid.IntRange(1, 4).Draw(t, "creates") {
			s.createCutShort(t)
		}
		for _, owner := range s.owners() {
			if err := s.retire(owner, rapid.Bool().Draw(t, "purge")); err != nil {
				t.Errorf("retire the cluster of %s: %v", owner, err)
			}
		}
		s.mustBeBare()
	})
}

// owners returns the owners that the hosts name.
func (s *site) owners() []string {
	owners := map[string]bool{}
	for _, m := range s.cluster.Members {
		if marker := s.host(m.Name).Marker(s.cluster.Name); marker != nil {
			owners[marker.Owner] = true
		}
	}
	return slices.Sorted(maps.Keys(owners))
}

// TestRetireRefuses has hosts from which the cluster cannot be removed, or for which nobody knows whether it can.
func TestRetireRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(*nodetest.Host)
		want    string
	}{
		"unreachable":   {func(h *nodetest.Host) { h.Unreachable = errors.New("no route to host") }, "b (192.0.2.12): its host could not be observed: no route to host"},
		"broken marker": {func(h *nodetest.Host) { h.MarkerError = "cluster.json cannot be read" }, "b (192.0.2.12): its host could not be observed: cluster.json cannot be read"},
		"no store":      {(*nodetest.Host).LoseStores, "b (192.0.2.12): it carries a part of the cluster, and no store that could remove it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 3)
			owner := s.mustForm().Owner
			test.arrange(s.host("b"))
			s.world.Forget()
			if err := s.retire(owner, true); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("retire: %v", err)
			}
			if changes := s.world.Changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
		})
	}
}

// TestRetireLeavesTheLost has hosts that are lost for good: the destroy leaves the named hosts behind, and refuses
// wrong names before it changes any host.
func TestRetireLeavesTheLost(t *testing.T) {
	for name, test := range map[string]struct {
		lost, abandons []string
		refused        string
	}{
		"one, named":         {[]string{"b"}, []string{"b"}, ""},
		"two, named":         {[]string{"a", "b"}, []string{"b", "a"}, ""},
		"one, another named": {[]string{"b"}, []string{"c"}, "c (192.0.2.13): it is in abandon_on_destroy, but its host answers"},
		"two, one named":     {[]string{"a", "b"}, []string{"b"}, `a (192.0.2.11): its host could not be observed: no route to host; bring it back and destroy again; if it is gone for good, set abandon_on_destroy = ["a", "b"], apply`},
		"none, one named":    {nil, []string{"c"}, "c (192.0.2.13): it is in abandon_on_destroy, but its host answers"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 3)
			owner := s.mustForm().Owner
			for _, lost := range test.lost {
				s.host(lost).PowerCut()
			}
			var abandons []membership.Member
			for _, m := range s.cluster.Members {
				if slices.Contains(test.abandons, m.Name) {
					abandons = append(abandons, m)
				}
			}
			s.world.Forget()
			err := s.executor().Retire(t.Context(), plan.Retirement{Owner: owner, Abandons: abandons})
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("retire: %v", err)
				}
				if changes := s.world.Changes(); len(changes) > 0 {
					t.Errorf("hosts were changed: %v", changes)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range s.cluster.Members {
				if left := s.host(m.Name).Leftovers(s.cluster.Name, s.cluster.DataDir); len(left) > 0 != slices.Contains(test.lost, m.Name) {
					t.Errorf("%s carries %v", m.Name, left)
				}
			}
		})
	}
}

// TestRetireLeavesOneHostOfTwo has a member in the middle of a move, with one of its two hosts lost for good: the
// destroy leaves that very host behind, and removes the cluster from the other. If the other host cannot be asked
// either, the destroy does nothing.
func TestRetireLeavesOneHostOfTwo(t *testing.T) {
	for name, away := range map[string]bool{"the other answers": false, "the other is away by now": true} {
		t.Run(name, func(t *testing.T) {
			s := newSiteWith(t, 3, 4)
			owner := s.mustForm().Owner
			lost := membership.Member{Name: "b", Address: "192.0.2.14"}
			s.world.Host(lost.Address).PowerCut()
			s.cluster.Members = append(s.cluster.Members, lost)
			if away {
				s.host("b").PowerCut()
			}
			s.world.Forget()
			err := s.executor().Retire(t.Context(), plan.Retirement{Owner: owner, Abandons: []membership.Member{lost}})
			switch want := "b (192.0.2.12): its host could not be observed: no route to host; abandon_on_destroy applies to b (192.0.2.14)"; {
			case !away && err != nil:
				t.Error(err)
			case away && (err == nil || !strings.Contains(err.Error(), want) || len(s.world.Changes()) > 0):
				t.Errorf("got %v, and changes %v", err, s.world.Changes())
			}
			if left := s.host("b").Leftovers(s.cluster.Name, s.cluster.DataDir); len(left) > 0 != away {
				t.Errorf("b carries %v", left)
			}
		})
	}
}

// TestRetireSparesOthers holds that a destroy leaves a host alone that has another owner's token by now.
func TestRetireSparesOthers(t *testing.T) {
	s := newSite(t, 3)
	owner := s.mustForm().Owner
	s.host("b").EditMarker("prod", func(m *api.Marker) { m.Owner = "somebody else" })
	s.world.Forget()
	if err := s.retire(owner, true); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.world.Changes() {
		if c.Address == "192.0.2.12" {
			t.Errorf("somebody else's host was changed: %v", c)
		}
	}
	if left := s.host("b").Leftovers("prod", s.cluster.DataDir); !slices.Contains(left, "data") {
		t.Errorf("of somebody else's member are left: %v", left)
	}
}

// TestRetireInterrupted cancels a destroy between observing and acting.
func TestRetireInterrupted(t *testing.T) {
	s := newSite(t, 3)
	owner := s.mustForm().Owner
	ctx, cancel := context.WithCancel(t.Context())
	s.atStep = func(string) { cancel() }
	if err := s.executor().Retire(ctx, plan.Retirement{Owner: owner}); !errors.Is(err, context.Canceled) {
		t.Errorf("retire: %v", err)
	}
	s.mustBeBare() // the step under way was finished
}

// TestRetireWithoutADisk destroys a cluster while the disk of a member is away: the destroy refuses before it changes
// any host, unless it leaves that host behind, and succeeds once the disk is back.
func TestRetireWithoutADisk(t *testing.T) {
	s := newSite(t, 3)
	owner := s.mustForm().Owner
	s.host("b").Unmount(s.cluster.Name)
	s.world.Forget()
	err := s.retire(owner, true)
	for _, want := range []string{"b (192.0.2.12): the disk of its data is not mounted (", "mount it, and destroy again", `abandon_on_destroy = ["b"]`, "/etc/etcd/prod/", "no host was changed"} {
		if err == nil || !strings.Contains(err.Error(), want) || len(s.world.Changes()) > 0 {
			t.Errorf("retire: %v, want %q; changes %v", err, want, s.world.Changes())
		}
	}
	b := membership.Member{Name: "b", Address: "192.0.2.12"}
	if err := s.executor().Retire(t.Context(), plan.Retirement{Owner: owner, Abandons: []membership.Member{b}}); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.cluster.Members {
		if left := s.host(m.Name).Leftovers(s.cluster.Name, s.cluster.DataDir); len(left) > 0 != (m == b) {
			t.Errorf("%s carries %v", m.Name, left)
		}
	}
	s.host("b").Mount(s.cluster.Name)
	if err := s.retire(owner, true); err != nil {
		t.Fatal(err)
	}
	s.mustBeBare()
}

// TestRetireOfAMisledAddress has the address of one member lead to the machine of another, or to one that carries
// nothing: the destroy changes nothing, since it would leave the member's own machine as it is, unless that one is said
// to be lost.
func TestRetireOfAMisledAddress(t *testing.T) {
	for address, why := range map[string]string{
		"192.0.2.12": "a (192.0.2.11): its address leads to the machine of member b, and its own machine would be left as it is",
		"192.0.2.14": "a (192.0.2.11): its address leads to a machine that carries nothing of it, while the member has connections with b, c, and its own machine would be left as it is",
	} {
		t.Run(address, func(t *testing.T) {
			s := newSiteWith(t, 3, 4)
			owner := s.mustForm().Owner
			a := s.cluster.Members[0]
			e := s.executor()
			e.Hosts[a] = s.world.Host(address)
			s.world.Forget()
			if err := e.Retire(t.Context(), plan.Retirement{Owner: owner}); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("retire: %v", err)
			}
			if changes := s.world.Changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
			if err := e.Retire(t.Context(), plan.Retirement{Owner: owner, Abandons: []membership.Member{a}}); err != nil {
				t.Errorf("with a abandoned: %v", err)
			}
			for _, m := range s.cluster.Members {
				if left := s.host(m.Name).Leftovers(s.cluster.Name, s.cluster.DataDir); len(left) > 0 != (m == a) {
					t.Errorf("%s carries %v", m.Name, left)
				}
			}
		})
	}
}
