package certificates

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/stateupgrade"
)

// certificateSchemaVersion is the version of etcd_certificate's schema.
const certificateSchemaVersion = 1

var _ resource.ResourceWithUpgradeState = (*certificateResource)(nil)

// UpgradeState upgrades states of earlier schema versions.
func (r *certificateResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{0: stateupgrade.Edit(certificateFrom0)}
}

// certificateFrom0 gives attributes with PEM and times the names that they have in other resources.
func certificateFrom0(state stateupgrade.Object) {
	state.Rename("certificate_pem", "certificate")
	state.Rename("ca_certificate_pem", "ca_certificate")
	state.Rename("csr_pem", "csr")
	state.Rename("not_after", "expires_at")
}
