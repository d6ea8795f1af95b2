package snapshots

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
)

var _ resource.ResourceWithImportState = (*snapshotResource)(nil)

// ImportState says why snapshots cannot be imported: a resource sees what it has to know of a snapshot when it takes
// it.
func (r *snapshotResource) ImportState(_ context.Context, _ resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resp.Diagnostics.AddError("A snapshot cannot be imported", "A snapshot is taken by an apply, which verifies it then. Take the import out, move the file that is there away, since an apply does not overwrite it, and apply: another one is taken. "+
		"To restore from the file, no etcd_snapshot is needed: name it in restore of etcd_cluster. Nothing was changed.")
}
