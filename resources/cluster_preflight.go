package resources

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// preflight looks at the hosts that a plan brings to the cluster, or reaches in another way than before, and refuses the plan for
// what is in their way. It reads only, on all hosts at once. What it sees never becomes a value of the plan: Terraform plans again
// during the apply, and compares. There it refuses nothing that the apply would not refuse right afterwards: it asks the same
// question, and gives a host as long to answer. state is the zero model where there is none.
func (r *clusterResource) preflight(ctx context.Context, plan, state clusterModel, private privateState) (diags diag.Diagnostics) {
	creating := state.Owner.IsNull()
	members, diags := plan.memberModels(ctx)
	last, _, d := lastSight(ctx, private)
	diags.Append(d...)
	var before map[string]memberModel
	if !creating {
		before, d = state.memberModels(ctx)
		diags.Append(d...)
	}
	if diags.HasError() {
		return diags
	}
	dropStrangers(before)
	look, skipped := plan.toLookAt(members, before)
	if len(look) > 0 {
		reports, err := r.lookAhead(ctx, plan, state, look, &diags)
		switch {
		case errors.Is(err, ErrNotKnown):
			skipped = append(skipped, fmt.Sprintf("%s: %s", names(look), err))
		case err != nil:
			diags.AddError("The hosts were not looked at", err.Error())
		case ctx.Err() != nil:
			diags.AddError("Interrupted", "The hosts were not all looked at. No host was changed.")
		default:
			diags.Append(plan.refuseHosts(ctx, state, members, last, reports, r.services)...)
		}
	}
	if len(skipped) > 0 {
		diags.AddAttributeWarning(path.Root("members"), "Hosts were not looked at", "This plan has not looked at hosts that may be new to the cluster:\n\n  "+strings.Join(skipped, "\n  ")+
			"\n\nThe apply looks at them before it changes anything on a host, and refuses then what could not carry a member.")
	}
	return diags
}

// toLookAt are the ways to the hosts that are new to the cluster, or reached in another way than before, and what is to be said of
// those that nobody can look at yet.
func (c clusterModel) toLookAt(members, before map[string]memberModel) (look routes, skipped []string) {
	if members == nil {
		return nil, []string{"which members there are is known after apply"}
	}
	look = routes{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m, old := members[name], before[name]
		if m.sameWay(old) {
			continue
		}
		switch {
		case m.Address.IsUnknown():
			skipped = append(skipped, name+": its address is known after apply")
		case !m.wayKnown():
			skipped = append(skipped, name+": how its host is reached is known after apply")
		default:
			look[m.seat(name)] = m.reach()
		}
	}
	if len(look) == 0 {
		return look, skipped
	}
	switch {
	case !c.PreflightAtPlan.IsNull() && !c.PreflightAtPlan.ValueBool():
		return nil, append(skipped, names(look)+": preflight_at_plan is off")
	case slices.ContainsFunc([]attr.Value{c.Name, c.EtcdVersion, c.DataDir, c.ClientPort, c.PeerPort, c.MetricsPort}, attr.Value.IsUnknown):
		return nil, append(skipped, names(look)+": name, version, ports or data_dir of the cluster are known after apply")
	}
	return look, skipped
}

// sameWay tells whether a host is the one of the state, and reached as before.
func (m memberModel) sameWay(old memberModel) bool {
	return m.Address.Equal(old.Address) && m.wayKnown() && m.reach() == old.reach()
}

// wayKnown tells whether how a host is reached is known.
func (m memberModel) wayKnown() bool {
	return !slices.ContainsFunc([]attr.Value{m.SSHAddress, m.SSHPort, m.SSHUser, m.HostKey, m.HostCA}, attr.Value.IsUnknown)
}

// names are the members of the seats.
func names(hosts routes) string {
	var all []string
	for _, m := range hosts.seats() {
		all = append(all, m.Name)
	}
	return strings.Join(all, ", ")
}

// lookAhead reads hosts. It changes nothing.
func (r *clusterResource) lookAhead(ctx context.Context, plan, state clusterModel, hosts routes, diags *diag.Diagnostics) (bootstrap.Sight, error) {
	// As long as the apply would wait for hosts: each is given up by ssh.connect_timeout before.
	looking, cancel := deadline(ctx, plan.Timeouts.Create, createTimeout, diags)
	defer cancel()
	cluster := plan.clusterWith(nil, r.services.Stores)
	cluster.Members = hosts.seats()
	executor, err := r.executor(ctx, cluster, "plan", hosts, nobody)
	if err != nil {
		return nil, err
	}
	if state.Owner.IsNull() && plan.Restore.IsNull() {
		return executor.LookToForm(looking, hosts.seats()), nil
	}
	return executor.Observe(looking, hosts.seats()), nil
}

// refuseHosts refuses hosts for what was seen on them. last is the last look at the hosts of the state.
func (c clusterModel) refuseHosts(ctx context.Context, state clusterModel, members map[string]memberModel, last sight, seen bootstrap.Sight, services *Services) (diags diag.Diagnostics) {
	wish, diags := c.restoration(ctx, state)
	if diags.HasError() {
		return diags
	}
	cluster := c.clusterWith(members, services.Stores)
	known := cluster
	known.Members = slices.DeleteFunc(slices.Clone(cluster.Members), func(m membership.Member) bool { return m.Address == "" }) // known after apply
	var refusals []error
	switch owner := state.Owner.ValueString(); {
	case wish.Source != "" && !wish.TakeBack && !c.restoredBefore(state, wanted{members: members, stores: services.Stores}, nil, last, wish):
		known.Restore = wish
		refusals = append(refusals, known.PreflightRestore(owner, seen, services.Now()))
	case state.Owner.IsNull():
		reports := map[string]bootstrap.Report{}
		for m, report := range seen {
			reports[m.Name] = report
		}
		refusals = append(refusals, cluster.PreflightForm(reports, services.Now()))
	default:
		refusals = append(refusals, known.PreflightChange(owner, last.reports(), seen))
	}
	for _, report := range seen {
		// Terraform plans the second half of a replacement as a create, before a destroy too. The apply refuses it, and a destroy is none.
		if marker := report.Marker(); state.Owner.IsNull() && marker != nil && services.holds(marker.Owner) {
			diags.AddWarning(fmt.Sprintf("Cluster %s is not replaced", c.Name.ValueString()), refusedReplacement)
			return diags
		}
	}
	refused := errors.Join(refusals...)
	if refused == nil {
		return nil
	}
	text := refused.Error() + ".\n\nNo host was changed."
	if slices.ContainsFunc(slices.Collect(maps.Values(seen)), func(report bootstrap.Report) bool { return errors.Is(report.Err, ssh.ErrUnreachable) }) {
		text += " Where this very plan is to make the machine, take the address from the resource that makes it, so that it is known after apply, or set preflight_at_plan = false."
	}
	diags.AddAttributeError(refusedAt(refused), "This plan is refused for hosts that it has looked at", text)
	return diags
}
