package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// If a resource is renamed in the configuration without a moved block, Terraform destroys one resource and creates
// another, in either order. A failed replacement with create_before_destroy, which leaves a deposed cluster, does the
// same. If both resources are the same cluster on the same hosts, that would remove the cluster from its hosts, and
// move its data aside.

// claim is a cluster with the hosts that the model names or that were observed.
func (c clusterModel) claim(members map[string]memberModel, seen bootstrap.Reports) providerdata.Claim {
	is := providerdata.Claim{Name: c.Name.ValueString(), Addresses: c.cluster(members).Located().Addresses()}
	if owner := c.Owner.ValueString(); owner != "" {
		is.Owners = append(is.Owners, owner)
	}
	for _, report := range seen {
		if marker := report.Marker(); marker != nil {
			is.Owners = append(is.Owners, marker.Owner)
		}
	}
	return is
}

// refuseDestroyed refuses to destroy a cluster that the same run creates.
func (r *clusterResource) refuseDestroyed(ctx context.Context, state clusterModel) (diags diag.Diagnostics) {
	members, diags := state.memberModels(ctx)
	dropUnmanaged(members)
	if of := state.claim(members, nil); !diags.HasError() && r.providerData.Claims.Destroyed(of) {
		return refuseRename(of)
	}
	return diags
}

// refuseCreated refuses to create a cluster that the same run destroys.
func (r *clusterResource) refuseCreated(plan clusterModel, members map[string]memberModel, seen ahead) (diags diag.Diagnostics) {
	if of := plan.claim(members, seen.reports); r.providerData.Claims.Created(of) {
		return refuseRename(of)
	}
	return diags
}

// refuseRename refuses a plan that destroys a cluster and creates it on the same hosts.
func refuseRename(of providerdata.Claim) (diags diag.Diagnostics) {
	diags.AddError(fmt.Sprintf("Cluster %s would be destroyed and created in one apply", of.Name),
		fmt.Sprintf("One resource of this plan takes cluster %s off its hosts (%s), and another forms it there, in whichever order: its data would be gone from it. "+
			"Where the resource was renamed, or has another key or module, say so with a block moved { from = etcd_cluster.OLD, to = etcd_cluster.NEW }, an argument a line. "+
			"Where a replacement has failed that was to create beforehand, and left the cluster as a deposed object, take that out of the state (terraform state rm) and import the cluster. "+
			"Where the cluster is to make room for a new one, take its resource out of the configuration and apply that first. Nothing was changed.", of.Name, strings.Join(of.Addresses, ", ")))
	return diags
}
