package certificates

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
)

var _ resource.ResourceWithImportState = (*certificateResource)(nil)

// ImportState says why client certificates cannot be imported, and what to do instead: a certificate does not tell
// which key file belongs to it, or who has the key.
func (r *certificateResource) ImportState(_ context.Context, _ resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resp.Diagnostics.AddError("A client certificate needs no import", "Take the import out, and apply: where private_key_file is there, that key is used, and where csr is set, the key of that request. "+
		"The key gets another certificate, which takes the place of one of the same authority in certificate_file. The earlier certificate stays valid until it expires. Nothing was changed.")
}
