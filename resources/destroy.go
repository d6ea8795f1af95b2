package resources

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// destroyPlanned is the key of private state that a planned destroy sets and a replacement does not.
const destroyPlanned = "destroy_planned"

// privateState is what Terraform keeps beside a state without showing it.
type privateState interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// abandoned are the names of the members that a destroy leaves behind.
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

// refuseUnreachable refuses to plan a destroy that would be refused anyway, with certificates and machines destroyed
// by then: a host could not be asked at the last look, and is not among those that are left behind.
func refuseUnreachable(ctx context.Context, state clusterModel, private privateState) (diags diag.Diagnostics) {
	last, _, _ := lastSight(ctx, private) // without it the destroy itself looks
	var away []string
	for _, seat := range last.Seats {
		if seat.Unreachable && !slices.Contains(state.abandoned(), seat.Name) {
			away = append(away, seat.Name)
		}
	}
	if len(away) > 0 {
		diags.AddAttributeError(path.Root("abandon_on_destroy"), fmt.Sprintf("Cluster %s cannot be destroyed", state.Name.ValueString()),
			fmt.Sprintf("At the last look these members' hosts could not be asked: %s. A host that is switched on again later would carry on with half a cluster that nobody manages. "+
				"Bring them back, look again (terraform apply -refresh-only), and destroy; where they are gone for good, set abandon_on_destroy = %s, apply, and destroy then. Nothing was changed.",
				strings.Join(away, ", "), upgrade.NameList(away)))
	}
	return diags
}

// warnAbandoned says of members that a destroy is to leave behind that they are there.
func (c clusterModel) warnAbandoned(last sight) (diags diag.Diagnostics) {
	for _, seat := range last.Seats {
		if !seat.Unreachable && slices.Contains(c.abandoned(), seat.Name) {
			diags.AddAttributeWarning(path.Root("abandon_on_destroy"), fmt.Sprintf("Member %s is not lost", seat.Name),
				"abandon_on_destroy names it, and its host answered at the last look: a destroy is refused as long as it does. Take it out of abandon_on_destroy, and the destroy takes the cluster off that host too.")
		}
	}
	return diags
}

// planDestroy notes that the object is to be destroyed for its own sake. Terraform plans the delete
// half of a replacement (taint, -replace, a failed provisioner) without asking the provider, so a
// Delete that does not find the note is one of those.
func planDestroy(ctx context.Context, private privateState) diag.Diagnostics {
	return private.SetKey(ctx, destroyPlanned, []byte("true"))
}

// takeDestroyPlan tells whether a destroy was planned, and forgets it: where the Delete fails, the
// private state is kept, and the next one has to be planned anew.
func takeDestroyPlan(ctx context.Context, private privateState) (bool, diag.Diagnostics) {
	planned, diags := private.GetKey(ctx, destroyPlanned)
	diags.Append(private.SetKey(ctx, destroyPlanned, nil)...)
	return len(planned) > 0, diags
}
