// Package timeout bounds operations by the timeouts that a configuration gives them.
package timeout

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// Bound bounds an operation by one of its timeouts.
func Bound(ctx context.Context, timeout func(context.Context, time.Duration) (time.Duration, diag.Diagnostics), fallback time.Duration, diags *diag.Diagnostics) (context.Context, context.CancelFunc) {
	limit, d := timeout(ctx, fallback)
	diags.Append(d...)
	return context.WithTimeout(ctx, limit)
}
