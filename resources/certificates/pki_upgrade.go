package certificates

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/stateupgrade"
)

// pkiSchemaVersion is the version of etcd_pki's schema.
const pkiSchemaVersion = 1

var _ resource.ResourceWithUpgradeState = (*pkiResource)(nil)

// UpgradeState brings states of earlier schema versions up to this one.
func (r *pkiResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: stateupgrade.Edit(pkiFrom0)}
}

// pkiFrom0 gives out the authority for clients by itself.
func pkiFrom0(state stateupgrade.Object) {
	state["client_authority"] = stateupgrade.Object{"client": state.In("authority").In("client")}
}
