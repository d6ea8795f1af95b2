package resources

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
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
		_, observed := scene(script)
		if got := statusOf(observed); got != want {
			t.Errorf("%s: %s, want %s", script, got, want)
		}
	}
}

// scene is a cluster of members a, b, c, ... of these healths.
func scene(script string) (membership.Spec, map[string]upgrade.Health) {
	var spec membership.Spec
	observed := map[string]upgrade.Health{}
	for i, health := range strings.Fields(script) {
		name := string(rune('a' + i))
		observed[name] = upgrade.Health(health)
		if health != healthStranger {
			spec.Members = append(spec.Members, membership.Member{Name: name, Address: "192.0.2.1" + fmt.Sprint(i+1)})
		}
	}
	return spec, observed
}

func TestRepair(t *testing.T) {
	for script, want := range map[string]string{
		"healthy healthy healthy":             "",
		"healthy stopped healthy":             "start b (192.0.2.12); agree: 3 voters, one cluster ID, one leader, quorum 2",
		"unhealthy stopped stopped":           "start b (192.0.2.12); start c (192.0.2.13); agree: 3 voters, one cluster ID, one leader, quorum 2",
		"healthy unhealthy healthy":           "agree: 3 voters, one cluster ID, one leader, quorum 2",
		"healthy unreachable healthy":         "", // nothing to do that is known of
		"unreachable unreachable unreachable": "",
		"healthy unreachable stopped":         "not asked: it is unreachable",
		"healthy missing healthy":             "refused: it is missing",
		"foreign foreign foreign":             "refused: it is foreign",
		"missing missing missing":             "refused: somebody has taken the cluster off all of them",
		"healthy healthy healthy stranger":    "refused: this configuration does not know it",
		"healthy healthy removed":             "refused: somebody has removed it",
	} {
		steps, err := repair(scene(script))
		var got []string
		for _, step := range steps {
			got = append(got, step.String())
		}
		switch reason, notAsked := strings.CutPrefix(want, "not asked: "); {
		case notAsked:
			if !errors.Is(err, errNotAsked) || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %v, want %s", script, err, want)
			}
		case strings.HasPrefix(want, "refused: "):
			if err == nil || errors.Is(err, errNotAsked) || !strings.Contains(err.Error(), strings.TrimPrefix(want, "refused: ")) {
				t.Errorf("%s: %v, want %s", script, err, want)
			}
		default:
			if err != nil || strings.Join(got, "; ") != want {
				t.Errorf("%s: %v, %v, want %s", script, got, err, want)
			}
		}
	}
}
