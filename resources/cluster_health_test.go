package resources

import (
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

func TestStatus(t *testing.T) {
	for script, want := range map[string]string{
		"healthy":                             statusHealthy,
		"healthy healthy healthy":             statusHealthy,
		"healthy healthy stopped":             statusDegraded,
		"healthy healthy unreachable":         statusDegraded,
		"healthy unreachable unreachable":     statusDegraded, // its linearizable read proves a quorum
		"healthy healthy healthy stranger":    statusDegraded,
		"unhealthy stopped stopped":           statusNoQuorum,
		"unhealthy unhealthy unreachable":     statusNoQuorum, // the one that is unknown is none
		"unhealthy unreachable unreachable":   statusUnknown,
		"unreachable unreachable unreachable": statusUnknown,
		"missing missing missing":             statusNoQuorum,
	} {
		members := map[string]upgrade.Health{}
		for i, health := range strings.Fields(script) {
			members[string(rune('a'+i))] = upgrade.Health(health)
		}
		if got := statusOf(members); got != want {
			t.Errorf("%s: %s, want %s", script, got, want)
		}
	}
}
