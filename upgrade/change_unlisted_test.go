package upgrade_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// telling is a member's host whose member list a test changes before it arrives.
type telling struct {
	upgrade.Host
	list func([]api.ListedMember) []api.ListedMember
}

func (h telling) Call(ctx context.Context, store string, request api.Request, result any) error {
	err := h.Host.Call(ctx, store, request, result)
	switch answer := result.(type) {
	case *api.Observation:
		answer.Member.Members = h.list(answer.Member.Members)
	case *api.Member:
		answer.Members = h.list(answer.Members)
	}
	return err
}

// late returns lists as they were some answers ago.
func late(by int) func([]api.ListedMember) []api.ListedMember {
	var lists [][]api.ListedMember
	return func(now []api.ListedMember) []api.ListedMember {
		if lists = append(lists, now); len(lists) <= by {
			return now
		}
		return lists[len(lists)-1-by]
	}
}

// TestAListMayComeLate has the member by whose list members are told be late to tell it, as on a slow disk: changes of
// the list are confirmed, so that no step is taken for one without effect.
func TestAListMayComeLate(t *testing.T) {
	for _, by := range []int{1, 2, 5} {
		bubble(t, func(t *testing.T) {
			l := serving(t, 3, nodetest.EtcdVersion)
			l.want("a", "b", "c@21")
			steps := l.planned().Steps
			e := l.executor()
			for m, host := range e.Hosts {
				e.Hosts[m] = telling{host, late(by)}
			}
			if _, err := e.Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members, Approved: steps}); err != nil {
				t.Errorf("lists that are %d answers old: %v", by, err)
			}
			if n := strings.Count(strings.Join(l.progress, "\n"), " learner c"); n != 1 {
				t.Errorf("with lists that are %d answers old it was added %d times:\n%s", by, n, strings.Join(l.progress, "\n"))
			}
			l.mustBeAsDesired()
		})
	}
}

// TestAMemberThatServesIsKept has the list that counts lack a member that serves, and that is in its own list: a run
// that may do anything does not move its data aside, whether it is desired or not.
func TestAMemberThatServesIsKept(t *testing.T) {
	for name, desired := range map[string][]string{"desired": {"a", "b", "c"}, "leaving": {"a", "b", "d"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				c := l.host("c")
				l.want(desired...)
				e := l.executor()
				for m, host := range e.Hosts {
					if m.Name != "c" {
						e.Hosts[m] = telling{host, func(list []api.ListedMember) []api.ListedMember {
							return slices.DeleteFunc(slices.Clone(list), func(entry api.ListedMember) bool { return entry.Name == "c" })
						}}
					}
				}
				l.world.Forget()
				outcome, err := e.Change(context.Background(), upgrade.Order{Owner: l.owner, Members: l.members})
				for _, call := range l.world.Changes() {
					if call.Address == c.Address && (call.Operation == api.OpSetAside || call.Operation == api.OpRetire || call.Operation == api.OpStop) {
						t.Errorf("%v", call)
					}
				}
				if !slices.ContainsFunc(outcome.Deferred, func(d *membership.Refusal) bool {
					return d.Member == "c" && strings.Contains(d.Rule, "it serves, and the member list that the others tell lacks it")
				}) {
					t.Errorf("nothing says why: %v, %v", outcome.Deferred, err)
				}
			})
		})
	}
}
