package certificates

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/stateupgrade"
)

// pkiSchemaVersion is the version of etcd_pki's schema.
const pkiSchemaVersion = 2

var _ resource.ResourceWithUpgradeState = (*pkiResource)(nil)

// UpgradeState brings states of earlier schema versions up to this one.
func (r *pkiResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: stateupgrade.Edit(pkiFrom0), 1: stateupgrade.Edit(pkiFrom1)}
}

// pkiFrom0 gives out the authority for clients by itself.
func pkiFrom0(state stateupgrade.Object) {
	state["client_authority"] = stateupgrade.Object{"client": state.In("authority").In("client")}
	pkiFrom1(state)
}

// pkiFrom1 says that no authority is trusted beside those that sign. Their fingerprints come with the next refresh.
func pkiFrom1(state stateupgrade.Object) {
	for _, name := range []string{"authority", "client_authority"} {
		if authority := state.In(name); authority != nil {
			authority["trusted"] = nil
		}
	}
}
