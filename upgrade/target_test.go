package upgrade_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// overheard is a member's host whose calls a test records.
type overheard struct {
	upgrade.Host
	heard func(api.Request)
}

func (o overheard) Call(ctx context.Context, store string, request api.Request, result any) error {
	o.heard(request)
	return o.Host.Call(ctx, store, request, result)
}

func (o overheard) Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error {
	o.heard(request)
	return o.Host.Upload(ctx, store, request, content, result)
}

// TestEveryCallSaysWhomItMeans holds that each call that changes a host, in every kind of run, names the machine that
// was observed there and the member that the call is for.
func TestEveryCallSaysWhomItMeans(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		heard := map[api.Operation]bool{}
		overhear := func(e *upgrade.Executor, world *nodetest.World) *upgrade.Executor {
			for m := range e.Hosts {
				host := world.Host(m.Address)
				e.Hosts[m] = overheard{e.Hosts[m], func(r api.Request) {
					mu.Lock()
					defer mu.Unlock()
					if r.Operation.ReadOnly() || r.Operation == api.OpSave {
						return
					}
					heard[r.Operation] = true
					if r.Target == nil || r.Target.MachineID != host.MachineID || r.Target.For != m.Name {
						t.Errorf("%s on the host of %s means %+v", r.Operation, m, r.Target)
					}
				}}
			}
			return e
		}
		l := serving(t, 3, nodetest.EtcdVersion)
		change := func() {
			t.Helper()
			if _, err := overhear(l.executor(), l.world).Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members}); err != nil {
				t.Fatal(err)
			}
			l.members = slices.Clone(l.cluster.Members)
		}
		l.set("quota-backend-bytes", "8589934592")
		change()
		l.want("a", "b", "c@21")
		change()
		l.readdress("b", "52", false)
		change()
		l.world.Waive(nodetest.NothingListed, nodetest.KeepQuorum, nodetest.LeaderMoves)
		if err := overhear(l.executor(), l.world).Retire(context.Background(), plan.Retirement{Owner: l.owner}); err != nil {
			t.Fatal(err)
		}
		for _, op := range []api.Operation{api.OpPrepare, api.OpConfigure, api.OpStart, api.OpRestart, api.OpSnapshot, api.OpAddLearner, api.OpPromote, api.OpRemoveMember, api.OpUpdateMember, api.OpRetire} {
			if !heard[op] {
				t.Errorf("nobody has called %s, which shows nothing of it", op)
			}
		}
		for _, m := range l.cluster.Members {
			if left := l.world.Host(m.Address).Marker(cluster); left != nil {
				t.Errorf("%s carries %s yet", m, left.Member)
			}
		}
	})
}
