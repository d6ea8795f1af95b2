package upgrade_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// route is a way to a host, that may lead to another one from some call on.
type route struct {
	to func(changes bool) upgrade.Host // for a call that changes the host, or another
}

func (r route) Contact(ctx context.Context, cluster string, ask api.ObserveRequest) (api.Contact, error) {
	return r.to(false).Contact(ctx, cluster, ask)
}
func (r route) Install(ctx context.Context, store string) error {
	return r.to(false).Install(ctx, store)
}
func (r route) Call(ctx context.Context, store string, request api.Request, result any) error {
	return r.to(!request.Operation.ReadOnly()).Call(ctx, store, request, result)
}
func (r route) Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error {
	return r.to(!request.Operation.ReadOnly()).Upload(ctx, store, request, content, result)
}
func (r route) Download(ctx context.Context, store string, request api.Request, content io.Writer, result any) error {
	return r.to(!request.Operation.ReadOnly()).Download(ctx, store, request, content, result)
}
func (r route) Lock(ctx context.Context, store, cluster string, holder api.Holder) (context.Context, func(), error) {
	return r.to(false).Lock(ctx, store, cluster, holder)
}

// swapped is an executor by whose routes two members' hosts have changed places once so many calls that change either
// were made: at 0 from the start.
func (l *life) swapped(a, b membership.Member, after int) *upgrade.Executor {
	e, calls := l.executor(), atomic.Int64{}
	for _, m := range []membership.Member{a, b} {
		here, there := l.world.Host(m.Address), l.world.Host(b.Address)
		if m == b {
			there = l.world.Host(a.Address)
		}
		e.Hosts[m] = route{func(changes bool) upgrade.Host {
			if changes {
				calls.Add(1)
			}
			if after == 0 || calls.Load() >= int64(after) {
				return there
			}
			return here
		}}
	}
	return e
}

// TestRoutesThatAreSwapped swaps the routes to two members' hosts, before a change or in the middle of it: nothing is
// done to either host in the other's name, the change says so, and once they are put right it goes on, with no write
// lost.
func TestRoutesThatAreSwapped(t *testing.T) {
	sample.CheckInBubble(t, 60, func(rt *rapid.T) {
		l := living(rt, rapid.SampledFrom([]int{3, 5}).Draw(rt, "members"), nodetest.EtcdVersion)
		names := rapid.Permutation(l.cluster.Members).Draw(rt, "members")
		switch rapid.IntRange(0, 3).Draw(rt, "change") {
		case 0:
			l.set("quota-backend-bytes", "8589934592")
		case 1:
			l.world.Host(names[0].Address).StopUnit(cluster)
		case 2:
			l.world.Host(names[1].Address).LoseData(dir)
		case 3:
			l.want("a@21", "b", "c")
		}
		after := rapid.IntRange(0, 6).Draw(rt, "after")
		e := l.swapped(names[0], names[1], after)
		e.Progress = func(string) {}
		outcome, err := e.Change(context.Background(), upgrade.Order{Owner: l.owner, Seats: l.seats})
		if after == 0 && (err == nil || !strings.Contains(err.Error(), "leads to the machine of member") || len(outcome.Done) > 0) {
			rt.Errorf("with the routes swapped: %v\n%s", err, texts(outcome.Done))
		}
		for _, m := range names {
			if marker := l.world.Host(m.Address).Marker(cluster); marker != nil && marker.Member != m.Name {
				rt.Errorf("after %v the host of %s carries %s", err, m.Name, marker.Member)
			}
		}
		for range 3 {
			l.world.Tick()
		}
		l.mustConverge(3)
	})
}

// TestASecondAddressOfAMachine wants a member at a second address of the machine that it is on, and takes that back:
// both are plans of nothing, or refused; and never is the machine cleared by its second address.
func TestASecondAddressOfAMachine(t *testing.T) {
	for _, unreachable := range []bool{false, true} {
		t.Run(fmt.Sprintf("first unreachable %t", unreachable), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := living(t, 3, nodetest.EtcdVersion)
				c := l.cluster.Members[2]
				second := membership.Member{Name: "c", Address: "192.0.2.20"}
				by := func() *upgrade.Executor {
					e := l.executor()
					e.Hosts[second] = l.world.Host(c.Address)
					if unreachable {
						e.Hosts[c] = l.world.Host("192.0.2.22") // which answers, or not, and carries nothing
						l.world.Host("192.0.2.22").Unreachable = fmt.Errorf("no route to host")
					}
					return e
				}
				seats := append([]membership.Member{second}, l.seats...)
				l.world.Forget()
				for _, wanted := range []membership.Member{second, c} {
					l.cluster.Members[2] = wanted
					e := by()
					e.Cluster = l.cluster
					outcome, err := e.Change(context.Background(), upgrade.Order{Owner: l.owner, Seats: seats})
					if wanted == second && (err == nil || !strings.Contains(err.Error(), "this is another address of the machine that carries c already")) {
						t.Errorf("c at its second address: %v\n%s", err, texts(outcome.Done))
					}
					if wanted == c && (err != nil || len(outcome.Done) > 0) {
						t.Errorf("taken back: %v\n%s", err, texts(outcome.Done))
					}
				}
				for _, call := range l.world.Changes() {
					t.Errorf("a host was changed: %s %s", call.Address, call.Operation)
				}
			})
		})
	}
}
