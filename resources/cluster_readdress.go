package resources

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// A new address of a member is another host, which replaces its own, or another address of its own, on which it is re-addressed.
// Which of the two, the machine alone tells: a plan looks there.

// lookForMoves looks at the new addresses of members and reports those that are of the very machines that the members are on. It
// reads only. What it sees is no value of the plan: Terraform plans again during the apply, when those hosts may be otherwise.
func (r *clusterResource) lookForMoves(ctx context.Context, plan, config, state clusterModel, private privateState) (found bootstrap.Sight, diags diag.Diagnostics) {
	before, diags := state.memberModels(ctx)
	members, d := plan.memberModels(ctx)
	diags.Append(d...)
	last, known, d := lastSight(ctx, private)
	diags.Append(d...)
	if config.DataDir.IsNull() {
		plan.DataDir = state.DataDir
	}
	plan.EtcdVersion = state.EtcdVersion
	asked := plan.PreflightAtPlan.IsNull() || plan.PreflightAtPlan.ValueBool()
	if diags.HasError() || members == nil || !known || !asked ||
		slices.ContainsFunc([]attr.Value{plan.Name, plan.DataDir, plan.ClientPort, plan.PeerPort, plan.MetricsPort}, attr.Value.IsUnknown) {
		return nil, diags
	}
	dropStrangers(before)
	look, seen := routes{}, last.reports()
	for name, m := range members {
		old, there := before[name]
		_, looked := seen[m.seat(name)]
		if there && !looked && !m.Address.IsUnknown() && !m.Address.Equal(old.Address) && m.wayKnown() {
			look[m.seat(name)] = m.reach()
		}
	}
	if len(look) == 0 {
		return nil, diags
	}
	looking, cancel := deadline(ctx, plan.Timeouts.Read, readTimeout, &diags)
	defer cancel()
	executor, err := r.executor(ctx, plan.clusterWith(nil, r.services.Stores), "plan", look, everybody)
	if err != nil {
		return nil, diags // the preflight says so
	}
	reports := executor.Observe(looking, look.seats())
	maps.Copy(seen, reports)
	cluster := plan.clusterWith(members, r.services.Stores)
	found = bootstrap.Sight{}
	for m := range plan.moves(cluster, state, seen) {
		if report, looked := reports[m]; looked {
			found[m] = report
		}
	}
	return found, diags
}

// moves are the members that are re-addressed, and the peer URLs that they come from.
func (c clusterModel) moves(cluster bootstrap.Cluster, state clusterModel, seen bootstrap.Sight) map[membership.Member]string {
	if c.PeerPort.IsUnknown() || c.Name.IsUnknown() || c.DataDir.IsUnknown() {
		return nil
	}
	cluster.Members = slices.DeleteFunc(slices.Clone(cluster.Members), func(m membership.Member) bool { return m.Address == "" }) // known after apply
	moves := map[membership.Member]string{}
	for _, s := range cluster.Picture(state.Owner.ValueString(), seen, time.Time{}).Seats {
		if s.From != "" {
			moves[s.Member] = s.From
		}
	}
	return moves
}

// routesToLook are the ways to all hosts that the change has come to, without those by which a machine was reached that
// another way of a member leads to: they are looked at no more once all is done.
func (ch change) routesToLook(owner string, seen bootstrap.Sight, now time.Time) routes {
	look := ch.routes()
	picture := ch.cluster.Picture(owner, seen, now)
	maps.DeleteFunc(look, func(m membership.Member, _ Reach) bool { return picture.Seat(m) == nil })
	return look
}

// foreseeMoves says what becomes of a cluster of which members were found at other addresses of their machines by this plan itself.
// The steps are shown as they are now, and known after apply, which looks again.
func (c *clusterModel) foreseeMoves(ch change, state clusterModel, found bootstrap.Sight) (diags diag.Diagnostics) {
	ch.seen, ch.members = maps.Clone(ch.seen), maps.Clone(ch.members)
	maps.Copy(ch.seen, found)
	picture := ch.cluster.Picture(state.Owner.ValueString(), ch.seen, time.Time{})
	ch.plan, ch.err = upgrade.Change(picture, ch.cluster.Spec)
	foreseen := *c
	if diags = foreseen.foresee(ch, state); diags.HasError() {
		return diags
	}
	var moved, steps []string
	for _, s := range picture.Seats {
		if s.From != "" {
			moved = append(moved, fmt.Sprintf("%s, from %s", s, s.From))
		}
	}
	for _, step := range ch.plan.Steps {
		steps = append(steps, step.String())
	}
	diags.AddAttributeWarning(path.Root("members"), "Members are given other addresses on their machines",
		fmt.Sprintf("The new addresses lead to the machines that these members are on: %s. They keep their data and their IDs. The apply looks again, and by what was seen just now it does this:\n\n  %s",
			strings.Join(moved, "; "), strings.Join(steps, "\n  ")))
	return diags
}
