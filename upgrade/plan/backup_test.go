package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// TestBackupsComeLast: members that have come back up the cluster once there are all that are desired, and a host that
// cannot be asked is left.
func TestBackupsComeLast(t *testing.T) {
	member := func(name, address string, change func(*membership.MemberStatus)) membership.MemberStatus {
		s := membership.MemberStatus{Member: membership.Member{Name: name, Address: address}, Desired: true, ID: name, Role: membership.Voter,
			Started: true, State: membership.Healthy, Version: "3.7.3", Traces: true}
		if change != nil {
			change(&s)
		}
		return s
	}
	want := membership.Spec{Name: "prod", Version: "3.7.3", Backups: "hourly to directory /srv/b", Members: []membership.Member{
		{Name: "a", Address: "192.0.2.11"}, {Name: "b", Address: "192.0.2.21"}, {Name: "c", Address: "192.0.2.13"}}}
	p := membership.ClusterStatus{Leader: "a", Members: []membership.MemberStatus{
		member("a", "192.0.2.11", nil),
		member("b", "192.0.2.12", func(s *membership.MemberStatus) { s.Desired = false }),
		member("b", "192.0.2.21", func(s *membership.MemberStatus) {
			*s = membership.MemberStatus{Member: s.Member, Desired: true, State: membership.Missing}
		}),
		member("c", "192.0.2.13", nil),
	}}
	planned, err := Change(p, want)
	if err != nil {
		t.Fatal(err)
	}
	if last := planned.Steps[len(planned.Steps)-1].String(); last != "back up: hourly to directory /srv/b, by b" {
		t.Errorf("the last step is %q", last)
	}

	p.Members = []membership.MemberStatus{
		member("a", "192.0.2.11", func(s *membership.MemberStatus) { s.Unbacked = "it makes no backups yet" }),
		member("b", "192.0.2.21", func(s *membership.MemberStatus) {
			s.State, s.Unbacked = membership.Unreachable, "it makes no backups yet"
		}),
		member("c", "192.0.2.13", nil),
	}
	if planned, err = Change(p, want); err != nil || len(planned.Steps) != 1 || planned.Steps[0].String() != "back up: hourly to directory /srv/b, by a" {
		t.Errorf("the plan is %v, %v", planned.Steps, err)
	}
}

// TestUnitsOfRunsFollowTheStore: a plan that gives a member another store has the units of its backups and renewals
// written anew, where they are an older one's, and none is made for those alone: an older store writes no others.
func TestUnitsOfRunsFollowTheStore(t *testing.T) {
	want := membership.Spec{Name: "prod", Version: "3.7.3", Backups: "hourly to directory /srv/b", Renewals: "peers' by https://192.0.2.8 (settings 1)"}
	p := membership.ClusterStatus{Leader: "a"}
	for i, name := range []string{"a", "b", "c"} {
		m := membership.Member{Name: name, Address: fmt.Sprintf("192.0.2.1%d", i+1)}
		want.Members = append(want.Members, m)
		p.Members = append(p.Members, membership.MemberStatus{Member: m, Desired: true, ID: name, Role: membership.Voter,
			Started: true, State: membership.Healthy, Version: "3.7.3", Traces: true, OldRuns: true, OldRenewals: true})
	}
	planned, err := Change(p, want)
	if err != nil || len(planned.Steps) > 0 {
		t.Errorf("with older stores the plan is %v, %v", planned.Steps, err)
	}
	p.Members[1].Outdated = []string{"flags max-request-bytes"}
	if planned, err = Change(p, want); err != nil {
		t.Fatal(err)
	}
	written := []string{"back up: hourly to directory /srv/b, by b", "renew on hosts: peers' by https://192.0.2.8 (settings 1), on b"}
	last := func() (texts []string) {
		for _, step := range planned.Steps[max(0, len(planned.Steps)-len(written)):] {
			texts = append(texts, step.String())
		}
		return texts
	}
	if !slices.Equal(last(), written) {
		t.Errorf("the steps are %v", planned.Steps)
	}
	p.Members[1].Outdated, p.Members[1].Unbacked, p.Members[1].Unrenewed = nil, bootstrap.OtherRuns, bootstrap.OtherRenewals
	if planned, err = Change(p, want); err != nil || len(planned.Steps) != len(written) || !slices.Equal(last(), written) {
		t.Errorf("with the store that writes others the plan is %v, %v", planned.Steps, err)
	}
}

// TestRenewalsOnHosts: hosts of serving members are told how they renew certificates by themselves, after all else,
// which waits for no host that cannot ask a signing server; a member that joins is told too, and nobody is where nobody
// need be.
func TestRenewalsOnHosts(t *testing.T) {
	want := membership.Spec{Name: "prod", Version: "3.7.3", Renewals: "peers' by https://192.0.2.8 (settings 1)", Backups: "hourly to directory /srv/b"}
	p := membership.ClusterStatus{Leader: "a"}
	for i, name := range []string{"a", "b", "c"} {
		m := membership.Member{Name: name, Address: fmt.Sprintf("192.0.2.1%d", i+1)}
		want.Members = append(want.Members, m)
		p.Members = append(p.Members, membership.MemberStatus{Member: m, Desired: true, ID: name, Role: membership.Voter,
			Started: true, State: membership.Healthy, Version: "3.7.3", Traces: true})
	}
	var deferred string
	texts := func() (all []string) {
		t.Helper()
		planned, err := Change(p, want)
		if err != nil {
			t.Fatal(err)
		}
		deferred = ""
		for _, left := range planned.Deferred {
			deferred += left.Error() + "\n"
		}
		for _, step := range planned.Steps {
			all = append(all, step.String())
		}
		return all
	}
	if steps := texts(); len(steps) > 0 {
		t.Errorf("the steps are %q", steps)
	}
	p.Members[0].Unrenewed, p.Members[2].Unrenewed, p.Members[2].Unbacked = bootstrap.NoRenewals, bootstrap.NoRenewals, bootstrap.NoBackups
	p.Members[1].Unrenewed, p.Members[1].State = bootstrap.NoRenewals, membership.Unreachable
	steps := texts()
	if n := len(steps); n != 2 || steps[1] != "renew on hosts: peers' by https://192.0.2.8 (settings 1), on a, c" || !strings.HasPrefix(steps[0], "back up: ") {
		t.Errorf("the steps are %q", steps)
	}
	p.Members[1].State, p.Members[1].Unrenewed = membership.Missing, ""
	p.Members[1].Traces = false
	p.Members[0].Unrenewed, p.Members[2].Unrenewed, p.Members[2].Unbacked = "", "", ""
	steps = texts()
	if n := len(steps); n < 3 || steps[n-1] != "renew on hosts: peers' by https://192.0.2.8 (settings 1), on b" {
		t.Errorf("a member that is made anew: %q", steps)
	}
	want.Renewals, want.Backups = "", ""
	p.Members[1] = p.Members[0]
	p.Members[1].Member, p.Members[1].ID, p.Members[1].Unrenewed = want.Members[1], "b", "it renews certificates by itself, which the configuration does not ask for"
	if steps = texts(); len(steps) != 1 || steps[0] != "renew on hosts: disabled on b; certificates are renewed by applies alone" {
		t.Errorf("switched off: %q", steps)
	}
	want.OtherRenewals = true
	if steps = texts(); len(steps) != 1 || steps[0] != "renew on hosts: disabled on b, but for the authority whose signer pki leaves out" {
		t.Errorf("switched off for one authority: %q", steps)
	}
	want.OtherRenewals = false
	for state, steps := range map[membership.State]string{
		membership.Unhealthy: "renew on hosts: disabled on b; certificates are renewed by applies alone", membership.Blocked: "renew on hosts: disabled on b; certificates are renewed by applies alone",
		membership.Unreachable: "", membership.Foreign: "",
	} {
		p.Members[1].State, p.Members[1].Looping, p.Members[1].Why = state, true, "it ends"
		if got := strings.Join(texts(), "; "); got != steps {
			t.Errorf("switched off on a host whose member is %s: %q", state, got)
		}
		if told := Targets(p, want, membership.RenewOnHosts); len(told) != strings.Count(steps, "on b") {
			t.Errorf("the member is %s: %v are told", state, told)
		}
	}
	want.Renewals, p.Members[1].Unrenewed = "peers' by https://192.0.2.8 (settings 1)", bootstrap.NoRenewals
	p.Members[1].State, p.Members[1].Looping = membership.Healthy, false
	for _, state := range []membership.State{membership.Blocked, membership.Unreachable} {
		p.Members[1].State, p.Members[1].Why = state, ""
		if steps := strings.Join(texts(), "; "); steps != "" || !strings.Contains(deferred, "b (192.0.2.12): ") {
			t.Errorf("switched on on a host whose member is %s: %q, left %q", state, steps, deferred)
		}
	}
	// Of one whose settings are damaged nobody knows what it did for the authority whose signer is left out.
	p.Members[1].State, p.Members[1].Unrenewed = membership.Healthy, bootstrap.LostRenewals
	for _, renewals := range []string{want.Renewals, ""} {
		told := want
		told.Renewals = renewals
		if planned, err := Change(p, told); err != nil || len(planned.Steps) > 0 || len(planned.Deferred) != 1 || !strings.Contains(planned.Deferred[0].Error(), "apply once with the signers of both authorities") {
			t.Errorf("with damaged settings, and to renew %q: %v, left %v, %v", renewals, planned.Steps, planned.Deferred, err)
		}
		if told := Targets(p, told, membership.RenewOnHosts); len(told) > 0 {
			t.Errorf("with damaged settings these are told: %v", told)
		}
	}
	p.Members[1].Unrenewed = bootstrap.NoRenewals
	// A store that may not understand it is exchanged first, on a host that is to renew as on one that is to renew no
	// longer.
	p.Members[1].State, p.Members[1].Outdated, p.Members[1].Unasked, p.Members[1].OldStore = membership.Healthy, []string{"its store"}, true, true
	for renewals, last := range map[string]string{
		want.Renewals: "renew on hosts: peers' by https://192.0.2.8 (settings 1), on b", "": "renew on hosts: disabled on b; certificates are renewed by applies alone",
	} {
		want.Renewals = renewals
		if steps := texts(); len(steps) < 2 || !strings.HasPrefix(steps[len(steps)-2], "roll b (192.0.2.12)") || steps[len(steps)-1] != last {
			t.Errorf("with another release's store: %q", steps)
		}
		if told := Targets(p, want, membership.RenewOnHosts); len(told) > 0 {
			t.Errorf("told before its store is exchanged: %v", told)
		}
		want.HoldRestarts = true
		if steps := strings.Join(texts(), "; "); steps != "" || strings.Count(deferred, "\n") != 1 || !strings.Contains(deferred, "hold_restarts holds back a restart of b (192.0.2.12)") {
			t.Errorf("with restarts held back: %q, left %q", steps, deferred)
		}
		want.HoldRestarts = false
	}
}
