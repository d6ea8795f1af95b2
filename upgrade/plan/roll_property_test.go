package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestRollsGoZoneByZone holds of any cluster, whoever leads and whatever zones its members are in, that every outdated
// member is rolled once, those of one zone after another, the leader's zone last and the leader last of all; and that
// one which the configuration does not ask for is not, where restarts are held back.
func TestRollsGoZoneByZone(t *testing.T) {
	sample.Check(t, clusters, func(rt *rapid.T) {
		n := rapid.SampledFrom([]int{3, 5, 7}).Draw(rt, "members")
		leader := rapid.IntRange(0, n-1).Draw(rt, "leader")
		var observed, desired, outdated []string
		hold := rapid.Bool().Draw(rt, "hold")
		if hold {
			desired = append(desired, "hold")
		}
		zones := map[string]string{}
		for i := range n {
			name, sign, words := string(rune('a'+i)), "", ""
			if i == leader {
				sign = "*"
			}
			switch rapid.IntRange(0, 3).Draw(rt, "outdated") {
			case 0, 1:
				words, outdated = "/settings", append(outdated, name)
			case 2:
				if words = "/unasked"; !hold {
					outdated = append(outdated, name)
				}
			}
			observed, desired = append(observed, name+sign+words), append(desired, name)
			if zone := rapid.SampledFrom([]string{"", "r1", "r2", "r3"}).Draw(rt, "zone"); zone != "" {
				zones[name], desired = zone, append(desired, "zone:"+zone+":"+name)
			}
		}
		script := "observed " + strings.Join(observed, " ") + "\ndesired " + strings.Join(desired, " ")
		planned, err := plan.Change(parse(t, script))
		if err != nil {
			rt.Fatalf("%s\nis refused: %v", script, err)
		}
		var rolled, visited []string
		for _, step := range planned.Steps {
			if step.Kind != membership.Roll {
				continue
			}
			rolled = append(rolled, step.Member)
			if zone := zones[step.Member]; len(visited) == 0 || visited[len(visited)-1] != zone {
				visited = append(visited, zone)
			}
		}
		wrong := ""
		leads, home := string(rune('a'+leader)), zones[string(rune('a'+leader))]
		switch sorted := slices.Sorted(slices.Values(rolled)); {
		case !slices.Equal(sorted, outdated):
			wrong = fmt.Sprintf("rolled are %v, and outdated %v", sorted, outdated)
		case len(slices.Compact(slices.Sorted(slices.Values(visited)))) != len(visited):
			wrong = fmt.Sprintf("a zone is left and come back to: %q", visited)
		case slices.Contains(visited, home) && visited[len(visited)-1] != home:
			wrong = fmt.Sprintf("the leader's zone %q is not the last: %q", home, visited)
		case slices.Contains(rolled, leads) && rolled[len(rolled)-1] != leads:
			wrong = fmt.Sprintf("the leader %s is not the last: %v", leads, rolled)
		}
		if wrong != "" {
			rt.Fatalf("%s\n%s\n%s", script, wrong, texts(planned.Steps))
		}
	})
}
