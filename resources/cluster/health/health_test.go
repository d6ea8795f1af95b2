package health

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

func TestStatus(t *testing.T) {
	for script, want := range map[string]string{
		"healthy":                             StatusHealthy,
		"healthy healthy healthy":             StatusHealthy,
		"healthy healthy stopped":             StatusDegraded,
		"healthy healthy unreachable":         StatusDegraded,
		"healthy unreachable unreachable":     StatusDegraded, // the first member's read proves a quorum
		"healthy healthy stranger":            StatusDegraded,
		"unhealthy stopped stopped":           StatusNoQuorum,
		"unhealthy unhealthy unreachable":     StatusNoQuorum, // the unreachable member alone is no quorum
		"unhealthy unreachable unreachable":   StatusUnknown,
		"unreachable unreachable unreachable": StatusUnknown,
		"missing missing missing":             StatusNoQuorum,
	} {
		var p membership.ClusterStatus
		for i, state := range strings.Fields(script) {
			name := string(rune('a' + i))
			if state == "stranger" {
				p.Unmanaged = append(p.Unmanaged, membership.UnmanagedMember{ID: "66", Name: name, Role: membership.Voter})
				continue
			}
			p.Members = append(p.Members, membership.MemberStatus{Member: membership.Member{Name: name, Address: fmt.Sprintf("192.0.2.1%d", i+1)},
				Desired: true, Role: membership.Voter, State: membership.State(state)})
		}
		if got := Status(p); got != want {
			t.Errorf("%s: %s, want %s", script, got, want)
		}
	}
}
