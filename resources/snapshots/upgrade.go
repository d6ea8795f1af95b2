package snapshots

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/stateupgrade"
)

// snapshotSchemaVersion is the version of etcd_snapshot's schema.
const snapshotSchemaVersion = 1

// UpgradeState upgrades states of earlier schema versions.
func (r *snapshotResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: stateupgrade.Edit(snapshotFrom0)}
}

// snapshotFrom0 renames purge to purge_data, as in etcd_cluster.
func snapshotFrom0(state stateupgrade.Object) { state.Rename("purge", "purge_data") }
