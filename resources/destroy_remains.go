package resources

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// warnOfRemains says what a destroy leaves on the hosts, where that is data.
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
