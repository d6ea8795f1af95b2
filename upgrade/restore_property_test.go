package upgrade_test

import (
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestRestoreConverges cuts restores short at any call, cuts power, wipes hosts, and rolls restores back, in any order.
// Once all hosts are back, one restore finishes, and the hosts are one cluster with the data of the snapshot; or it is
// rolled back, and no write is lost.
func TestRestoreConverges(t *testing.T) {
	sample.CheckInBubble(t, 100, func(t *rapid.T) {
		r := outdone(t, rapid.SampledFrom([]int{1, 3}).Draw(t, "members"))
		if rapid.Bool().Draw(t, "grows") {
			r.want("a", "b", "c")
			r.askFor("backup.db")
		}
		wiped := false
		for range rapid.IntRange(1, 4).Draw(t, "events") {
			r.world.Inject(nodetest.Fault{Nth: rapid.IntRange(1, 150).Draw(t, "call"), After: rapid.Bool().Draw(t, "after"), Extent: rapid.SampledFrom([]nodetest.Extent{nodetest.Once, nodetest.Run, nodetest.Session}).Draw(t, "extent")})
			_, _ = r.restore(context.Background(), nil)
			r.world.Heal()
			host := r.world.Host(rapid.SampledFrom(r.cluster.Members).Draw(t, "host").Address)
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0:
				host.PowerCut()
				host.PowerOn()
			case 1:
				if !wiped && r.intact() {
					host.Wipe()
					wiped = true
				}
			case 2:
				r.world.Tick()
			}
		}
		for range 3 {
			r.world.Tick()
		}
		if rapid.Bool().Draw(t, "roll back") && !wiped {
			r.cluster.Restore.RollBack = true
			_, err := r.restore(context.Background(), nil)
			if err == nil {
				r.cluster.Restore, r.cluster.Members = membership.Restoration{}, r.old
				r.mustConverge(1)
				return
			}
			if !strings.Contains(err.Error(), "cannot be undone: clients may have") {
				t.Fatalf("roll back: %v", err)
			}
			r.cluster.Restore.RollBack = false
		}
		r.mustFinish()
	})
}

// intact tells whether no client can have seen the restore yet. Once a member was opened, the cluster runs,
// and other changes repair it if it loses a host.
func (r *restoreCase) intact() bool {
	for _, m := range r.cluster.Members {
		var o api.Observation
		if err := r.world.Host(m.Address).Call(context.Background(), "", request(api.OpObserve, r.cluster.Ask()), &o); err != nil {
			continue
		}
		if o.Restore != nil && o.Restore.Stage == api.StageOpened || o.Marker != nil && strings.HasPrefix(o.Marker.Token, "restore-") && o.Restore == nil {
			return false
		}
	}
	return true
}
