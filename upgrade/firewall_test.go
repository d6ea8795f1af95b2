package upgrade_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// filter asks for a firewall that lets these clients in.
func (s *site) filter(clients ...string) {
	s.cluster = s.cluster.Filtered(&bootstrap.Firewall{Clients: clients})
}

// filtered gives all hosts a firewall that lets these clients in.
func (l *life) filtered(clients ...string) {
	l.Helper()
	l.filter(clients...)
	l.mustConverge(1)
}

// TestCreateWithAFirewall has every host of a create filter before its member starts, whichever call is cut.
func TestCreateWithAFirewall(t *testing.T) {
	calls := 0
	form := func(t *testing.T, fault *nodetest.Fault) {
		bubble(t, func(t *testing.T) {
			s := newSite(t, 3)
			s.filter("10.0.1.0/24")
			if fault != nil {
				s.world.Inject(*fault)
			}
			_, err := s.form(context.Background())
			s.world.Heal()
			if fault != nil {
				s.world.Waive(nodetest.KeepQuorum, nodetest.LeaderMoves) // one host may have been handed over
			}
			if err != nil {
				s.mustGoOn(err)
			}
			if fault == nil {
				calls = len(s.world.Calls())
			}
			told := map[string]bool{}
			for _, c := range s.world.Calls() {
				told[c.Address] = told[c.Address] || c.Operation == api.OpFirewall
				if c.Operation == api.OpStart && !told[c.Address] {
					t.Errorf("%s starts its member before it filters", c.Address)
				}
			}
			for _, m := range s.cluster.Members {
				if has := s.host(m.Name).Filters("prod"); has == nil || !slices.Equal(has.Peers, s.cluster.Addresses()) || !slices.Equal(has.Clients, []string{"10.0.1.0/24"}) {
					t.Errorf("%s filters by %+v", m.Name, has)
				}
			}
		})
	}
	form(t, nil)
	for nth := 1; nth <= calls; nth++ {
		fault := nodetest.Fault{Nth: nth, After: nth%2 == 0, Extent: nodetest.Run}
		t.Run(describe(fault), func(t *testing.T) { form(t, &fault) })
	}
}

// TestFirewallRestartsNobody: neither a firewall, nor another one, nor the end of one restarts a member.
func TestFirewallRestartsNobody(t *testing.T) {
	for _, name := range []string{"a firewall", "other clients behind a firewall", "no firewall any more", "the firewall was flushed"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := operations[name].begin(t)
				l.world.Forget()
				l.mustChange()
				for _, c := range l.world.Changes() {
					if c.Operation != api.OpFirewall {
						t.Errorf("%s of %s", c.Operation, c.Address)
					}
				}
			})
		})
	}
}

// TestAMemberThatIsShutOut: somebody has taken a member's address out of the others' tables. It serves again once they
// let it in, which is the first step.
func TestAMemberThatIsShutOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.filtered()
		l.host("a").ShutOut(cluster, "192.0.2.12")
		l.host("c").ShutOut(cluster, "192.0.2.12")
		if len(l.world.Unhealthy(cluster, "192.0.2.12")) == 0 {
			t.Error("it serves all the same")
		}
		const lets = "firewall: clients nobody, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, on a, c; nothing else is filtered"
		if steps := l.planned().Steps; len(steps) == 0 || steps[0].String() != lets {
			t.Errorf("the plan is\n%s", texts(steps))
		}
		l.mustConverge(1)
	})
}

// TestAHostThatCannotFilter is refused by name, and no host is told to filter; a new host is before it becomes a
// member.
func TestAHostThatCannotFilter(t *testing.T) {
	const why = "nftables cannot be used on this host: the kernel has no nf_tables with the family inet"
	refused := func(t *testing.T, l *life, member string) {
		t.Helper()
		l.world.Forget()
		_, err := l.change(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), member) {
			t.Errorf("change: %v", err)
		}
		for _, c := range l.world.Changes() {
			if c.Operation == api.OpFirewall && c.Address != "192.0.2.11" && c.Address != "192.0.2.12" && c.Address != "192.0.2.13" || c.Operation == api.OpAddLearner {
				t.Errorf("%s of %s", c.Operation, c.Address)
			}
		}
	}
	t.Run("a member's", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			l := serving(t, 3, nodetest.EtcdVersion)
			l.host("b").NoNftables = why
			l.filter()
			refused(t, l, "b (192.0.2.12)")
			l.mustHaveChangedNothing()
		})
	})
	t.Run("a new one's", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			l := serving(t, 3, nodetest.EtcdVersion)
			l.filtered()
			l.world.Host("192.0.2.14").NoNftables = why
			l.want("a", "b", "c", "d", "e")
			refused(t, l, "d (192.0.2.14)")
		})
	})
	t.Run("one's that leaves", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			l := serving(t, 3, nodetest.EtcdVersion)
			l.filtered()
			l.host("c").NoNftables = why
			l.host("c").FlushFirewall()
			l.want("a", "b", "c@21")
			if _, err := l.change(context.Background(), nil); err != nil {
				t.Errorf("change: %v", err)
			}
			l.mustBeDone()
		})
	})
	t.Run("one's that could once", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			l := serving(t, 3, nodetest.EtcdVersion)
			l.filtered()
			l.host("b").NoNftables = why
			l.host("b").FlushFirewall()
			l.host("c").StopUnit(cluster)
			if _, err := l.change(context.Background(), nil); err != nil {
				t.Errorf("change: %v", err)
			}
			if p := l.planned(); len(p.Steps) > 0 || len(p.Deferred) != 1 || !strings.Contains(p.Deferred[0].Error(), "its host cannot filter: "+why) {
				t.Errorf("then the plan is %s, and defers %v", texts(p.Steps), p.Deferred)
			}
		})
	})
	t.Run("a create's", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			s := newSite(t, 3)
			s.filter()
			s.host("b").NoNftables = why
			if _, err := s.form(context.Background()); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "b (192.0.2.12)") {
				t.Errorf("create: %v", err)
			}
			for _, c := range s.world.Changes() {
				if c.Operation != nodetest.Install {
					t.Errorf("%s of %s", c.Operation, c.Address)
				}
			}
		})
	})
}

// TestANewHostIsLetInBeforeItsTrial: a host that has the store already, as of another cluster, is tried right after the
// members' firewalls let it in, and not before.
func TestANewHostIsLetInBeforeItsTrial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.filtered()
		if err := l.world.Way("192.0.2.21").Install(context.Background(), cluster, l.cluster.Stores["amd64"], api.Target{}); err != nil {
			t.Fatal(err)
		}
		l.want("a", "b", "c@21")
		l.cluster.Inspects = []membership.Member{{Name: "c", Address: "192.0.2.21"}}
		l.world.Forget()
		if _, err := l.change(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		var order []api.Operation
		for _, c := range l.world.Calls() {
			if c.Operation == api.OpFirewall || c.Operation == api.OpPreflight {
				order = append(order, c.Operation)
			}
		}
		if len(order) == 0 || order[0] != api.OpFirewall || !slices.Contains(order, api.OpPreflight) {
			t.Errorf("the calls are %q", order)
		}
	})
}

// TestAnUnfinishedCreateWithAnotherMember: a create is cut once hosts filter, and goes on with another host for one of
// its members. The firewalls of the first attempt do not let it in, and do not keep the create from going on.
func TestAnUnfinishedCreateWithAnotherMember(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSiteWith(t, 3, 4)
		s.filter()
		s.world.Inject(nodetest.Fault{Operation: api.OpStart, Extent: nodetest.Run})
		if _, err := s.form(context.Background()); err == nil {
			t.Fatal("it was not cut")
		}
		s.world.Heal()
		s.cluster.Members[2].Address = "192.0.2.14"
		if _, err := s.form(context.Background()); err != nil {
			t.Errorf("create: %v\n%s", err, strings.Join(s.progress, "\n"))
		}
	})
}

// TestAFirewallThatFails: a host that cannot be told whom to let in keeps no other member from being repaired, and
// another from being added.
func TestAFirewallThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.filtered("10.0.1.0/24")
		l.filter("10.0.2.0/24")
		l.host("c").StopUnit(cluster)
		l.world.Inject(nodetest.Fault{Address: "192.0.2.12", Operation: api.OpFirewall, Err: api.Refuse("the disk is full")})
		if _, err := l.change(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("change: %v", err)
		}
		if o := l.look().Member(l.members[2]); o == nil || o.State != membership.Healthy {
			t.Errorf("c is left as %+v", o)
		}
		l.world.Heal()
		l.mustConverge(1)
	})
}

// TestARollWhoseFirewallIsRefused: a host that was configured, and refuses who may reach its member, gets back what the
// member ran by, and the member is not restarted: at its next start it would run by what nobody has tried.
func TestARollWhoseFirewallIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.filtered("10.0.1.0/24")
		flags := func() (has []string) {
			l.host("b").EditFlags(cluster, func(flags []string) []string {
				has = slices.Clone(flags)
				return flags
			})
			return has
		}
		before := flags()
		l.set("snapshot-count", "6000")
		l.world.Forget()
		l.world.Inject(nodetest.Fault{Address: "192.0.2.12", Operation: api.OpFirewall, Err: api.Refuse("the disk is full")})
		_, err := l.change(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), "has what it ran by before again, and it runs on as it did: say who may reach it: the disk is full") {
			t.Errorf("change: %v", err)
		}
		if restarts := slices.Contains(l.world.Calls(), nodetest.Call{Address: "192.0.2.12", Operation: api.OpRestart}); restarts || !slices.Equal(flags(), before) {
			t.Errorf("restarted: %t, and it is to run by %v, not %v", restarts, flags(), before)
		}
		l.world.Heal()
		l.mustConverge(1)
	})
}

// TestARollBackWhoseFirewallIsRefused: a member that does not come up by a new configuration is brought up by the one
// before, also if its host refuses who may reach it then.
func TestARollBackWhoseFirewallIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, older)
		l.filtered("10.0.1.0/24")
		l.world.Doom(l.versions[nodetest.EtcdVersion]["amd64"], "panic: it does not like this disk")
		l.run(nodetest.EtcdVersion)
		l.world.Inject(nodetest.Fault{Address: "192.0.2.12", Operation: api.OpFirewall, Nth: 2, Err: api.Refuse("the disk is full")})
		_, err := l.change(context.Background(), l.planned().Steps)
		for _, says := range []string{"panic: it does not like this disk", "it runs by that again, and its host refused who may reach it: say who may reach it: the disk is full"} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q is not said: %v", says, err)
			}
		}
		for _, why := range l.world.Unhealthy(cluster, l.cluster.Addresses()...) {
			t.Error(why)
		}
		l.world.Heal()
		l.world.Doom(l.versions[nodetest.EtcdVersion]["amd64"], "")
		l.mustConverge(1)
	})
}

// TestAnUnfinishedCreateWithoutItsFirewall: a create is cut once hosts filter, and goes on without a firewall.
func TestAnUnfinishedCreateWithoutItsFirewall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, 3)
		s.filter()
		s.world.Inject(nodetest.Fault{Operation: api.OpStart, Extent: nodetest.Run})
		if _, err := s.form(context.Background()); err == nil {
			t.Fatal("it was not cut")
		}
		s.world.Heal()
		s.cluster = s.cluster.Filtered(nil)
		if _, err := s.form(context.Background()); err != nil {
			t.Errorf("create: %v\n%s", err, strings.Join(s.progress, "\n"))
		}
		for _, m := range s.cluster.Members {
			if has := s.host(m.Name).Filters("prod"); has != nil {
				t.Errorf("%s filters by %+v", m.Name, has)
			}
		}
	})
}

// TestARestoreWithAFirewall restores with a firewall, also to other addresses, and refuses a host that cannot filter
// before the old cluster is out of service.
func TestARestoreWithAFirewall(t *testing.T) {
	const why = "nftables cannot be used on this host: the kernel has no nf_tables with the family inet"
	for name, want := range map[string][]string{"in place": {"a", "b", "c"}, "on new hosts": {"a@18", "b@19", "c@20"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := outdone(t, 3)
				r.filter("10.0.1.0/24")
				r.want(want...)
				r.askFor("backup.db")
				r.mustRestore()
				for _, m := range r.cluster.Members {
					if has := r.host(m.Name).Filters(cluster); has == nil || !slices.Equal(has.Peers, r.cluster.Addresses()) {
						t.Errorf("%s filters by %+v", m.Name, has)
					}
				}
			})
		})
	}
	t.Run("a host that cannot filter", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := outdone(t, 3)
			r.filter()
			r.host("b").NoNftables = why
			r.world.Forget()
			if _, err := r.restore(context.Background(), nil); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("restore: %v", err)
			}
			for _, c := range r.world.Changes() {
				if c.Operation == api.OpFence {
					t.Errorf("%s of %s", c.Operation, c.Address)
				}
			}
		})
	})
}
