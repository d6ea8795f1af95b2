package resources

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// stateObject is a state, or an object in it, as Terraform has written it.
type stateObject map[string]any

// rename gives an attribute its new name.
func (o stateObject) rename(from, to string) {
	if value, is := o[from]; is {
		delete(o, from)
		o[to] = value
	}
}

// in is an object within; nil, of which nothing can be renamed, where there is none.
func (o stateObject) in(name string) stateObject {
	within, _ := o[name].(map[string]any)
	return within
}

// upgrading is a state upgrader that edits a state in place, one schema version to the current one. What a state lacks becomes null.
func upgrading(edit func(stateObject)) resource.StateUpgrader {
	return resource.StateUpgrader{StateUpgrader: func(_ context.Context, req resource.UpgradeStateRequest, resp *resource.UpgradeStateResponse) {
		text, err := edited(req.RawState.JSON, edit)
		if err != nil {
			resp.Diagnostics.AddError("The state of an earlier version of the provider cannot be read",
				err.Error()+". The state was not changed: restore the copy that Terraform or its backend has kept of it, or go back to the version of the provider that wrote it.")
			return
		}
		resp.DynamicValue = &tfprotov6.DynamicValue{JSON: text}
	}}
}

// edited is a state after an edit. Its numbers stay as they are, digit by digit.
func edited(text []byte, edit func(stateObject)) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var state stateObject
	if err := decoder.Decode(&state); err != nil {
		return nil, err
	}
	edit(state)
	return json.Marshal(state)
}

// clusterSchemaVersion is the version of etcd_cluster's schema. A change of a name or of a meaning raises it, and adds to UpgradeState.
const clusterSchemaVersion = 2

// UpgradeState brings states of earlier schema versions up to this one.
func (r *clusterResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: upgrading(clusterFrom0), 1: upgrading(clusterFrom1)}
}

// clusterFrom0 names things as etcd_pki, etcd_snapshot and the field do.
func clusterFrom0(state stateObject) {
	state.rename("ca_certificate", "client_ca_certificate")
	if state["status"] == "no quorum" {
		state["status"] = statusNoQuorum
	}
	state.in("backup").in("s3").rename("key", "prefix")
	if restore := state.in("restore"); restore != nil {
		if trigger, is := restore["trigger"].(string); is {
			restore["triggers"] = stateObject{formerTrigger: trigger}
		}
		delete(restore, "trigger")
	}
	clusterFrom1(state)
}

// clusterFrom1 names the end of members' certificates as the other resources name such times.
func clusterFrom1(state stateObject) {
	members := state.in("members")
	for name := range members {
		members.in(name).rename("certificate_expiry", "certificate_expires_at")
	}
}

// snapshotSchemaVersion is the version of etcd_snapshot's schema.
const snapshotSchemaVersion = 1

// UpgradeState brings states of earlier schema versions up to this one.
func (r *snapshotResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: upgrading(snapshotFrom0)}
}

// snapshotFrom0 names what a destroy deletes as etcd_cluster does.
func snapshotFrom0(state stateObject) { state.rename("purge", "purge_data") }
