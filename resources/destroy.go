package resources

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// destroyPlanned is the key of private state that a planned destroy sets and a replacement does not.
const destroyPlanned = "destroy_planned"

// privateState is what Terraform keeps beside a state without showing it.
type privateState interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// planDestroy notes that the object is to be destroyed for its own sake. Terraform plans the delete
// half of a replacement (taint, -replace, a failed provisioner) without asking the provider, so a
// Delete that does not find the note is one of those.
func planDestroy(ctx context.Context, private privateState) diag.Diagnostics {
	return private.SetKey(ctx, destroyPlanned, []byte("true"))
}

// takeDestroyPlan tells whether a destroy was planned, and forgets it: where the Delete fails, the
// private state is kept, and the next one has to be planned anew.
func takeDestroyPlan(ctx context.Context, private privateState) (bool, diag.Diagnostics) {
	planned, diags := private.GetKey(ctx, destroyPlanned)
	diags.Append(private.SetKey(ctx, destroyPlanned, nil)...)
	return len(planned) > 0, diags
}
