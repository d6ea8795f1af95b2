package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// written are writes that the members which were up have acknowledged.
type written struct {
	writes int
	by     []string
}

// whatBecomes says what can happen to a host in a disaster, once it has power again.
var whatBecomes = map[string]func(*nodetest.Host){
	"waits":             func(*nodetest.Host) {},
	"stopped":           func(h *nodetest.Host) { h.StopUnit(cluster) },
	"log damaged":       func(h *nodetest.Host) { h.Damage(cluster, nodetest.Log) },
	"database damaged":  func(h *nodetest.Host) { h.Damage(cluster, nodetest.Database) },
	"wiped":             func(h *nodetest.Host) { h.Wipe() },
	"data lost":         func(h *nodetest.Host) { h.LoseData(api.DefaultDataDir(cluster)) },
	"cannot be reached": func(h *nodetest.Host) { h.PowerCut() },
}

// TestRecoveryLosesNothingThatWasSeen has members go down one after another while others write on. Then all of them
// lose power, and anything can happen to their hosts. Whatever the mixture, the survivor that the plan recommends has
// every acknowledged write that is in any readable log, also if the recovery is cut short at any call and continued.
// Only what is in no such log is lost.
func TestRecoveryLosesNothingThatWasSeen(t *testing.T) {
	recovered, gaveUp := 0, 0
	sample.CheckInBubble(t, 100, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{3, 5}).Draw(t, "members")
		l := serving(t, n, nodetest.EtcdVersion)
		l.world.Lasting = false
		up := []string{}
		for _, m := range l.cluster.Members {
			up = append(up, m.Name)
		}
		acknowledged := []written{{1, slices.Clone(up)}}
		for _, name := range rapid.Permutation(slices.Clone(up)).Draw(t, "go down")[:rapid.IntRange(0, n/2).Draw(t, "how many")] {
			l.host(name).StopUnit(cluster)
			up = slices.DeleteFunc(up, func(other string) bool { return other == name })
			for range 3 {
				l.world.Tick()
			}
			writes := rapid.IntRange(0, 3).Draw(t, "writes")
			for range writes {
				l.put()
			}
			acknowledged = append(acknowledged, written{writes, slices.Clone(up)})
		}
		for _, m := range l.cluster.Members {
			l.host(m.Name).PowerCut()
		}
		readable := []string{}
		for _, m := range l.cluster.Members {
			l.host(m.Name).PowerOn()
			became := rapid.SampledFrom([]string{"waits", "stopped", "log damaged", "database damaged", "wiped", "data lost", "cannot be reached"}).Draw(t, "becomes of "+m.Name)
			whatBecomes[became](l.host(m.Name))
			if became == "waits" || became == "stopped" {
				readable = append(readable, m.Name)
			}
		}
		for range 5 {
			l.world.Tick()
		}

		p := l.look()
		_, err := plan.Change(p, l.cluster.Spec)
		_, survivor, recommended := strings.Cut(fmt.Sprint(err), "highest term and index, ")
		if !recommended {
			if err != nil && len(readable) > 0 {
				t.Fatalf("of %v none is recommended: %v", readable, err)
			}
			return
		}
		l.cluster.Recover = membership.Recovery{Member: survivor[:1]}
		seed := p.Member(l.members[slices.IndexFunc(l.members, func(m membership.Member) bool { return m.Name == survivor[:1] })])
		for _, s := range p.Voters() {
			if s.Member == seed.Member {
				continue
			}
			l.cluster.Recover.Abandons = append(l.cluster.Recover.Abandons, s.Name)
			if s.Unread != "" || s.Damaged != "" && (s.Term > seed.Term || s.Term == seed.Term && s.Index > seed.Index) {
				l.cluster.Recover.Loses = append(l.cluster.Recover.Loses, s.Name)
			}
		}
		if len(l.cluster.Recover.Loses) > 0 {
			gaveUp++
		}
		if first := l.planned().Steps[0]; first.Kind != membership.Recover {
			t.Fatalf("the plan begins with %s", first)
		}
		l.changeCutShort(t)
		for range 4 {
			if _, err = l.change(context.Background(), nil); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("it does not come to an end: %v", err)
		}
		recovered++
		expected, lost := 0, 0
		for _, w := range acknowledged {
			if !slices.ContainsFunc(w.by, func(name string) bool { return slices.Contains(readable, name) }) {
				expected += w.writes
			}
		}
		for _, text := range l.world.Lost(cluster) {
			var writes int
			if _, err := fmt.Sscanf(text, "%d writes", &writes); err != nil {
				t.Fatal(err)
			}
			lost += writes
		}
		if lost != expected {
			t.Fatalf("%d writes are lost, and %d were in no log that could be read: %v\n%v", lost, expected, l.world.Lost(cluster), strings.Join(l.progress, "\n"))
		}
		l.put()
	})
	if !testing.Short() && (recovered == 0 || gaveUp == 0) {
		t.Errorf("recovered %d times, %d of them with something given up: that shows little", recovered, gaveUp)
	}
}

// TestRecoveryWithoutRoomForACopy has a survivor whose disk cannot hold a copy of its data: nothing is changed until
// there is room.
func TestRecoveryWithoutRoomForACopy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := operations["recovered at another peer port"]
		l := o.begin(t)
		free := l.host("a").FreeBytes
		l.host("a").FreeBytes = 10 << 20
		if _, err := l.change(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "free some space") {
			t.Errorf("it says %v", err)
		}
		l.host("a").FreeBytes = free
		l.mustConverge(1)
	})
}

// TestRecoveryByAnOldList has a member of five be cut off while another one is replaced, and three lose power then. It
// alone answers, and has not heard of the replacement, which has acknowledged writes: these are not given up without a
// word, and the way on that the refusal names keeps them.
func TestRecoveryByAnOldList(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 5, nodetest.EtcdVersion)
		l.world.Lasting = false
		l.host("a").CutOff, l.host("a").Unreachable = true, errors.New("no route to host")
		l.host("e").PowerCut()
		l.world.Tick()
		l.want("a", "b", "c", "d", "e@16")
		if _, err := l.change(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		l.put()
		for _, name := range []string{"b", "c", "d"} {
			l.host(name).PowerCut()
		}
		l.host("e").StopUnit(cluster)
		l.host("a").CutOff, l.host("a").Unreachable = false, nil
		for range 3 {
			l.world.Tick()
		}
		refused := func(by membership.Recovery, says string) {
			t.Helper()
			l.cluster.Recover = by
			if _, err := plan.Change(l.look(), l.cluster.Spec); err == nil || !strings.Contains(err.Error(), says) {
				t.Fatalf("%+v: %v; it should say %q", by, err, says)
			}
		}
		refused(membership.Recovery{}, "e (192.0.2.16): it is not in the list of a, which has no quorum")
		refused(membership.Recovery{}, "stop a (systemctl stop etcd@prod on its host), and plan again")
		refused(membership.Recovery{Member: "a", Abandons: []string{"b", "c", "d", "e"}}, "e (192.0.2.16) has come further")
		l.host("a").StopUnit(cluster)
		refused(membership.Recovery{Member: "a", Abandons: []string{"b", "c", "d", "e"}}, `set recover_from.member to "e"`)
		refused(membership.Recovery{}, "highest term and index, e (192.0.2.16)")
		l.cluster.Recover = membership.Recovery{Member: "e", Abandons: []string{"a", "b", "c", "d"}}
		l.world.Forget()
		if _, err := l.change(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		// With one of those that nobody can see, a could be a quorum of the old cluster beside the new one.
		when := func(op api.Operation, name string) int {
			return slices.Index(l.world.Calls(), nodetest.Call{Address: l.host(name).Address, Operation: op})
		}
		if stopped, recovered := when(api.OpStop, "a"), when(api.OpRecover, "e"); stopped < 0 || stopped > recovered {
			t.Errorf("a, which is given up and runs, was stopped by call %d, and e was recovered by call %d", stopped, recovered)
		}
		for _, lost := range l.world.Lost(cluster) {
			t.Errorf("lost: %s", lost)
		}
	})
}
