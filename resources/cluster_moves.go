package resources

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
)

// refuseMoves refuses a plan that takes more members off their hosts at once than the cluster can spare. An
// address that is not known yet is taken for another one: its host may be about to be replaced by this very plan,
// before this cluster is asked. So the refusal has to come now, while Terraform has destroyed nothing.
//
// Members that only leave, or only arrive, do not count: Terraform destroys what a cluster was built on after
// the cluster has changed, and they are taken one at a time. Nor do those that stay on their machines, at other addresses.
func refuseMoves(members, before map[string]memberModel, stay map[membership.Member]bool) (diags diag.Diagnostics) {
	if members == nil {
		diags.AddAttributeError(path.Root("members"), "The members of a living cluster have to be known",
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

// refuseTaken refuses a member on a host that another is about to leave. etcd knows a member by its address, so
// that one that was renamed, or two that have changed places, could not be told from each other.
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
