package upgrade_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestWhoeverHoldsWhatAQuorumHoldsStays has random members hold other data, raises the alarm or not, and restarts some,
// which may then not start. Repeated changes remove only members that hold other data. If a quorum of the others serves
// and the difference shows at all, the changes remove every diverged member and clear the alarm.
func TestWhoeverHoldsWhatAQuorumHoldsStays(t *testing.T) {
	sample.CheckInBubble(t, 100, func(t *rapid.T) {
		l := serving(t, rapid.SampledFrom([]int{3, 5, 5, 5}).Draw(t, "members"), nodetest.EtcdVersion)
		members := slices.Clone(l.cluster.Members)
		var wrong []string
		for _, m := range members {
			if rapid.IntRange(0, 2).Draw(t, m.Name+" differs") == 0 {
				l.host(m.Name).Corrupt(cluster)
				l.host(m.Name).Terse = rapid.Bool().Draw(t, "terse")
				wrong = append(wrong, m.Name)
			}
		}
		shows := rapid.Bool().Draw(t, "alarm")
		if shows {
			l.host(members[0].Name).RaiseAlarm(cluster, "CORRUPT")
		}
		if rapid.Bool().Draw(t, "writers") {
			l.world.Watch = func(nodetest.Call) { _ = l.world.Put(cluster) }
		}
		right := len(members) - len(wrong)
		for _, m := range members {
			if rapid.IntRange(0, 4).Draw(t, m.Name+" restarts") == 0 {
				l.host(m.Name).Terse = rapid.Bool().Draw(t, "terse")
				l.restartInVain(m.Name)
				o := l.look().Member(m)
				shows = shows || o.Differs
				if o.State != membership.Healthy && !slices.Contains(wrong, m.Name) {
					right--
				}
			}
		}
		var done []membership.Step
		for range 4 {
			outcome, _ := l.change(context.Background(), nil)
			done = append(done, outcome.Done...)
		}
		for _, step := range done {
			if step.Kind == membership.Remove && !slices.Contains(wrong, step.Member) {
				t.Errorf("%s was removed, and %v hold other data:\n%s", step.Member, wrong, texts(done))
			}
		}
		l.world.Watch = nil
		if !shows || right < membership.Quorum(len(members)) {
			return
		}
		for _, name := range wrong {
			if !strings.Contains(texts(done), "remove "+name+" ") {
				t.Errorf("%s holds other data, and was not removed:\n%s", name, texts(done))
			}
		}
		if p := l.look(); p.Corrupt {
			t.Errorf("the alarm is there still:\n%s", texts(done))
		}
		l.put()
		l.mustBeAsDesired()
		if lost := l.world.Lost(cluster); len(lost) > 0 {
			t.Errorf("lost: %v", lost)
		}
	})
}
