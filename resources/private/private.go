// Package private is what Terraform keeps beside a state without showing it, and the note of a planned destroy in it.
package private

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// State is what Terraform keeps beside a state without showing it.
type State interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// destroyPlanned is the key of private state that a planned destroy sets and a replacement does not.
const destroyPlanned = "destroy_planned"

// PlanDestroy notes that the object is to be destroyed for its own sake. Terraform plans the delete
// half of a replacement (taint, -replace, a failed provisioner) without asking the provider, so a
// Delete that does not find the note is one of those.
func PlanDestroy(ctx context.Context, private State) diag.Diagnostics {
	return private.SetKey(ctx, destroyPlanned, []byte("true"))
}

// TakeDestroyPlan tells whether a destroy was planned, and forgets it: where the Delete fails, the
// private state is kept, and the next one has to be planned anew.
func TakeDestroyPlan(ctx context.Context, private State) (bool, diag.Diagnostics) {
	planned, diags := private.GetKey(ctx, destroyPlanned)
	diags.Append(private.SetKey(ctx, destroyPlanned, nil)...)
	return len(planned) > 0, diags
}
