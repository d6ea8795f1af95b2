package authority

import (
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
)

// MustShow refuses to plan for what lives from an authority already, where the plan cannot show which one it is to have: an apply would
// exchange authorities that nobody has seen. What is missing is named as it stands in pki.
func (k KeyPair) MustShow(name string) (diags diag.Diagnostics) {
	if k.Certificate.IsUnknown() {
		diags.AddAttributeError(path.Root("pki"), "The authority has to be known at plan time",
			"The certificate of pki."+name+" is known after apply. If it turned out to be another one, the apply would exchange the authority, and whoever approves the plan has to see that. "+
				"Apply what it comes from first (terraform apply -target=...), and plan again. Nothing was changed.")
	}
	return diags
}
