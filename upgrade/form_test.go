package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestFormBareHosts forms clusters on bare hosts: the run does what was planned.
func TestFormBareHosts(t *testing.T) {
	sizes(t, func(t *testing.T, n int) {
		s := newSite(t, n)
		s.mustForm()
		var want []string
		for i, line := range s.plan() {
			want = append(want, fmt.Sprintf("%d/%d %s", i+1, len(s.plan()), line))
		}
		if diff := cmp.Diff(want, s.progress); diff != "" {
			t.Errorf("done differs from planned (-planned +done):\n%s", diff)
		}
		if ids := s.world.HandedOver(); len(ids) != 1 {
			t.Errorf("clusters handed over: %v", ids)
		}
		s.mustBeLeftAlone()
	})
}

// TestFormSurvivesEveryFault makes every call of a create fail once, and kills the run at every call once, before and
// after the call takes effect. The next create always finishes the cluster.
func TestFormSurvivesEveryFault(t *testing.T) {
	sizes(t, func(t *testing.T, n int) {
		whole := newSite(t, n)
		whole.mustForm()
		for _, fault := range sample.EveryNth(t, 3, everyFault(n, len(whole.world.Calls()))) {
			t.Run(describe(fault), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, n)
				s.world.Inject(fault)
				_, err := s.form(context.Background())
				s.world.Heal()
				s.mustGoOn(err)
				if ids := s.world.HandedOver(); len(ids) != 1 {
					t.Errorf("clusters handed over: %v", ids)
				}
			})
		}
	})
}

// everyFault returns a failure of each of the first calls, and a kill at each, before and after the call takes effect.
// For many members, which are slow, it returns half of them.
func everyFault(members, calls int) (faults []nodetest.Fault) {
	for nth := 1; nth <= calls; nth++ {
		for _, extent := range []nodetest.Extent{nodetest.Once, nodetest.Run} {
			for _, after := range []bool{false, true} {
				if members < 5 || after == (extent == nodetest.Run) {
					faults = append(faults, nodetest.Fault{Nth: nth, After: after, Extent: extent})
				}
			}
		}
	}
	return faults
}

func describe(f nodetest.Fault) string {
	text := fmt.Sprintf("fail-%d", f.Nth)
	if f.Extent == nodetest.Run {
		text = fmt.Sprintf("kill-%d", f.Nth)
	}
	if f.After {
		return text + "-after"
	}
	return text
}

// TestFormRefusesBeforeAnyChange has one host that cannot be asked: no host is changed.
func TestFormRefusesBeforeAnyChange(t *testing.T) {
	sizes(t, func(t *testing.T, n int) {
		for _, m := range newSite(t, n).cluster.Members {
			s := newSite(t, n)
			s.host(m.Name).Unreachable = errors.New("no route to host")
			_, err := s.form(context.Background())
			if want := fmt.Sprintf("%s (%s): no route to host", m.Name, m.Address); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("with %s unreachable: %v", m.Name, err)
			}
			if changes := s.world.Changes(); len(changes) > 0 {
				t.Errorf("with %s unreachable, hosts were changed: %v", m.Name, changes)
			}
		}
	})
}

// TestFormWithOtherSettings changes what is desired between two attempts at one cluster: members with the old settings
// are stopped, keep their data, and come back with the new ones.
func TestFormWithOtherSettings(t *testing.T) {
	s := newSite(t, 3)
	s.world.Inject(nodetest.Fault{Operation: api.OpConfigure, Nth: 5, Extent: nodetest.Run}) // one host is settled
	if _, err := s.form(context.Background()); err == nil {
		t.Fatal("the create was not cut short")
	}
	s.world.Heal()
	s.host("a").Write("prod")
	s.cluster.Settings = map[string]string{"quota-backend-bytes": "8589934592"}
	s.mustForm()
	for _, kind := range []string{" stop a", " configure b", " start c", " agree", " sync configuration of a"} {
		if !strings.Contains(strings.Join(s.progress, "\n"), kind) {
			t.Errorf("there is no step%s:\n%s", kind, strings.Join(s.progress, "\n"))
		}
	}
	for _, m := range s.cluster.Members {
		if aside := s.host(m.Name).Aside(s.cluster.DataDir); len(aside) > 0 {
			t.Errorf("%s: data was set aside: %v", m.Name, aside)
		}
	}
}

// TestFormSaysWhyAMemberDoesNotStart has a member fail at each start: the run ends, and the error has the member's
// journal.
func TestFormSaysWhyAMemberDoesNotStart(t *testing.T) {
	s := newSite(t, 3)
	s.host("b").DoomedStart = "cannot access data directory: permission denied"
	_, err := s.form(context.Background())
	if err == nil || !strings.Contains(err.Error(), "start b (192.0.2.12): the step was done, and is still needed") ||
		!strings.Contains(err.Error(), "cannot access data directory: permission denied") {
		t.Errorf("form: %v", err)
	}
	s.host("b").DoomedStart = ""
	s.mustForm()
}

// TestFormNamesWhoIsNotReady has a member that starts and never becomes ready.
func TestFormNamesWhoIsNotReady(t *testing.T) {
	s := newSite(t, 3)
	s.atStep = func(line string) {
		if strings.Contains(line, " agree") {
			s.host("c").StopUnit("prod")
		}
	}
	_, err := s.form(context.Background())
	if err == nil || !strings.Contains(err.Error(), "agree: 3 voters, one cluster ID, one leader, quorum 2: c (192.0.2.13) is not ready: its unit is inactive") {
		t.Errorf("form: %v", err)
	}
	s.atStep = nil
	s.mustForm()
}

// TestFormAgainAfterItsDataWasLost has a member lose its data while the cluster is formed: all members begin anew, and
// the data of the others is moved aside.
func TestFormAgainAfterItsDataWasLost(t *testing.T) {
	s := newSite(t, 3)
	s.world.Inject(nodetest.Fault{Operation: api.OpConfigure, Nth: 5, Extent: nodetest.Run}) // one host is settled
	if _, err := s.form(context.Background()); err == nil {
		t.Fatal("the create was not cut short")
	}
	s.world.Heal()
	if s.handedOver() {
		t.Fatal("the create had come to its end")
	}
	for _, m := range s.cluster.Members {
		if h := s.host(m.Name); h.Marker("prod").ClusterID == "" {
			h.LoseData(s.cluster.DataDir)
			s.world.Tick()
			break
		}
	}
	s.mustForm()
	kept := 0
	for _, m := range s.cluster.Members {
		kept += len(s.host(m.Name).Aside(s.cluster.DataDir))
	}
	if kept < 2 {
		t.Errorf("%d data directories were kept aside", kept)
	}
}

// TestFormSparesWhatWasWritten has somebody write to a cluster that is not quite formed, and then members lose their
// data: the create refuses to start over, also while the member that holds what was written is stopped. If that runs
// and does not answer, its host finds out.
func TestFormSparesWhatWasWritten(t *testing.T) {
	wipeOthers := func(s *site) {
		s.host("b").Wipe()
		s.host("c").Wipe()
	}
	const planned, found = "somebody has written to that since (revision 2)", "somebody has written to the data in /var/lib/etcd/prod (revision 2)"
	for name, test := range map[string]struct {
		happen func(*site)
		says   string
	}{
		"the others serve": {func(s *site) { s.host("c").Wipe() }, planned},
		"it is stopped":    {func(s *site) { wipeOthers(s); s.host("a").StopUnit("prod") }, planned},
		"it waits for others": {func(s *site) {
			wipeOthers(s)
			s.host("a").PowerCut()
			s.host("a").PowerOn()
			s.world.Tick()
		}, found},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 3)
			// No host is settled.
			s.world.Inject(nodetest.Fault{Operation: api.OpConfigure, Nth: 4, Extent: nodetest.Run})
			if _, err := s.form(context.Background()); err == nil {
				t.Fatal("the create was not cut short")
			}
			s.world.Heal()
			s.host("a").Write("prod")
			test.happen(s)
			s.world.Forget()
			if _, err := s.form(context.Background()); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("form: %v", err)
			}
			if changes := s.world.Changes(); len(changes) > 0 && test.says == planned {
				t.Errorf("hosts were changed: %v", changes)
			}
			if aside := s.host("a").Aside(s.cluster.DataDir); len(aside) > 0 {
				t.Errorf("its data now lies in %v", aside)
			}
		})
	}
}
