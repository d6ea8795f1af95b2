package upgrade

import (
	"context"
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// recover turns one member into the whole cluster.
func (r *changeRun) recover(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	seen := r.member(m)
	if r.Cluster.Recover.Member == "" {
		if err := r.stopOthers(ctx, m); err != nil {
			return err
		}
	} else if err := r.stopGivenUp(ctx, m); err != nil {
		return err
	}
	as, err := r.configureSeed(ctx, step)
	if err != nil {
		return err
	}
	done, err := ask[api.Recovered](ctx, r.run, m, api.OpRecover, api.RecoverRequest{Owner: r.order.Owner, ClusterID: r.clusterID(), Term: seen.Term, Index: seen.Index, Timeout: stall})
	if err != nil {
		return err
	}
	r.Progress(fmt.Sprintf("%s: a copy of its data as it was lies in %s", m, done.Path))
	return r.finishMove(ctx, step, as)
}

// stopOthers stops all other voters, so that none of them can commit anything more, and observes the logs again: they
// have to end as they did when the seed was chosen. The units are disabled, since after a reboot, or with the old
// addresses back, the other voters would be a quorum of the same cluster beside the recovered member.
func (r *changeRun) stopOthers(ctx context.Context, seed membership.Member) error {
	var run []membership.Member
	for _, s := range r.status.Voters() {
		if s.Member != seed {
			run = append(run, s.Member)
		}
	}
	if err := r.stopAll(ctx, run, ""); err != nil {
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
		return &membership.Refusal{Member: seed.Name, At: seed.Address, Rule: fmt.Sprintf("the other members were stopped, and the logs are not as they were when this member was chosen (then: %s; now: %s)", before.Why, again.Why),
			Remedy: "plan again"}
	}
	return nil
}

// stopGivenUp stops and disables the voters that are given up, and can be asked: with one that nobody can see they may
// be a quorum of the same cluster, beside the recovered member. Their data is moved aside later.
func (r *changeRun) stopGivenUp(ctx context.Context, survivor membership.Member) error {
	var run []membership.Member
	for _, s := range r.status.Voters() {
		o := r.reports[s.Member].Observation
		if s.Member != survivor && r.reports[s.Member].Err == nil && o != nil && o.Unit.Text != "" {
			run = append(run, s.Member)
		}
	}
	return r.stopAll(ctx, run, ", which is given up (if that cannot be done, switch its host off and name it in abandons)")
}

// stopAll stops and disables members that do not serve, and that no recovery starts again. An error says who they are.
func (r *changeRun) stopAll(ctx context.Context, members []membership.Member, who string) error {
	if err := inParallel(members, func(m membership.Member) error {
		if err := r.stopFailing(ctx, m, true); err != nil {
			return fmt.Errorf("stop %s%s: %w", m, who, err)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, m := range members {
		r.ended = append(r.ended, r.member(m).ID)
	}
	return nil
}

// forgetEnded takes the members out of reports that this run has ended. If their machines have lost the addresses that
// peers know, no packet says so to a peer, which counts its connection on for minutes.
func (r *changeRun) forgetEnded(seen bootstrap.Reports) {
	for _, report := range seen {
		if o := report.Observation; o != nil {
			o.Member.Connected = slices.DeleteFunc(o.Member.Connected, func(id string) bool { return slices.Contains(r.ended, id) })
		}
	}
}

// configureSeed configures the member to recover from: for its new address, if it gets one, since it could not listen
// on the old address; and with everything desired if its current configuration may be why it is down. No certificate is
// signed for one that keeps its own. Its marker keeps the URL in the member list, so that a resumed run re-addresses
// it.
func (r *changeRun) configureSeed(ctx context.Context, step membership.Step) (api.ConfigureRequest, error) {
	m := step.Subject()
	s, now := r.member(m), r.currentConfiguration(m)
	whole := plan.Misconfigured(r.status, r.Cluster.Spec, m)
	there := s.From == "" || api.FlagValue(now.Flags, "initial-advertise-peer-urls") == r.Cluster.PeerURL(m)
	keys := r.keysFor(step)
	if s.From != "" {
		keys = r.Cluster.Peering(step.Named, "").BothNames(m, s.From)
	}
	if step.Keeps {
		keys = nil
	}
	switch {
	case there && !whole && step.Keeps && s.Invalid == "":
		return now, nil
	case there && !whole && step.Keeps: // without its list of revoked certificates, it would let nobody in
		now.Certificates = r.Cluster.Rechained(m, r.order.Owner, r.reports)
		return now, r.write(ctx, m, now)
	case there && !whole:
		return now, r.issueFor(ctx, step, now, keys)
	}
	request, err := r.readdressedRequest(step, now, whole)
	if err != nil {
		return request, err
	}
	request.Marker.InitialCluster = now.Marker.InitialCluster
	return request, r.issueFor(ctx, step, request, keys)
}

// finishMove updates the address of the recovered member in its own list, and removes the old address from its
// certificates.
func (r *changeRun) finishMove(ctx context.Context, step membership.Step, as api.ConfigureRequest) error {
	m := step.Subject()
	s := r.member(m)
	if s.From == "" {
		return nil
	}
	if err := r.tell(ctx, m, api.OpUpdateMember, api.UpdateMemberRequest{Owner: r.order.Owner, ID: s.ID, PeerURL: r.Cluster.PeerURL(m), Timeout: retryTimeout}); err != nil {
		return err
	}
	return r.issue(ctx, step, as)
}
