package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// filteredCluster is a cluster of three healthy members, whose hosts let each other in.
func filteredCluster() (membership.ClusterStatus, membership.Spec) {
	want := membership.Spec{Name: "prod", Version: "3.7.3", Firewall: "clients 10.0.1.0/24"}
	p := membership.ClusterStatus{Leader: "a"}
	for i, name := range []string{"a", "b", "c"} {
		m := membership.Member{Name: name, Address: fmt.Sprintf("192.0.2.1%d", i+1)}
		want.Members = append(want.Members, m)
		p.Members = append(p.Members, membership.MemberStatus{Member: m, Desired: true, ID: name, Role: membership.Voter, Started: true,
			State: membership.Healthy, Version: "3.7.3", Traces: true, Admits: "192.0.2.11, 192.0.2.12, 192.0.2.13"})
	}
	return p, want
}

// TestFirewallFollowsTheMembers: whoever joins is let in before it is added to the list, by every host, and whoever was
// removed is shut out right after; a host that cannot be asked, or has no member yet, is told with its configuration.
func TestFirewallFollowsTheMembers(t *testing.T) {
	p, want := filteredCluster()
	plan := func() (steps []string) {
		t.Helper()
		planned, err := Change(p, want)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range planned.Steps {
			steps = append(steps, step.String())
		}
		return steps
	}
	if steps := plan(); len(steps) > 0 {
		t.Errorf("with nothing to do: %q", steps)
	}
	p.Members[1].Desired = false
	want.Members[1].Address = "192.0.2.21"
	p.Members = append(p.Members, membership.MemberStatus{Member: want.Members[1], Desired: true, State: membership.Missing})
	membership.SortStatuses(p.Members)
	steps := plan()
	at := func(begins string) int {
		for i, step := range steps {
			if strings.HasPrefix(step, begins) {
				return i
			}
		}
		t.Fatalf("no step begins with %q: %q", begins, steps)
		return 0
	}
	const opens = "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, 192.0.2.21, on a, b, c; nothing else is filtered"
	const shuts = "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.13, 192.0.2.21, on a, b, c; nothing else is filtered"
	if open, shut := at(opens), at(shuts); open > at("learner b (192.0.2.21)") || shut != at("remove b (192.0.2.12)")+1 {
		t.Errorf("the steps are\n%s", strings.Join(steps, "\n"))
	}

	p, want = filteredCluster()
	p.Members[0].Unfiltered = "its table etcd-prod is gone"
	p.Members[1].Unfiltered, p.Members[1].State = "its table etcd-prod is gone", membership.Unreachable
	if steps := plan(); len(steps) != 1 || steps[0] != "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, on a; nothing else is filtered" {
		t.Errorf("where two have lost their tables, of which one cannot be asked: %q", steps)
	}
	if told := Targets(p, want, membership.Firewall); len(told) != 1 || told[0].Name != "a" {
		t.Errorf("told are %v", told)
	}

	p, want = filteredCluster()
	want.Firewall = ""
	for i := range p.Members {
		p.Members[i].Unfiltered = "it has a firewall, which the configuration does not ask for"
	}
	if steps := plan(); len(steps) != 1 || steps[0] != "firewall: removed on a, b, c; anybody reaches the members" {
		t.Errorf("taken out: %q", steps)
	}
}

// TestFirewallWithoutNftables: a host that cannot filter is named before any host is told to.
func TestFirewallWithoutNftables(t *testing.T) {
	p, want := filteredCluster()
	for i := range p.Members {
		p.Members[i].Unfiltered, p.Members[i].Admits = "it has no firewall yet", ""
	}
	p.Members[0].NoNftables, p.Members[2].NoNftables = "nftables cannot be used on this host", "nftables cannot be used on this host"
	_, err := Change(p, want)
	if err == nil || !strings.Contains(err.Error(), "a (192.0.2.11)") || !strings.Contains(err.Error(), "c (192.0.2.13)") || strings.Contains(err.Error(), "b (192.0.2.12)") {
		t.Errorf("it says %v", err)
	}
	want.Firewall = ""
	for i := range p.Members {
		p.Members[i].Unfiltered = ""
	}
	if planned, err := Change(p, want); err != nil || len(planned.Steps) > 0 {
		t.Errorf("without a firewall: %v, %v", planned.Steps, err)
	}
}

// TestAMemberThatIsShutOutIsLetIn: where somebody has shut members out, so that no quorum serves, the plan begins with
// letting them in, and is not refused for want of a quorum.
func TestAMemberThatIsShutOutIsLetIn(t *testing.T) {
	p, want := filteredCluster()
	p.Leader = ""
	for i := range p.Members {
		p.Members[i].State, p.Members[i].Why = membership.Unhealthy, "it runs, and serves no linearizable read"
		p.Members[i].Unfiltered = "its table etcd-prod lacks peers4 192.0.2.12"
	}
	planned, err := Change(p, want)
	if err != nil || len(planned.Steps) < 2 || planned.Steps[0].Kind != membership.Firewall || planned.Steps[1].Kind != membership.Agree {
		t.Errorf("the plan is %v, %v", planned.Steps, err)
	}
}
