package upgrade

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// A cluster whose machines have lost the addresses that its members know each other by has no quorum to change its list
// with. All members are there, and can be asked by their new addresses; so it can be told that nothing is lost.

// renumbered is the recovery of a cluster that was renumbered as a whole, or so much of it that the rest is no quorum: the
// member whose log ends last becomes the cluster, at its new address, and the others join it anew. It is taken without
// being asked for where the log of every voter was read, so that no write can be lost by it, and where nothing but the
// addresses keeps the members from each other: what else they suffer from, or differ in, is for the user to decide on.
func renumbered(p membership.ClusterStatus, want membership.Spec) (membership.Step, bool) {
	voters := p.Voters()
	lost := lacking(p)
	if p.Corrupt || len(p.Unseen) > 0 || len(voters) < p.Size() || len(lost) == 0 || len(voters)-len(lost) >= membership.Quorum(len(voters)) {
		return membership.Step{}, false
	}
	for _, s := range voters {
		if !survives(s) || !ranked(s) || s.Damaged != "" || s.Corrupt || s.Differs || s.Failed != "" || s.Looping && (!s.Gone || s.Moved) {
			return membership.Step{}, false
		}
	}
	seed := slices.MaxFunc(voters, compareSeeds)
	if compareLogs(slices.MaxFunc(voters, compareLogs), seed) > 0 || !seeds(seed) || slices.ContainsFunc(voters, func(s membership.MemberStatus) bool { return s.Had > seed.Index }) {
		return membership.Step{}, false
	}
	if step, found := armed(p, want, seed); found {
		return step, true
	}
	var others []string
	for _, s := range voters {
		if s.Member != seed.Member {
			others = append(others, fmt.Sprintf("%s (term %d, index %d)", s.Name, s.Term, s.Index))
		}
	}
	recover := step(membership.Recover, seed)
	recover.Why = fmt.Sprintf("up to term %d, index %d; %s join it anew, their data moved aside; all logs were read, and none ends later, so that no acknowledged write is lost; "+
		"the members cannot reach each other, since their machines lack the addresses that the cluster knows: %s", seed.Term, seed.Index, strings.Join(others, ", "), strings.Join(lost, ", "))
	return recover, true
}

// seeds tells whether a member can be the whole cluster with no more than another address.
func seeds(s membership.MemberStatus) bool { return s.Desired && !s.Behind && !s.Storeless }

// compareSeeds prefers whoever can be the cluster, then the one whose log ends last, then one that is at its address.
func compareSeeds(a, b membership.MemberStatus) int {
	return cmp.Or(compareTrue(seeds(a), seeds(b)), compareLogs(a, b), compareTrue(a.From == "", b.From == ""))
}

// lacking are the members whose machines have lost the addresses that the cluster knows.
func lacking(p membership.ClusterStatus) (all []string) {
	for _, s := range p.Voters() {
		if s.Gone && !s.Moved {
			all = append(all, fmt.Sprintf("%s (%s)", s.Name, membership.HostOf(s.From)))
		}
	}
	return all
}

// quiet stops all other voters, so that none of them can agree on anything more, and looks once more: the logs have to
// end as they did when the member was chosen. Their units are disabled: with the old addresses back, and after a reboot,
// they would be a quorum of the same cluster beside the member that is the whole of it by then.
func (r *changeRun) quiet(ctx context.Context, seed membership.Member) error {
	var run []membership.Member
	for _, s := range r.status.Voters() {
		if s.Member != seed {
			run = append(run, s.Member)
		}
	}
	if err := together(run, func(m membership.Member) error {
		if err := r.stopFailing(ctx, m, true); err != nil {
			return fmt.Errorf("stop %s: %w", m, err)
		}
		return nil
	}); err != nil {
		return err
	}
	r.look(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := r.assessed()
	again, found := renumbered(now, r.Cluster.Spec)
	before, _ := renumbered(r.status, r.Cluster.Spec)
	if again.Sum, before.Sum = "", ""; !found || len(now.Mistakes) > 0 || again != before {
		return &membership.Refusal{Member: seed.Name, At: seed.Address, Rule: fmt.Sprintf("the others were stopped, and the logs are not as they were when it was chosen (then: %s; now: %s)", before.Why, again.Why),
			Remedy: "plan again"}
	}
	return nil
}

// moveTo configures a member that is to be recovered from for its new address, where it is to have another, since it could
// not listen on the old one; and with all that is wanted, where what it runs by may be why it is down. Its marker keeps the
// URL that its list has, so that a run which goes on from here re-addresses it.
func (r *changeRun) moveTo(ctx context.Context, m membership.Member) (api.ConfigureRequest, error) {
	s, now := r.member(m), r.present(m)
	whole := (&planner{ClusterStatus: r.status, want: r.Cluster.Spec}).misconfigured(s)
	there := s.From == "" || api.FlagValue(now.Flags, "initial-advertise-peer-urls") == r.Cluster.PeerURL(m)
	keys := r.Cluster.Keys(m)
	if s.From != "" {
		keys = r.Cluster.BothNames(m, s.From)
	}
	switch {
	case there && !whole && s.Invalid == "":
		return now, nil
	case there && !whole:
		return now, r.name(ctx, m, now, keys)
	}
	request, err := r.elsewhere(m, now, whole)
	if err != nil {
		return request, err
	}
	request.Marker.InitialCluster = now.Marker.InitialCluster
	return request, r.name(ctx, m, request, keys)
}

// moved has the list of a member that is alone by now say where it is, and its certificates name no other address.
func (r *changeRun) moved(ctx context.Context, m membership.Member, as api.ConfigureRequest) error {
	s := r.member(m)
	if s.From == "" {
		return nil
	}
	if err := r.tell(ctx, m, api.OpUpdateMember, api.UpdateMemberRequest{Owner: r.order.Owner, ID: s.ID, PeerURL: r.Cluster.PeerURL(m), Timeout: patience}); err != nil {
		return err
	}
	return r.name(ctx, m, as, r.Cluster.Keys(m))
}
