package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/refreshed"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// abandoned returns the names of the members that a destroy leaves behind.
func (c clusterModel) abandoned() []string {
	var names []string
	for _, value := range c.AbandonOnDestroy.Elements() {
		if name, is := value.(types.String); is && !name.IsUnknown() && !name.IsNull() {
			names = append(names, name.ValueString())
		}
	}
	slices.Sort(names)
	return names
}

// abandonedMembers returns the members whose hosts a destroy leaves behind. A member that is being moved has several
// hosts: its name stands for the hosts that could not be reached at the last refresh, so that nothing is left behind
// that the user has not seen to be unreachable. The cluster is removed from the other hosts. If all of the hosts
// answered, the name stands for all of them, and the destroy refuses them.
func (c clusterModel) abandonedMembers(members []membership.Member, last refreshed.Reports) (left []membership.Member) {
	away := last.Unreachable()
	for _, m := range members {
		sameName := func(other membership.Member) bool { return other.Name == m.Name }
		if slices.Contains(c.abandoned(), m.Name) && (slices.Contains(away, m) || !slices.ContainsFunc(away, sameName)) {
			left = append(left, m)
		}
	}
	return left
}

// planLeaving refuses to plan a destroy that the apply would refuse only after Terraform has destroyed certificates and
// machines: a host could not be reached at the last refresh, and is not abandoned. It warns of hosts that are
// abandoned.
func planLeaving(ctx context.Context, state clusterModel, private private.State) (diags diag.Diagnostics) {
	last, _, _ := refreshed.Last(ctx, private) // without it the destroy itself looks
	var away, left, names []string
	for _, member := range last.Members {
		m := member.Member()
		if !member.Unreachable {
			continue
		}
		if member.Barred != "" && !slices.Contains(state.abandoned(), m.Name) {
			diags.AddAttributeError(path.Root("members").AtMapKey(m.Name), fmt.Sprintf("Cluster %s cannot be destroyed", state.Name.ValueString()),
				fmt.Sprintf("At the last refresh %s could not be asked: %s. %s; then refresh (terraform apply -refresh-only), and destroy. Nothing was changed.", m, member.Barred.Why(), member.Barred.Remedy()))
			continue
		}
		if slices.Contains(state.abandoned(), m.Name) {
			left = append(left, m.String())
		} else {
			away = append(away, m.String())
		}
		names = append(names, m.Name)
	}
	if len(away) > 0 {
		diags.AddAttributeError(path.Root("abandon_on_destroy"), fmt.Sprintf("Cluster %s cannot be destroyed", state.Name.ValueString()),
			fmt.Sprintf("At the last refresh these members' hosts could not be asked: %s. A host that is switched on again later would carry on with half a cluster that nobody manages. "+
				"Bring them back, refresh (terraform apply -refresh-only), and destroy; where they are gone for good, set abandon_on_destroy = %s, apply, and destroy then. Nothing was changed.",
				strings.Join(away, ", "), plan.NameList(names)))
	}
	if len(left) > 0 && len(away) == 0 {
		diags.AddAttributeWarning(path.Root("abandon_on_destroy"), "Hosts are left behind",
			fmt.Sprintf("This destroy does not touch the hosts of %s, which could not be asked at the last refresh: abandon_on_destroy names them. Should one of them come back, its member starts again by itself; as root, systemctl disable --now %s ends that.",
				strings.Join(left, ", "), api.Unit(state.Name.ValueString())))
	}
	return append(diags, planWithoutDisks(state, last)...)
}

// planWithoutDisks refuses to plan a destroy that the apply would refuse because the disk of a member's data was not
// mounted at the last refresh. It warns of such hosts that are abandoned.
func planWithoutDisks(state clusterModel, last refreshed.Reports) (diags diag.Diagnostics) {
	for _, member := range last.Members {
		if !member.DiskAway() {
			continue
		}
		if slices.Contains(state.abandoned(), member.Name) {
			diags.AddAttributeWarning(path.Root("abandon_on_destroy"), "A host is left behind",
				fmt.Sprintf("This destroy does not touch the host of %s, which abandon_on_destroy names, if the disk of its data is not mounted then: the member's configuration, keys and data stay.", member.Member()))
			continue
		}
		diags.AddAttributeError(path.Root("abandon_on_destroy"), fmt.Sprintf("Cluster %s cannot be destroyed", state.Name.ValueString()),
			fmt.Sprintf("At the last refresh the disk of %s's data was not mounted (%s), and a destroy would leave the data there. Mount it, refresh (terraform apply -refresh-only), and destroy; "+
				"where it is gone for good, add %q to abandon_on_destroy, apply, and destroy then. Nothing was changed.", member.Member(), member.Observation.Guard, member.Name))
	}
	return diags
}

// checkAbandoned refuses names that belong to no member: neither a desired one, nor one in the state, nor one whose
// hosts an unfinished change has not left yet.
func (c clusterModel) checkAbandoned(before map[string]memberModel, last refreshed.Reports) (diags diag.Diagnostics) {
	for _, name := range c.abandoned() {
		_, desired := c.Members.Elements()[name]
		_, known := before[name]
		if !desired && !known && !c.Members.IsUnknown() && !slices.ContainsFunc(last.Members, func(s refreshed.Report) bool { return s.Name == name }) {
			diags.AddAttributeError(path.Root("abandon_on_destroy"), "There is no such member", fmt.Sprintf("%q is the name of no member. Name members whose hosts are gone for good.", name))
		}
	}
	return diags
}

// warnAbandoned warns that a destroy is about to leave members behind whose hosts answer. For a member with several
// hosts it says what becomes of each.
func (c clusterModel) warnAbandoned(last refreshed.Reports) (diags diag.Diagnostics) {
	for _, name := range c.abandoned() {
		var away, there []string
		for _, member := range last.Members {
			switch {
			case member.Name != name:
			case member.DiskAway(): // which the plan of a destroy speaks of
			case member.Unreachable:
				away = append(away, member.Member().String())
			default:
				there = append(there, member.Member().String())
			}
		}
		switch {
		case len(there) == 0:
		case len(away) == 0:
			diags.AddAttributeWarning(path.Root("abandon_on_destroy"), fmt.Sprintf("Member %s is not lost", name),
				"abandon_on_destroy names it, and its host answered at the last refresh: a destroy is refused as long as it does. Take it out of abandon_on_destroy, and the destroy takes the cluster off that host too.")
		default:
			diags.AddAttributeWarning(path.Root("abandon_on_destroy"), fmt.Sprintf("Member %s has several hosts", name),
				fmt.Sprintf("It is being moved, and abandon_on_destroy names it. A destroy leaves %s behind, which could not be asked at the last refresh, and takes the cluster off %s, which answered.", strings.Join(away, ", "), strings.Join(there, ", ")))
		}
	}
	return diags
}

// warnWhoDestroys tells a user who is about to destroy a cluster why the plan of an apply was refused. Before a
// destroy, Terraform plans as for an apply and does not say so. The text is therefore right for both, and names no
// command that a user might try who wants the cluster back. It is shown only if a destroy is possible: an apply has
// switched the protection off, and nothing is to be restored.
func warnWhoDestroys(config, state clusterModel) (diags diag.Diagnostics) {
	if !state.DeletionProtection.ValueBool() && config.Restore.IsNull() && config.RecoverFrom.IsNull() {
		diags.AddWarning("Terraform planned an apply, and the plan was refused", "Terraform plans one before a destroy too. If that is what you have started, nothing of it was done: the guide \"When an apply fails or is cut short\" "+
			"says how to destroy an unhealthy cluster. Otherwise there is nothing to do about this warning.")
	}
	return diags
}

// warnOfRemains warns of the data that a destroy leaves on the hosts.
func warnOfRemains(state clusterModel) (diags diag.Diagnostics) {
	if state.PurgeData.ValueBool() {
		return nil
	}
	dataDir, backups := state.DataDir.ValueString(), ""
	if !state.Backup.IsNull() {
		backups = " Backups stay where they are stored, whatever purge_data says."
	}
	diags.AddAttributeWarning(path.Root("purge_data"), "The data stays on the hosts",
		fmt.Sprintf("This destroy stops the members of %s and takes units, keys, configuration and programs off their hosts. On each host there stay, until somebody deletes them: the data, moved aside to %s.aside-retired-TIME "+
			"(or to %s/aside-retired-TIME, where that is a mount point), with what was moved aside before; snapshots in %s; and the system user etcd.%s To have data and snapshots deleted, set purge_data = true, apply, and destroy then.",
			state.Name.ValueString(), dataDir, dataDir, api.SnapshotDir(dataDir), backups))
	return diags
}
