package upgrade

import (
	"context"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// recover makes one member the whole of its cluster.
func (r *changeRun) recover(ctx context.Context, m membership.Member) error {
	seen := r.member(m)
	if r.Cluster.Recover.Member == "" {
		if err := r.quiet(ctx, m); err != nil {
			return err
		}
	}
	as, err := r.moveTo(ctx, m)
	if err != nil {
		return err
	}
	done, err := ask[api.Recovered](ctx, r.run, m, api.OpRecover, api.RecoverRequest{Owner: r.order.Owner, ClusterID: r.clusterID(), Term: seen.Term, Index: seen.Index, Timeout: stall})
	if err != nil {
		return err
	}
	r.Progress(fmt.Sprintf("%s: a copy of its data as it was lies in %s", m, done.Path))
	return r.moved(ctx, m, as)
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
	again, found := plan.Renumbered(now, r.Cluster.Spec)
	before, _ := plan.Renumbered(r.status, r.Cluster.Spec)
	if again.Sum, before.Sum = "", ""; !found || len(now.Mistakes) > 0 || again != before {
		return &membership.Refusal{Member: seed.Name, At: seed.Address, Rule: fmt.Sprintf("the others were stopped, and the logs are not as they were when it was chosen (then: %s; now: %s)", before.Why, again.Why),
			Remedy: "plan again"}
	}
	return nil
}

// moveTo configures a member that is to be recovered from for its new address, where it is to have another, since it could
// not listen on the old one; and with all that is desired, where what it runs by may be why it is down. Its marker keeps the
// URL that its list has, so that a run which goes on from here re-addresses it.
func (r *changeRun) moveTo(ctx context.Context, m membership.Member) (api.ConfigureRequest, error) {
	s, now := r.member(m), r.present(m)
	whole := plan.Misconfigured(r.status, r.Cluster.Spec, m)
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
