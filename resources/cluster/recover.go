package cluster

import (
	"context"
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// recoverModel is the named way out of a lost quorum.
type recoverModel struct {
	Member    types.String `tfsdk:"member"`
	ClusterID types.String `tfsdk:"cluster_id"`
	Abandons  types.Set    `tfsdk:"abandons"`
	Loses     types.Set    `tfsdk:"loses"`
}

func recoverAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The way out of a lost quorum, if lost hosts cannot be brought back with their data and you do not restore a snapshot: one survivor becomes the whole cluster, " +
			"with everything in its log, and the other members join it anew, their data moved aside. **Writes that only the others had are lost.** " +
			"A plan without this shows how the log of each survivor ends, whatever its unit does: name the one whose log ends last; another one is refused. This does nothing while a quorum can be had, and an apply recovers once: " +
			"take it out of the configuration afterwards. While it stays there unchanged, it does nothing more.",
		Attributes: map[string]schema.Attribute{
			"member":     schema.StringAttribute{Required: true, MarkdownDescription: "Name of the survivor with the highest term and index, at the address that it has."},
			"cluster_id": schema.StringAttribute{Required: true, MarkdownDescription: "`cluster_id` of the cluster that is overwritten."},
			"abandons": schema.SetAttribute{Required: true, ElementType: types.StringType,
				MarkdownDescription: "Names of all other voters. Their hosts must serve nobody any more: a member that cannot be reached from here, and still has a quorum with others, would go on as a second cluster."},
			"loses": schema.SetAttribute{Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Those of `abandons` that may have what the survivor does not have: their hosts were reached, and their logs cannot be read, or end later and their members do not start. " +
					"**Acknowledged writes that only they have are lost.** A plan without this names them and says why; it is refused until they are repaired or named here."},
		},
	}
}

// mustShow refuses to plan what gives up data of a living cluster, where the plan cannot show what that is: an apply would do
// what nobody has seen.
func (c clusterModel) mustShow(ctx context.Context) (diags diag.Diagnostics) {
	hidden := func(name string, of attr.Value) {
		if !value.Known(ctx, of) {
			diags.AddAttributeError(path.Root(name), "This value has to be known at plan time",
				fmt.Sprintf("%s is known after apply, and says what a living cluster gives up: whoever approves the plan has to see it. Write it out, or apply what it comes from first (terraform apply -target=...). No host was changed.", name))
		}
	}
	hidden("recover_from", c.RecoverFrom)
	overwrites := attr.Value(c.Restore)
	if id, known := c.Restore.Attributes()["overwrite_cluster_id"]; known {
		overwrites = id // what it is restored from may be made in the same apply
	}
	hidden("restore", overwrites)
	return diags
}

// recovery is what the configuration asks for beyond what the state says was done; the zero Recovery: nothing.
func (c clusterModel) recovery(ctx context.Context, state clusterModel) (membership.Recovery, diag.Diagnostics) {
	if c.RecoverFrom.IsNull() || c.RecoverFrom.IsUnknown() || c.RecoverFrom.Equal(state.RecoverFrom) {
		return membership.Recovery{}, nil
	}
	var desired recoverModel
	diags := c.RecoverFrom.As(ctx, &desired, basetypes.ObjectAsOptions{})
	asked := membership.Recovery{Member: desired.Member.ValueString()}
	diags.Append(desired.Abandons.ElementsAs(ctx, &asked.Abandons, false)...)
	if !desired.Loses.IsNull() {
		diags.Append(desired.Loses.ElementsAs(ctx, &asked.Loses, false)...)
	}
	if !diags.HasError() && !desired.ClusterID.Equal(state.ClusterID) {
		diags.AddAttributeError(path.Root("recover_from").AtName("cluster_id"), "This is another cluster",
			fmt.Sprintf("recover_from.cluster_id is %s, and the cluster's ID is %s. A recovery overwrites what is named, and nothing else: name this cluster, if it is the one that is meant. No host was changed.", desired.ClusterID, state.ClusterID))
	}
	return asked, diags
}

// warnOfRecovery says before an apply what a recovery gives up.
func warnOfRecovery(steps []membership.Step, asked membership.Recovery) (diags diag.Diagnostics) {
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

// afterRecovery are the members that a recovery leaves: those that are given up are gone already, and the one that
// it is made from is as good as healthy.
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
