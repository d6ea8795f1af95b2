package resources

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
)

var (
	_ resource.ResourceWithImportState = (*certificateResource)(nil)
	_ resource.ResourceWithImportState = (*snapshotResource)(nil)
)

// ImportState says why a client certificate is not imported, and what takes the place of that: a certificate that is there proves
// neither which key file belongs to it, nor who has it.
func (r *certificateResource) ImportState(_ context.Context, _ resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resp.Diagnostics.AddError("A client certificate needs no import", "Take the import out, and apply: where private_key_file is there, that key is used, and where csr is set, the key of that request. "+
		"The key gets another certificate, which takes the place of one of the same authority in certificate_file. The earlier certificate stays valid until it expires. Nothing was changed.")
}

// ImportState says why a snapshot is not imported: what a resource has to know of it is seen when it is taken.
func (r *snapshotResource) ImportState(_ context.Context, _ resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resp.Diagnostics.AddError("A snapshot cannot be imported", "A snapshot is taken by an apply, which verifies it then. Take the import out, move the file that is there away, since an apply does not overwrite it, and apply: another one is taken. "+
		"To restore from the file, no etcd_snapshot is needed: name it in restore of etcd_cluster. Nothing was changed.")
}
