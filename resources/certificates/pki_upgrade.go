package certificates

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/stateupgrade"
)

// pkiSchemaVersion is the version of etcd_pki's schema.
const pkiSchemaVersion = 2

var _ resource.ResourceWithUpgradeState = (*pkiResource)(nil)

// UpgradeState upgrades states of earlier schema versions.
func (r *pkiResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: stateupgrade.Edit(pkiFrom0), 1: stateupgrade.Edit(pkiFrom1)}
}

// pkiFrom0 adds client_authority.
func pkiFrom0(state stateupgrade.Object) {
	state["client_authority"] = stateupgrade.Object{"client": state.In("authority").In("client")}
	pkiFrom1(state)
}

// pkiFrom1 adds trusted, null, to the authorities. The next refresh adds their fingerprints.
func pkiFrom1(state stateupgrade.Object) {
	for _, name := range []string{"authority", "client_authority"} {
		if authority := state.In(name); authority != nil {
			authority["trusted"] = nil
		}
	}
}
