package resources

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
)

// A resource that was renamed in the configuration, without a moved block, is one that is destroyed and another one that is created,
// in whichever order Terraform comes to them. So is a cluster that a failed replacement with create_before_destroy has left deposed.
// Where both are of one cluster on the same hosts, that would take the cluster off its hosts, and its data aside.

// claim is a cluster on its hosts, as a plan has it.
type claim struct {
	name      string
	addresses []string // that are known
	owners    []string // of clusters of this name that are on the hosts
}

// same tells whether two claims are of one cluster: it has the same name on a host of both.
func (c claim) same(other claim) bool {
	shares := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(text string) bool { return slices.Contains(b, text) })
	}
	return c.name == other.name && (shares(c.addresses, other.addresses) || shares(c.owners, other.owners))
}

// claims are what the plans of one run destroy and create. Terraform makes plans side by side, so that each plan asks the others.
type claims struct {
	sync.Mutex
	goes, comes []claim
}

// destroyed notes a cluster that is destroyed, and tells whether it is created too.
func (c *claims) destroyed(of claim) bool {
	c.Lock()
	defer c.Unlock()
	c.goes = append(c.goes, of)
	return slices.ContainsFunc(c.comes, of.same)
}

// created notes a cluster that is created, and tells whether it is destroyed too.
func (c *claims) created(of claim) bool {
	c.Lock()
	defer c.Unlock()
	c.comes = append(c.comes, of)
	return slices.ContainsFunc(c.goes, of.same)
}

// claim is the cluster of the model, on the hosts that it names or that were seen.
func (c clusterModel) claim(members map[string]memberModel, seen bootstrap.Reports) claim {
	is := claim{name: c.Name.ValueString(), addresses: c.cluster(members).Located().Addresses()}
	if owner := c.Owner.ValueString(); owner != "" {
		is.owners = append(is.owners, owner)
	}
	for _, report := range seen {
		if marker := report.Marker(); marker != nil {
			is.owners = append(is.owners, marker.Owner)
		}
	}
	return is
}

// refuseDestroyed refuses to destroy a cluster that the same run creates.
func (r *clusterResource) refuseDestroyed(ctx context.Context, state clusterModel) (diags diag.Diagnostics) {
	members, diags := state.memberModels(ctx)
	dropUnmanaged(members)
	if of := state.claim(members, nil); !diags.HasError() && r.providerData.claims.destroyed(of) {
		return refuseRename(of)
	}
	return diags
}

// refuseCreated refuses to create a cluster that the same run destroys.
func (r *clusterResource) refuseCreated(plan clusterModel, members map[string]memberModel, seen ahead) (diags diag.Diagnostics) {
	if of := plan.claim(members, seen.reports); r.providerData.claims.created(of) {
		return refuseRename(of)
	}
	return diags
}

// refuseRename refuses a plan that destroys a cluster and creates it on the same hosts.
func refuseRename(of claim) (diags diag.Diagnostics) {
	diags.AddError(fmt.Sprintf("Cluster %s would be destroyed and created in one apply", of.name),
		fmt.Sprintf("One resource of this plan takes cluster %s off its hosts (%s), and another forms it there, in whichever order: its data would be gone from it. "+
			"Where the resource was renamed, or has another key or module, say so with a block moved { from = etcd_cluster.OLD, to = etcd_cluster.NEW }, an argument a line. "+
			"Where a replacement has failed that was to create beforehand, and left the cluster as a deposed object, take that out of the state (terraform state rm) and import the cluster. "+
			"Where the cluster is to make room for a new one, take its resource out of the configuration and apply that first. Nothing was changed.", of.name, strings.Join(of.addresses, ", ")))
	return diags
}
