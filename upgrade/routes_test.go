package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// route is a route to a host that may lead to another host from some call on.
type route struct {
	to func(changes bool) upgrade.Host // for a call that changes the host, or another
}

func (r route) Contact(ctx context.Context, cluster string, ask api.ObserveRequest) (api.Contact, error) {
	return r.to(false).Contact(ctx, cluster, ask)
}
func (r route) Install(ctx context.Context, cluster, store string, target api.Target) error {
	return r.to(false).Install(ctx, cluster, store, target)
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

// swapped is an executor whose routes to two members' hosts are exchanged after this many calls that change either
// host; 0: from the start.
func (l *life) swapped(a, b membership.Member, after int) *upgrade.Executor {
	return l.misled(after, map[membership.Member]*nodetest.Host{a: l.world.Host(b.Address), b: l.world.Host(a.Address)})
}

// misled is an executor whose routes to some members' hosts lead to other hosts after this many calls that change any
// of them; 0: from the start.
func (l *life) misled(after int, to map[membership.Member]*nodetest.Host) *upgrade.Executor {
	e, calls := l.executor(), atomic.Int64{}
	for m, there := range to {
		here := l.world.Host(m.Address)
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

// TestRoutesThatAreSwapped exchanges the routes to two members' hosts, before a change or in the middle of it: the run
// changes neither host in the other's name, and says so. Once the routes are right, the change continues, and no write
// is lost.
func TestRoutesThatAreSwapped(t *testing.T) {
	sample.CheckInBubble(t, 60, func(rt *rapid.T) {
		l := serving(rt, rapid.SampledFrom([]int{3, 5}).Draw(rt, "members"), nodetest.EtcdVersion)
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
		outcome, err := e.Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members})
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

// TestAMachineThatWasReplacedJustNow has an apply whose plan could not show its steps find a bare machine in a member's
// place, while others still count connections with the member. The run looks again, and refuses what persists.
func TestAMachineThatWasReplacedJustNow(t *testing.T) {
	for name, test := range map[string]struct {
		replaced bool
		lingers  time.Duration
		blinks   bool // a look in between shows no connection
		refused  bool
	}{
		"no machine was replaced":          {},
		"no connection lingers":            {replaced: true},
		"they end within the patience":     {replaced: true, lingers: 20 * time.Second},
		"they are made anew in between":    {replaced: true, lingers: 20 * time.Second, blinks: true},
		"they persist, or the way is off":  {replaced: true, lingers: 165 * time.Second, refused: true},
		"they persist, and one look fails": {replaced: true, lingers: 165 * time.Second, blinks: true, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				gone := l.host("c")
				lingering := []string{gone.Marker(cluster).MemberID}
				if test.replaced {
					l.world.Lingering = lingering
					gone.Wipe()
				}
				l.world.Tick()
				l.world.Forget()
				begun, acted := time.Now(), time.Time{}
				l.world.Watch = func(c nodetest.Call) {
					switch passed := time.Since(begun); {
					case passed >= test.lingers, test.blinks && passed.Truncate(time.Second) == 10*time.Second:
						l.world.Lingering = nil
					default:
						l.world.Lingering = lingering
					}
					if acted.IsZero() && c.Operation == api.OpLock {
						acted = time.Now()
					}
				}
				_, err := l.change(context.Background(), nil)
				if acted.IsZero() { // there was nothing to do
					acted = time.Now()
				}
				switch took := acted.Sub(begun); {
				case test.refused:
					if err == nil || !strings.Contains(err.Error(), "c (192.0.2.13): its address leads to a machine that carries nothing of it, while the member has connections with a, b") ||
						len(l.world.Changes()) > 0 || time.Since(begun) < 30*time.Second || time.Since(begun) > 35*time.Second {
						t.Fatalf("after %s: %v, %v", time.Since(begun), err, l.world.Changes())
					}
				case err != nil:
					t.Fatal(err)
				case took < test.lingers || took > test.lingers+3*time.Second, test.lingers == 0 && took > 0:
					t.Fatalf("it took %s to begin", took)
				default:
					l.mustBeAsDesired()
				}
			})
		})
	}
}

// TestAnotherMachineThanPlanned has another machine answer at a member's address than when the change was planned: the
// run is refused before it changes any host, and the next plan decides anew. A plan that saw no machine there, as one
// whose address was not known, refuses none.
func TestAnotherMachineThanPlanned(t *testing.T) {
	passed := func(l *life) {
		l.world.LoseAddress("192.0.2.21")
		l.world.Pass("192.0.2.21", "192.0.2.22")
	}
	for name, test := range map[string]struct {
		happen func(*life)
		unseen bool // the plan saw no machine at the new address
		at     membership.Member
	}{
		"as planned":                             {happen: func(*life) {}},
		"another bare one":                       {happen: passed, at: membership.Member{Name: "c", Address: "192.0.2.21"}},
		"another bare one, not seen by the plan": {happen: passed, unseen: true},
		"a clone with the member's data":         {happen: func(l *life) { l.host("b").MachineID = "of the clone" }, at: membership.Member{Name: "b", Address: "192.0.2.12"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.want("a", "b", "c@21")
				order := upgrade.Order{Owner: l.owner, Members: l.members, Approved: l.planned().Steps}
				order.Machines = l.executor().Observe(context.Background(), append(slices.Clone(l.members), l.cluster.Members[2])).Machines()
				if test.unseen {
					delete(order.Machines, l.cluster.Members[2])
				}
				was := order.Machines[test.at]
				test.happen(l)
				l.world.Forget()
				_, err := l.executor().Change(context.Background(), order)
				if test.at == (membership.Member{}) {
					if err != nil {
						t.Fatal(err)
					}
					l.members = slices.Clone(l.cluster.Members)
					l.mustBeAsDesired()
					return
				}
				var refusal *membership.Refusal
				says := fmt.Sprintf("another machine than at the time of the plan (the machine ID is %s, and was %s)", l.world.Host(test.at.Address).MachineID, was)
				if !errors.As(err, &refusal) || !refusal.Outdated || refusal.Member != test.at.Name || refusal.At != test.at.Address || !strings.Contains(refusal.Rule, says) {
					t.Errorf("change: %v\nwant %q", err, says)
				}
				if changes := l.world.Changes(); len(changes) > 0 {
					t.Errorf("hosts were changed: %v", changes)
				}
				l.mustConverge(1)
			})
		})
	}
}

// TestARouteToABareMachine has the route to a member's host lead to a bare machine, before a change or in the middle of
// it, while the member runs: it is not taken for dead, and nothing is done on the bare machine. Once the route is
// right, the change continues, and no write is lost.
func TestARouteToABareMachine(t *testing.T) {
	sample.CheckInBubble(t, 60, func(rt *rapid.T) {
		l := serving(rt, rapid.SampledFrom([]int{3, 5}).Draw(rt, "members"), nodetest.EtcdVersion)
		names := rapid.Permutation(l.cluster.Members).Draw(rt, "members")
		switch rapid.IntRange(0, 4).Draw(rt, "change") {
		case 0:
			l.set("quota-backend-bytes", "8589934592")
		case 1:
			l.world.Host(names[1].Address).StopUnit(cluster)
		case 2:
			l.world.Host(names[1].Address).LoseData(dir)
		case 3:
			l.want("a@21", "b", "c")
		}
		after, bare := rapid.IntRange(0, 6).Draw(rt, "after"), l.world.Host("192.0.2.22")
		e := l.misled(after, map[membership.Member]*nodetest.Host{names[0]: bare})
		e.Progress = func(string) {}
		outcome, err := e.Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members})
		if after == 0 && (err == nil || !strings.Contains(err.Error(), "carries nothing of it, while the member has connections with") || len(outcome.Done) > 0) {
			rt.Errorf("with the route to %s misled: %v\n%s", names[0], err, texts(outcome.Done))
		}
		for _, step := range outcome.Done {
			if step.Subject() == names[0] && strings.HasPrefix(step.Why, "dead") {
				rt.Errorf("after %v it has done: %s", err, step)
			}
		}
		if left := bare.Leftovers(cluster, dir); len(left) > 0 {
			rt.Errorf("after %v the bare machine carries %v", err, left)
		}
		for range 3 {
			l.world.Tick()
		}
		l.mustConverge(3)
	})
}

// TestASecondAddressOfAMachine holds that a second address of a machine is no second member. If the configuration names
// that address, the member is re-addressed and keeps its ID, and so on the way back; the machine is never retired by
// its other address.
func TestASecondAddressOfAMachine(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("the other address lost %t", lost), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				c := l.cluster.Members[2]
				second := membership.Member{Name: "c", Address: "192.0.2.53"}
				l.world.Readdress(c.Address, second.Address)
				l.members = append(l.members, second)
				id := l.host("c").Marker(cluster).MemberID
				l.mustBeDone()
				l.members = append(l.members, second)
				for i, desired := range []membership.Member{second, c, second} {
					l.cluster.Members = append(slices.Clone(l.cluster.Members[:2]), desired)
					if lost && i == 0 {
						l.world.LoseAddress(c.Address)
					}
					if lost && i == 1 {
						break
					}
					outcome := l.mustChange()
					if done := texts(outcome.Done); strings.Count(done, "readdress c") != 1 || strings.Contains(done, "learner") || strings.Contains(done, "retire") {
						t.Errorf("c wanted at %s:\n%s", desired.Address, done)
					}
					if now := l.host("c").Marker(cluster).MemberID; now != id {
						t.Errorf("c is %s by now, and was %s", now, id)
					}
				}
			})
		})
	}
}

// TestReaddressIsPutBack gives a member an address at which it does not come up: the member is put back to its old
// address.
func TestReaddressIsPutBack(t *testing.T) {
	for _, members := range []int{1, 3} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, members, nodetest.EtcdVersion)
				l.readdress("a", "51", false)
				l.world.Watch = func(c nodetest.Call) {
					if c.Operation == api.OpRestart { // removed between observation and restart
						l.world.Watch = nil
						l.world.LoseAddress("192.0.2.51")
					}
				}
				_, err := l.change(context.Background(), l.planned().Steps)
				for _, want := range []string{"readdress a (192.0.2.51)", "was rolled back to 192.0.2.11, where it is healthy", "cannot assign requested address"} {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not said: %v", want, err)
					}
				}
				l.put()
				l.world.Readdress("192.0.2.11", "192.0.2.51")
				l.mustConverge(1)
			})
		})
	}
}

// TestReaddressThatIsPutBackEnds takes a change of an address back that has failed: the member's certificates name its
// old address alone, and nothing is left to do. Where they could not be signed, the error says so, and the next plan
// renews them.
func TestReaddressThatIsPutBackEnds(t *testing.T) {
	for name, test := range map[string]struct {
		at    api.Operation // what fails: the restart, or the host refuses what the member is to run by
		signs int           // how many certificates are signed; 0: all
		left  string
	}{
		"rolled back":           {api.OpRestart, 0, ""},
		"refused":               {api.OpConfigure, 0, ""},
		"rolled back, unsigned": {api.OpRestart, 3, "[renew certificates of a (192.0.2.11): its peer certificate names 192.0.2.51, and should not; with new keys, loaded without a restart]"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.readdress("a", "51", false)
				if test.at == api.OpConfigure { // the first one gives it certificates that name both addresses
					l.world.Inject(nodetest.Fault{Operation: api.OpConfigure, Nth: 2, Err: &api.Error{Code: api.CodeRefused, Message: "it does not know a flag"}})
				}
				l.world.Watch = func(c nodetest.Call) {
					if c.Operation == api.OpRestart && test.at == api.OpRestart {
						l.world.Watch = nil
						l.world.LoseAddress("192.0.2.51")
					}
				}
				signer := l.signer
				if test.signs > 0 {
					l.signer = &tiring{Signer: signer, left: test.signs}
				}
				_, err := l.change(context.Background(), l.planned().Steps)
				if says := "Its certificates go on naming both addresses, until the next apply renews them"; err == nil || strings.Contains(err.Error(), says) != (test.signs > 0) {
					t.Fatalf("it says: %v", err)
				}
				l.signer = signer
				l.world.Heal()
				l.want("a@11", "b", "c")
				if left := l.planned().Steps; test.left == "" && len(left) > 0 || test.left != "" && fmt.Sprint(left) != test.left {
					t.Errorf("left to do: %v", left)
				}
				l.mustConverge(1)
			})
		})
	}
}

// TestAnAddressThatAMemberLeaves gives a member another address, and its old address to a new host. The new host is not
// taken for the old member, and joins once the list has the old member at its new address.
func TestAnAddressThatAMemberLeaves(t *testing.T) {
	for name, test := range map[string]struct {
		members int
		passed  string // the host that is given it
		want    []string
	}{
		"to a new member":            {3, "192.0.2.20", []string{"a", "b", "c@51", "d@13", "e@21"}},
		"to a new member of seven":   {5, "192.0.2.20", []string{"a", "b", "c@51", "d", "e", "f@13", "g@21"}},
		"to the new host of another": {3, "192.0.2.20", []string{"a", "b@13", "c@51"}},
		"to another's machine":       {5, "192.0.2.14", []string{"a", "b", "c@51", "d@13", "e"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, test.members, nodetest.EtcdVersion)
				l.world.Readdress("192.0.2.13", "192.0.2.51")
				l.world.LoseAddress("192.0.2.13")
				l.world.Pass("192.0.2.13", test.passed)
				l.want(test.want...)
				l.mustChange()
				l.mustBeAsDesired()
			})
		})
	}
}

// TestAddressesThatAreSwapped has two running members exchange their addresses, which etcd's member list cannot
// express: the plan says so, and leaves both as they are. By a third address the exchange takes two changes.
func TestAddressesThatAreSwapped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 5, nodetest.EtcdVersion)
		l.world.Readdress("192.0.2.14", "192.0.2.61")
		l.world.Readdress("192.0.2.15", "192.0.2.62")
		l.world.LoseAddress("192.0.2.14")
		l.world.LoseAddress("192.0.2.15")
		l.world.Pass("192.0.2.15", "192.0.2.61")
		l.world.Pass("192.0.2.14", "192.0.2.62")
		l.want("a", "b", "c", "d@15", "e@14")
		plan, err := plan.Change(l.look(), l.cluster.Spec)
		if err != nil || len(plan.Deferred) == 0 || !strings.Contains(fmt.Sprint(plan.Deferred), "the member list has e at this address until that is re-addressed; give one of the two another address") {
			t.Errorf("%v\n%s\ndeferred: %v", err, texts(plan.Steps), plan.Deferred)
		}
		for _, step := range plan.Steps {
			if step.Kind == membership.Readdress {
				t.Errorf("it plans to %s", step)
			}
		}
		// By a third address it works.
		l.world.Readdress("192.0.2.15", "192.0.2.63")
		for _, d := range []string{"d@63", "d@15"} {
			l.want("a", "b", "c", d, "e@14")
			l.mustConverge(1)
		}
	})
}
