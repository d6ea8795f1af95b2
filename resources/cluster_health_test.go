package resources

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

func TestStatus(t *testing.T) {
	for script, want := range map[string]string{
		"healthy":                             statusHealthy,
		"healthy healthy healthy":             statusHealthy,
		"healthy healthy stopped":             statusDegraded,
		"healthy healthy unreachable":         statusDegraded,
		"healthy unreachable unreachable":     statusDegraded, // its linearizable read proves a quorum
		"healthy healthy stranger":            statusDegraded,
		"unhealthy stopped stopped":           statusNoQuorum,
		"unhealthy unhealthy unreachable":     statusNoQuorum, // the one that is unknown is none
		"unhealthy unreachable unreachable":   statusUnknown,
		"unreachable unreachable unreachable": statusUnknown,
		"missing missing missing":             statusNoQuorum,
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
		if got := statusOf(p); got != want {
			t.Errorf("%s: %s, want %s", script, got, want)
		}
	}
}
