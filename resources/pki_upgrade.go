package resources

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
)

// pkiSchemaVersion is the version of etcd_pki's schema.
const pkiSchemaVersion = 1

var _ resource.ResourceWithUpgradeState = (*pkiResource)(nil)

// UpgradeState brings states of earlier schema versions up to this one.
func (r *pkiResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: upgrading(pkiFrom0)}
}

// pkiFrom0 gives out the authority for clients by itself.
func pkiFrom0(state stateObject) {
	state["client_authority"] = stateObject{"client": state.in("authority").in("client")}
}
