// Package recovery is the part of a configuration that says how to recover a lost quorum.
package recovery

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// model is how a lost quorum is recovered.
type model struct {
	Member    types.String `tfsdk:"member"`
	ClusterID types.String `tfsdk:"cluster_id"`
	Abandons  types.Set    `tfsdk:"abandons"`
	Loses     types.Set    `tfsdk:"loses"`
}

// noNulls refuses a set that has a null.
var noNulls = []validator.Set{setvalidator.NoNullValues()}

// Attribute is the attribute that says how a lost quorum is recovered.
func Attribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The way out of a lost quorum, if lost hosts cannot be brought back with their data and you do not restore a snapshot: one survivor becomes the whole cluster, " +
			"with everything in its log, and the other members join it anew, their data moved aside. **Writes that only the others had are lost.** " +
			"A plan without this shows how the log of each survivor ends, whatever its unit does: name the one whose log ends last; another one is refused. This does nothing while a quorum can be had, and an apply recovers once: " +
			"take it out of the configuration afterwards. While it stays there unchanged, it does nothing more, also where the quorum is lost again.",
		Attributes: map[string]schema.Attribute{
			"member":     schema.StringAttribute{Required: true, MarkdownDescription: "Name of the survivor with the highest term and index, at the address that it has."},
			"cluster_id": schema.StringAttribute{Required: true, MarkdownDescription: "`cluster_id` of the cluster that is overwritten."},
			"abandons": schema.SetAttribute{Required: true, ElementType: types.StringType, Validators: noNulls,
				MarkdownDescription: "Names of all other voters, and of members that may be voters though the list of the member that answers lacks them, since it was cut off: a plan that misses any names all. Their hosts must serve nobody any more: a member that cannot be reached from here, and still has a quorum with others, would go on as a second cluster."},
			"loses": schema.SetAttribute{Optional: true, ElementType: types.StringType, Validators: noNulls,
				MarkdownDescription: "Those of `abandons` that may have what the survivor does not have: their hosts were reached, and their logs cannot be read, or end later and their members do not start. " +
					"**Acknowledged writes that only they have are lost.** A plan without this names them and says why; it is refused until they are repaired or named here."},
		},
	}
}

// Asked returns the recovery that a configuration asks for and that the state does not have as done, or the zero
// Recovery. clusterID is the present cluster's ID.
func Asked(ctx context.Context, object, done types.Object, clusterID types.String) (membership.Recovery, diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() || object.Equal(done) {
		return membership.Recovery{}, nil
	}
	var desired model
	diags := object.As(ctx, &desired, basetypes.ObjectAsOptions{})
	asked := membership.Recovery{Member: desired.Member.ValueString()}
	diags.Append(desired.Abandons.ElementsAs(ctx, &asked.Abandons, false)...)
	if !desired.Loses.IsNull() {
		diags.Append(desired.Loses.ElementsAs(ctx, &asked.Loses, false)...)
	}
	if !diags.HasError() && !desired.ClusterID.Equal(clusterID) {
		diags.AddAttributeError(path.Root("recover_from").AtName("cluster_id"), "This is another cluster",
			fmt.Sprintf("recover_from.cluster_id is %s, and the cluster's ID is %s. A recovery overwrites what is named, and nothing else: name this cluster, if it is the one that is meant. No host was changed.", desired.ClusterID, clusterID))
	}
	return asked, diags
}

// Warn says before an apply what a recovery gives up.
func Warn(steps []membership.Step, asked membership.Recovery) (diags diag.Diagnostics) {
	for _, step := range steps {
		switch {
		case step.Kind == membership.Recover && asked.Member == "":
			diags.AddAttributeWarning(path.Root("members"), "The cluster is recovered at its new addresses", step.String()+
				".\n\nThe data of the other members is moved aside on their hosts, and they copy it anew, one after the other, as members with new IDs. The cluster is not redundant before the next two have joined.")
		case step.Kind == membership.Recover:
			diags.AddAttributeWarning(path.Root("recover_from"), "This recovery overwrites the cluster", step.String()+
				".\n\nA host that was not seen may serve others at this moment, or have writes that were acknowledged and are on no host that was seen: be certain that it does not come back.")
		}
	}
	return diags
}
