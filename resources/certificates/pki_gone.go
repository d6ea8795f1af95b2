package certificates

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// warnGone adds the warning for the plan of a destroy: what is lost with the authorities, and what to do first if a
// cluster needs them. No plan can tell whether one does, since the cluster may be in another state, or use other
// authorities by now.
func (p pkiModel) warnGone() (diags diag.Diagnostics) {
	name := p.Name.ValueString()
	diags.AddWarning(fmt.Sprintf("The keys of the authorities of %s are lost", name), fmt.Sprintf("This state alone has them, and forgets them. A cluster that still trusts these authorities serves until the certificates of its members expire: "+
		"none of them can be renewed, no member can be replaced or added, and no client gets a certificate. Where a cluster %s is to live on, "+
		"give it other authorities first (pki of etcd_cluster), or keep these outside of the state: the guide \"When the state is lost\" says how to save them to files.", name))
	return diags
}
