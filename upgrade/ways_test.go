package upgrade_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// TestAnotherMachineInAMembersPlace has the route to a member that runs lead to a clone of its machine, or to one of
// another owner, with one of the others silent or not, on machines of one image or not: the run refuses it, and changes
// no host. Undoing the mistake leads to the plan of before it, which is carried out without loss.
func TestAnotherMachineInAMembersPlace(t *testing.T) {
	sample.CheckInBubble(t, 60, func(rt *rapid.T) {
		l := serving(rt, rapid.SampledFrom([]int{3, 5}).Draw(rt, "members"), nodetest.EtcdVersion)
		names := rapid.Permutation(l.cluster.Members).Draw(rt, "members")
		there := l.world.Host("192.0.2.22")
		if rapid.Bool().Draw(rt, "machine IDs of one image") {
			for _, m := range names {
				l.world.Host(m.Address).MachineID = "of the image"
			}
			there.MachineID = "of the image"
		}
		down := false
		switch rapid.IntRange(0, 4).Draw(rt, "change") {
		case 0:
			l.set("quota-backend-bytes", "8589934592")
		case 1:
			l.world.Host(names[1].Address).StopUnit(cluster)
			down = true
		case 2:
			l.world.Host(names[1].Address).LoseData(dir)
			down = true
		case 3:
			l.want("a@21", "b", "c")
		}
		l.world.Tick()
		before := texts(l.planned().Steps)
		there.CloneOf(l.world.Host(names[0].Address))
		says := "leads to a machine on which it does not run, while the member has connections with"
		switch rapid.IntRange(0, 2).Draw(rt, "there is a clone") {
		case 0:
			there.EmptyData(dir)
		case 1:
			there.EditMarker(cluster, func(m *api.Marker) { m.Owner = "them" })
			says = "that another state manages, while the member has connections with"
		}
		if silent := l.world.Host(names[2].Address); !(down && len(names) == 3) && rapid.Bool().Draw(rt, "one is silent") {
			silent.Unreachable = errors.New("no route to host")
		}
		l.world.Forget()
		e := l.misled(0, map[membership.Member]*nodetest.Host{names[0]: there})
		e.Progress = func(string) {}
		outcome, err := e.Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members})
		if err == nil || !strings.Contains(err.Error(), says) || len(outcome.Done) > 0 || len(l.world.Changes()) > 0 {
			rt.Fatalf("with the route to %s misled: %v\n%s\n%v", names[0], err, texts(outcome.Done), l.world.Changes())
		}
		l.world.Host(names[2].Address).Unreachable = nil
		there.Wipe()
		l.world.Tick()
		if after := texts(l.planned().Steps); after != before {
			rt.Errorf("undone, the plan is\n%s\nand was\n%s", after, before)
		}
		l.mustConverge(3)
	})
}
