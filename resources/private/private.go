// Package private reads and writes private state, which Terraform keeps beside a state without showing it, and notes
// planned destroys there.
package private

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// State is private state, as requests and responses hold it.
type State interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// destroyPlanned is the key of private state that a planned destroy sets and a replacement does not.
const destroyPlanned = "destroy_planned"

// PlanDestroy notes that the object is destroyed for its own sake. Terraform plans the delete half of a replacement
// (taint, -replace, a failed provisioner) without asking the provider, so a Delete that does not find the note belongs
// to a replacement.
func PlanDestroy(ctx context.Context, private State) diag.Diagnostics {
	return private.SetKey(ctx, destroyPlanned, []byte("true"))
}

// TakeDestroyPlan tells whether a destroy was planned, and removes the note: if the Delete fails, Terraform keeps the
// private state, and the next destroy has to be planned again.
func TakeDestroyPlan(ctx context.Context, private State) (bool, diag.Diagnostics) {
	planned, diags := private.GetKey(ctx, destroyPlanned)
	diags.Append(private.SetKey(ctx, destroyPlanned, nil)...)
	return len(planned) > 0, diags
}
