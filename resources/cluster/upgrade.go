package cluster

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/restore"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/stateupgrade"
)

// clusterSchemaVersion is the version of etcd_cluster's schema. A change of a name or of a meaning raises it, and adds
// to UpgradeState.
const clusterSchemaVersion = 4

// UpgradeState brings states of earlier schema versions up to this one.
func (r *clusterResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: stateupgrade.Edit(clusterFrom0), 1: stateupgrade.Edit(clusterFrom1), 2: stateupgrade.Edit(clusterFrom2), 3: stateupgrade.Edit(clusterFrom3)}
}

// clusterFrom0 names things as etcd_pki, etcd_snapshot and the field do.
func clusterFrom0(state stateupgrade.Object) {
	state.Rename("ca_certificate", "client_ca_certificate")
	if state["status"] == "no quorum" {
		state["status"] = health.StatusNoQuorum
	}
	state.In("backup").In("s3").Rename("key", "prefix")
	if from := state.In("restore"); from != nil {
		if trigger, is := from["trigger"].(string); is {
			from["triggers"] = stateupgrade.Object{restore.FormerTrigger: trigger}
		}
		delete(from, "trigger")
	}
	clusterFrom1(state)
}

// clusterFrom1 names the end of members' certificates as the other resources name such times.
func clusterFrom1(state stateupgrade.Object) {
	members := state.In("members")
	for name := range members {
		members.In(name).Rename("certificate_expiry", "certificate_expires_at")
	}
	clusterFrom2(state)
}

// clusterFrom2 names the undoing of a restore as the field does.
func clusterFrom2(state stateupgrade.Object) {
	state.In("restore").Rename("take_back", "roll_back")
	clusterFrom3(state)
}

// clusterFrom3 changes nothing. The version keeps an earlier release from a cluster whose members demand a common name
// of their peers: it would give them certificates without that name, and they would refuse each other.
func clusterFrom3(stateupgrade.Object) {}
