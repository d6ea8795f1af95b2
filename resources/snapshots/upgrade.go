package snapshots

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/stateupgrade"
)

// snapshotSchemaVersion is the version of etcd_snapshot's schema.
const snapshotSchemaVersion = 1

// UpgradeState brings states of earlier schema versions up to this one.
func (r *snapshotResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: stateupgrade.Edit(snapshotFrom0)}
}

// snapshotFrom0 names what a destroy deletes as etcd_cluster does.
func snapshotFrom0(state stateupgrade.Object) { state.Rename("purge", "purge_data") }
