package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// A new address of a member belongs either to another host, which replaces the member's own, or to the same machine, on
// which the member is re-addressed. Only the machine can tell which, so a plan observes it.

// foundMoved returns the reports of other addresses of machines that members are already on.
func (c clusterModel) foundMoved(from startingPoint, state clusterModel, reports bootstrap.Reports, stores providerdata.Stores) bootstrap.Reports {
	seen := from.last.Reports()
	if len(seen) == 0 {
		return nil
	}
	merged := maps.Clone(seen)
	maps.Copy(merged, reports)
	found := bootstrap.Reports{}
	for m := range c.moves(c.clusterWith(from.members, stores), from.before, state, merged) {
		if report, looked := reports[m]; looked && mayMove(m, from.before, seen) {
			found[m] = report
		}
	}
	return found
}

// foundBack returns the reports of hosts that are new to a running cluster and carry a part of it, e.g. of a member
// that was replaced while its host was unreachable.
func foundBack(state clusterModel, seen, reports bootstrap.Reports) bootstrap.Reports {
	found := bootstrap.Reports{}
	for m, report := range reports {
		marker := report.Marker()
		if _, known := seen[m]; !known && report.Err == nil && marker != nil && !state.Owner.IsNull() && marker.Owner == state.Owner.ValueString() {
			found[m] = report
		}
	}
	return found
}

// moves returns the members that stay on their machines at other addresses than in the state: those that are to be
// re-addressed, and those that an interrupted run has already re-addressed, which keep their IDs.
func (c clusterModel) moves(cluster bootstrap.Cluster, before map[string]memberModel, state clusterModel, seen bootstrap.Reports) map[membership.Member]bool {
	if c.PeerPort.IsUnknown() || c.Name.IsUnknown() || c.DataDir.IsUnknown() {
		return nil
	}
	moves := map[membership.Member]bool{}
	for _, s := range cluster.Located().Status(state.Owner.ValueString(), seen, time.Time{}).Members {
		old, known := before[s.Name]
		if s.From != "" || known && s.Desired && s.Role == membership.Voter && s.ID != "" && s.ID == old.ID.ValueString() && s.Address != old.Address.ValueString() {
			moves[s.Member] = true
		}
	}
	return moves
}

// routesToLook returns how to reach all hosts that the change has touched, without the former ways to machines that
// another way of a member leads to. These are not observed any more once the change is complete.
func (ch change) routesToLook(owner string, seen bootstrap.Reports, now time.Time) providerdata.Routes {
	look := ch.routes()
	status := ch.cluster.Status(owner, seen, now)
	maps.DeleteFunc(look, func(m membership.Member, _ providerdata.SSHTarget) bool { return status.Member(m) == nil })
	return look
}

// foreseeFound reports what becomes of a cluster if this plan itself has found that a host is not bare. It shows the
// steps as they are now. The planned values are known after apply, which observes the host again.
func (c *clusterModel) foreseeFound(ch change, state clusterModel, looked ahead) (diags diag.Diagnostics) {
	ch.seen, ch.members = maps.Clone(ch.seen), maps.Clone(ch.members)
	maps.Copy(ch.seen, looked.moved)
	maps.Copy(ch.seen, looked.back)
	status := ch.cluster.Status(state.Owner.ValueString(), ch.seen, time.Time{})
	ch.plan, ch.err = plan.Change(status, ch.cluster.Spec)
	foreseen := *c
	if diags = foreseen.foresee(ch, state); diags.HasError() {
		return diags
	}
	var moved, back []string
	for _, s := range status.Members {
		_, here := looked.moved[s.Member]
		_, left := looked.back[s.Member]
		switch {
		case s.From != "":
			moved = append(moved, fmt.Sprintf("%s, from %s", s, s.From))
		case here:
			moved = append(moved, fmt.Sprintf("%s, which its cluster knows by that address already", s))
		case left:
			back = append(back, fmt.Sprintf("%s, which was member %s", s, looked.back[s.Member].Marker().Member))
		}
	}
	summary, text := "Members are given other addresses on their machines", ""
	if len(moved) > 0 {
		text += fmt.Sprintf("The new addresses lead to the machines that these members are on: %s. They keep their data and their IDs. ", strings.Join(moved, "; "))
	} else {
		summary = "Hosts come back to the cluster"
	}
	if len(back) > 0 {
		text += fmt.Sprintf("These hosts carry what earlier members of this cluster have left: %s. ", strings.Join(back, "; "))
	}
	diags.AddAttributeWarning(path.Root("members"), summary, text+willDo(ch.plan.Steps))
	return diags
}

// foreseeUnfinished reports that an apply was interrupted which this state does not know of, and which steps are left,
// by what the plan has just observed on the new hosts. The planned steps are known after apply, which observes the
// hosts again.
func (c *clusterModel) foreseeUnfinished(ch change, state clusterModel, looked ahead) (diags diag.Diagnostics) {
	text := fmt.Sprintf("etcd's member list has %s already, which this state does not: an apply was cut short. What is left of it is decided when the hosts can be looked at, "+
		"by the same rules as always, so that the steps are known after apply.", strings.Join(ch.unseen(), ", "))
	ch.seen, ch.members = maps.Clone(ch.seen), maps.Clone(ch.members)
	maps.Copy(ch.seen, looked.reports)
	if len(ch.unseen()) == 0 {
		ch.plan, ch.err = plan.Change(ch.cluster.Status(state.Owner.ValueString(), ch.seen, time.Time{}), ch.cluster.Spec)
		foreseen := *c
		if diags = foreseen.foresee(ch, state); diags.HasError() {
			return diags
		}
		text += "\n\n" + willDo(ch.plan.Steps)
	}
	diags.AddAttributeWarning(path.Root("members"), "The apply continues an unfinished change", text)
	return diags
}

// willDo lists the steps that an apply takes if it observes what the plan has observed.
func willDo(steps []membership.Step) string {
	if len(steps) == 0 {
		return "By what was seen just now nothing is left to do on the hosts, and the apply notes that in the state."
	}
	text := "The apply looks again, and by what was seen just now it does this:\n"
	for _, step := range steps {
		text += "\n  " + step.String()
	}
	return text
}

// refuseMoves refuses a plan that takes more members off their hosts at once than the cluster can spare. An unknown
// address counts as a new one: this very plan may be about to replace its host before the cluster is asked. So the
// refusal has to come now, while Terraform has destroyed nothing.
//
// Members that only leave, or only join, do not count: Terraform destroys the hosts of a cluster after the cluster has
// changed, and the members leave one at a time. Members that stay on their machines at other addresses do not count
// either.
func refuseMoves(members, before map[string]memberModel, stay map[membership.Member]bool) (diags diag.Diagnostics) {
	if members == nil {
		diags.AddAttributeError(path.Root("members"), "The members of a running cluster have to be known",
			"Which members there are is not known before apply, so that nobody can tell whether the cluster survives this plan. Name them in the configuration; only their addresses may come out of other resources. No host was changed.")
		return diags
	}
	var moves []string
	arrive := 0
	keptHealthy := 0
	for _, name := range slices.Sorted(maps.Keys(members)) {
		old, known := before[name]
		switch address := members[name].Address; {
		case !known:
			arrive++
		case address.IsUnknown():
			moves = append(moves, fmt.Sprintf("the address of %s is not known before apply, so that its host (%s) may be about to be replaced", name, old.Address.ValueString()))
		case !address.Equal(old.Address) && !stay[members[name].member(name)]:
			moves = append(moves, fmt.Sprintf("%s moves from %s to %s", name, old.Address.ValueString(), address.ValueString()))
		default:
			if old.Health.ValueString() == health.Healthy {
				keptHealthy++
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, kept := members[name]; !kept {
			if arrive > 0 || len(moves) > 0 {
				moves = append(moves, fmt.Sprintf("%s (%s) leaves", name, before[name].Address.ValueString()))
			}
		}
	}
	n := len(before)
	if len(moves) == 0 || keptHealthy >= membership.Quorum(n) {
		return nil
	}
	if n == 1 {
		diags.AddAttributeError(path.Root("members"), "A cluster of one cannot move",
			fmt.Sprintf("In this plan, %s. Its host holds the only copy of the data, and may be destroyed by the same plan before this cluster can change. "+
				"Grow it to three members first, and shrink it to the new one afterwards. No host was changed.", strings.Join(moves, "; ")))
		return diags
	}
	diags.AddAttributeError(path.Root("members"), "This plan takes more members off their hosts than the cluster can spare",
		fmt.Sprintf("In this plan, %s. Of %d members, %d stay where they are and are healthy, and %d have to: the quorum of %d. "+
			"Their hosts may be destroyed by the same plan before this cluster can change. Move at most %d at a time, with all others healthy, and apply in between. No host was changed.",
			strings.Join(moves, "; "), n, keptHealthy, membership.Quorum(n), n, membership.FaultTolerance(n)))
	return diags
}

// refuseTaken refuses a member on a host that another member is about to leave. etcd knows a member by its address, so
// the provider could not tell a renamed member, or two members that have changed places, from each other.
func refuseTaken(members, before map[string]memberModel) (diags diag.Diagnostics) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		address := members[name].Address
		for _, other := range slices.Sorted(maps.Keys(before)) {
			if other == name || address.IsUnknown() || !address.Equal(before[other].Address) {
				continue
			}
			text := fmt.Sprintf("%s (%s): this is the host of member %s, which a member of another name cannot take over. Give %[1]s a host of its own, or leave the name %[3]s with this one; "+
				"once %[3]s has left it, and that is applied, it can take another member. No host was changed.", name, address.ValueString(), other)
			if now, stays := members[other]; stays && !now.Address.Equal(address) {
				text += fmt.Sprintf("\n\nWhere it is the machines that have other addresses now, and %s is on its own: the member list cannot have two at one address, and an address of one that leads to another's machine is refused. "+
					"Give each of these machines an address that none of them has had, beside those that it has, set all of these in the members' addresses, and apply; then set those that they are to keep, and apply again. Where the members that keep their addresses are no quorum, put the addresses back first, so that all serve, and do that for one member after another.", name)
			}
			diags.AddAttributeError(path.Root("members").AtMapKey(name), "A host carries one member at a time", text)
		}
	}
	return diags
}

// afterRecovery returns the members that a recovery leaves: the members that it gives up are gone, and the survivor
// counts as healthy.
func afterRecovery(before map[string]memberModel, asked membership.Recovery) map[string]memberModel {
	left := maps.Clone(before)
	for _, name := range asked.Abandons {
		delete(left, name)
	}
	if m, known := left[asked.Member]; known {
		m.Health = types.StringValue(health.Healthy)
		left[asked.Member] = m
	}
	return left
}

// reroutes tells whether the way to a host that stays changes. The apply checks where the new way leads before it keeps
// it.
func (ch change) reroutes() bool {
	was := routesTo(ch.before)
	for m, target := range routesTo(ch.members) {
		if old, known := was[m]; known && target != old {
			return true
		}
	}
	return false
}
