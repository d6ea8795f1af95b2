package resources

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// A new address of a member is another host, which replaces its own, or another address of its own, on which it is re-addressed.
// Which of the two, the machine alone tells: a plan looks there.

// foundMoved are the reports of other addresses of machines that members are on already.
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

// foundBack are the reports of hosts that are new to a living cluster and carry a part of it: a member that was replaced while
// nobody could reach it, say.
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

// moves are the members that stay on their machines at other addresses than the state has: those that are to be re-addressed,
// and those that a run which was cut short has re-addressed, and which keep their IDs.
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

// routesToLook are the ways to all hosts that the change has come to, without those by which a machine was reached that
// another way of a member leads to: they are looked at no more once all is done.
func (ch change) routesToLook(owner string, seen bootstrap.Reports, now time.Time) providerdata.Routes {
	look := ch.routes()
	status := ch.cluster.Status(owner, seen, now)
	maps.DeleteFunc(look, func(m membership.Member, _ providerdata.Reach) bool { return status.Member(m) == nil })
	return look
}

// foreseeFound says what becomes of a cluster of which this plan itself has found that a host is more than a bare one. The steps are
// shown as they are now, and known after apply, which looks again.
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
	var moved, back, steps []string
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
	for _, step := range ch.plan.Steps {
		steps = append(steps, step.String())
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
	diags.AddAttributeWarning(path.Root("members"), summary, text+"The apply looks again, and by what was seen just now it does this:\n\n  "+strings.Join(steps, "\n  "))
	return diags
}
