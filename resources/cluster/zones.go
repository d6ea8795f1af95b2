package cluster

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// ordersByUnknownZones tells whether the order of a plan's steps hangs on zones that are not known yet.
func (ch change) ordersByUnknownZones() bool {
	restarts := 0
	for _, step := range ch.plan.Steps {
		if step.Kind == membership.Roll || step.Kind == membership.Readdress {
			restarts++
		}
	}
	return restarts > 1 && slices.ContainsFunc(slices.Collect(maps.Values(ch.members)), func(m memberModel) bool { return m.Zone.IsUnknown() })
}

// warnZones says where the loss of one zone is the loss of the quorum, while members or their zones change. It counts
// the members whose zones are known: they may be too many already, wherever the others are.
func warnZones(members, before map[string]memberModel) (diags diag.Diagnostics) {
	zones, changed := map[string]int{}, len(members) != len(before)
	for name, m := range members {
		if m.Zone.ValueString() != "" {
			zones[m.Zone.ValueString()]++
		}
		old, known := before[name]
		changed = changed || !known || !old.Zone.Equal(m.Zone)
	}
	n := len(members)
	if n == 1 || !changed {
		return diags
	}
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		if lost := zones[zone]; n-lost < membership.Quorum(n) {
			diags.AddAttributeWarning(path.Root("members"), "The loss of one zone is the loss of the quorum",
				fmt.Sprintf("Zone %s holds %d of %d members, and the other %d are no quorum (%d). Spread the members over three zones at least, so that none holds more than %d.",
					zone, lost, n, n-lost, membership.Quorum(n), membership.FaultTolerance(n)))
		}
	}
	return diags
}
