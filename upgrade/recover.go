package upgrade

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// recovery is the named way out of a lost quorum: one survivor becomes the whole cluster, and the others join
// it anew. It is taken only where there is no other, and only by who names what is given up: every other voter.
// Any of them may hold writes that the survivor never heard of, or, where its host cannot be asked, serve clients
// at this very moment.
func recovery(p membership.Picture, want membership.Spec) (membership.Step, error) {
	if want.Recover.Member == "" || quorumInReach(p) == nil {
		return membership.Step{}, nil
	}
	refuse := func(rule, remedy string) (membership.Step, error) {
		return membership.Step{}, &membership.Refusal{Member: want.Recover.Member, Rule: rule, Remedy: remedy}
	}
	able := func(s membership.Seat) bool {
		return s.Role == membership.Voter && (s.State == membership.Failing || s.State == membership.Stopped)
	}
	seed, found := first(p.Seats, func(s membership.Seat) bool { return s.Wanted && s.Name == want.Recover.Member && able(s) })
	if !found {
		return refuse("the cluster cannot be recovered from it: it is no voter at its address that has its data", "name a survivor in recover_from.member")
	}
	var others []string
	for _, s := range p.Voters() {
		if s.Member == seed.Member {
			continue
		}
		others = append(others, s.Name)
		if able(s) && cmp.Or(cmp.Compare(s.Term, seed.Term), cmp.Compare(s.Index, seed.Index)) > 0 {
			return refuse(fmt.Sprintf("the cluster is not recovered from it: %s has come further (term %d, index %d, against term %d, index %d)", s, s.Term, s.Index, seed.Term, seed.Index),
				fmt.Sprintf("set recover_from.member to %q", s.Name))
		}
	}
	slices.Sort(others)
	if named := slices.Sorted(slices.Values(want.Recover.Abandons)); !slices.Equal(named, others) {
		return refuse(fmt.Sprintf("the cluster is not recovered from it: that gives up the other voters, %s, and recover_from.abandons names %s", strings.Join(others, ", "), strings.Join(named, ", ")),
			"name exactly the voters that are given up, once it is certain that none of them serves anybody any more")
	}
	recover := step(membership.Recover, seed)
	recover.Why = strings.Join(others, ", ") + " are given up, and join anew"
	return recover, nil
}

// recovered is what a recovery makes of a cluster: a voter alone, and hosts with what is left of the others.
func recovered(p *membership.Picture, seed membership.Member) {
	for i := range p.Seats {
		s := &p.Seats[i]
		if s.Member == seed {
			s.State, s.Unsettled, s.Why = membership.Serving, true, ""
			p.Leader = s.ID
			continue
		}
		s.Role, s.ID, s.Started = membership.Absent, "", false
	}
	p.Strangers, p.Saved = nil, false
}

// recoveryTimeout bounds the wait for a member to come up alone, once its data was copied.
const recoveryTimeout = 5 * time.Minute

// recover makes one member the whole of its cluster.
func (l *living) recover(ctx context.Context, m membership.Member) error {
	done, err := ask[api.Recovered](ctx, l.work, m, api.OpRecover, api.RecoverRequest{Owner: l.order.Owner, ClusterID: l.clusterID(), Timeout: recoveryTimeout})
	if err == nil {
		l.Progress(fmt.Sprintf("%s (%s): a copy of its data as it was lies in %s", m.Name, m.Address, done.Path))
	}
	return err
}
