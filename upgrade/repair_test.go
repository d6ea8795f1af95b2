package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// TestRepair holds what is planned for each combination of healths.
func TestRepair(t *testing.T) {
	for healths, want := range map[string]string{
		"healthy healthy healthy":     "",
		"healthy stopped healthy":     "start b (192.0.2.12)\nagree: 3 voters, one cluster ID, one leader, quorum 2",
		"stopped stopped stopped":     "start a (192.0.2.11)\nstart b (192.0.2.12)\nstart c (192.0.2.13)\nagree: 3 voters, one cluster ID, one leader, quorum 2",
		"healthy healthy unhealthy":   "agree: 3 voters, one cluster ID, one leader, quorum 2",
		"stopped":                     "start a (192.0.2.11)\nagree: 1 voter, one cluster ID, one leader, quorum 1",
		"stopped missing healthy":     "refused: b (192.0.2.12): it is missing",
		"stopped healthy foreign":     "refused: c (192.0.2.13): it is foreign",
		"unreachable stopped stopped": "refused: a (192.0.2.11): it is unreachable",
	} {
		var members []upgrade.Condition
		for i, health := range strings.Fields(healths) {
			members = append(members, upgrade.Condition{
				Member: membership.Member{Name: string(rune('a' + i)), Address: fmt.Sprintf("192.0.2.%d", 11+i)},
				Health: upgrade.Health(health),
			})
		}
		steps, err := upgrade.Repair(members)
		var lines []string
		for _, step := range steps {
			lines = append(lines, step.String())
		}
		got := strings.Join(lines, "\n")
		var refusal *membership.Refusal
		if errors.As(err, &refusal) {
			got, _, _ = strings.Cut("refused: "+refusal.Error(), ";")
			if refusal.Remedy == "" {
				t.Errorf("%s: the refusal leaves no way on", healths)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", healths, diff)
		}
	}
}

// TestHealthOf holds what each observation is called.
func TestHealthOf(t *testing.T) {
	observed := func(change func(*api.Observation)) bootstrap.Report {
		o := api.Observation{
			Marker: &api.Marker{Owner: "us"},
			Unit:   api.UnitState{ActiveState: "active"},
			Data:   api.Data{Exists: true, HasMember: true},
			Member: api.Member{Responding: true, Healthy: true},
		}
		change(&o)
		return bootstrap.Report{Observation: &o}
	}
	for name, test := range map[string]struct {
		report bootstrap.Report
		want   upgrade.Health
	}{
		"well":             {observed(func(*api.Observation) {}), upgrade.Healthy},
		"not asked":        {bootstrap.Report{Err: errors.New("no route to host")}, upgrade.Unreachable},
		"no store":         {bootstrap.Report{}, upgrade.Missing},
		"no marker":        {observed(func(o *api.Observation) { o.Marker = nil }), upgrade.Missing},
		"another owner":    {observed(func(o *api.Observation) { o.Marker.Owner = "them" }), upgrade.Foreign},
		"unit failed":      {observed(func(o *api.Observation) { o.Unit.ActiveState = "failed" }), upgrade.Stopped},
		"unit inactive":    {observed(func(o *api.Observation) { o.Unit.ActiveState = "inactive" }), upgrade.Stopped},
		"stopped, no data": {observed(func(o *api.Observation) { o.Unit.ActiveState, o.Data.HasMember = "failed", false }), upgrade.Missing},
		"starting":         {observed(func(o *api.Observation) { o.Unit.ActiveState, o.Member = "activating", api.Member{} }), upgrade.Unhealthy},
		"mute":             {observed(func(o *api.Observation) { o.Member.Responding = false }), upgrade.Unhealthy},
		"cut off":          {observed(func(o *api.Observation) { o.Member.Healthy = false }), upgrade.Unhealthy},
	} {
		if got := upgrade.HealthOf(test.report, "us"); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// mend is one repair.
func (s *site) mend(owner string) error {
	_, err := s.executor().Mend(context.Background(), owner)
	return err
}

// TestMend brings members back that were stopped, whatever number of them.
func TestMend(t *testing.T) {
	sizes(t, func(t *testing.T, n int) {
		for stopped := 0; stopped <= n; stopped++ {
			t.Run(fmt.Sprint(stopped), func(t *testing.T) {
				s := newSite(t, n)
				owner := s.mustForm().Owner
				for _, m := range s.cluster.Members[:stopped] {
					s.host(m.Name).StopUnit("prod")
				}
				s.world.Forget()
				if err := s.mend(owner); err != nil {
					t.Fatal(err)
				}
				s.mustBeFormed(owner)
				if got := len(s.world.Changes()); got != stopped {
					t.Errorf("%d changes for %d stopped members: %v", got, stopped, s.world.Changes())
				}
				if got, want := len(s.progress), min(stopped, 1)+stopped; got != want {
					t.Errorf("steps: %v", s.progress)
				}
			})
		}
	})
}

// TestMendSurvivesEveryFault has every call of a repair fail once, and the run killed at it once.
func TestMendSurvivesEveryFault(t *testing.T) {
	arrange := func(t *testing.T) (*site, string) {
		s := newSite(t, 3)
		owner := s.mustForm().Owner
		s.host("a").StopUnit("prod")
		s.host("c").StopUnit("prod")
		s.world.Forget()
		return s, owner
	}
	whole, owner := arrange(t)
	if err := whole.mend(owner); err != nil {
		t.Fatal(err)
	}
	for _, fault := range everyFault(3, len(whole.world.Calls())) {
		t.Run(describe(fault), func(t *testing.T) {
			s, owner := arrange(t)
			s.world.Inject(fault)
			err := s.mend(owner)
			s.world.Heal()
			if err != nil {
				err = s.mend(owner)
			}
			if err != nil {
				t.Error(err)
			}
			s.mustBeFormed(owner)
		})
	}
}

// TestMendRefuses has one member with more the matter than that it stands still: the one that does is
// not started either.
func TestMendRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(*site)
		want    string
	}{
		"unreachable":   {func(s *site) { s.host("b").Unreachable = errors.New("no route to host") }, "b (192.0.2.12): it is unreachable"},
		"wiped":         {func(s *site) { s.host("b").Wipe() }, "b (192.0.2.12): it is missing"},
		"data lost":     {func(s *site) { s.host("b").LoseData(s.cluster.DataDir); s.world.Tick() }, "b (192.0.2.12): it is missing"},
		"another owner": {func(s *site) { s.host("b").EditMarker("prod", func(m *api.Marker) { m.Owner = "them" }) }, "b (192.0.2.12): it is foreign"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 3)
			owner := s.mustForm().Owner
			s.host("a").StopUnit("prod")
			test.arrange(s)
			s.world.Forget()
			if err := s.mend(owner); err == nil || !strings.HasPrefix(err.Error(), test.want+"; ") {
				t.Errorf("mend: %v", err)
			}
			if changes := s.world.Changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
		})
	}
}

// TestMendSaysWhyAMemberDoesNotStart has a member whose start fails for good.
func TestMendSaysWhyAMemberDoesNotStart(t *testing.T) {
	s := newSite(t, 3)
	owner := s.mustForm().Owner
	s.host("b").StopUnit("prod")
	s.host("b").DoomedStart = "open wal: input/output error"
	if err := s.mend(owner); err == nil || !strings.Contains(err.Error(), "open wal: input/output error") {
		t.Errorf("mend: %v", err)
	}
}
