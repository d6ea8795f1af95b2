package certificates

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
)

// lookedAtKey is the key of private state that holds the time of the last refresh. Plans use that time in place of a
// clock, since Terraform plans again during the apply.
const lookedAtKey = "looked_at"

// noteLook keeps the time of a refresh, rounded up to the hour, so that not every refresh changes the state.
func noteLook(ctx context.Context, private private.State, now time.Time) diag.Diagnostics {
	text, err := now.UTC().Add(time.Hour - 1).Truncate(time.Hour).MarshalJSON()
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("The time of the refresh cannot be kept", err.Error())}
	}
	return private.SetKey(ctx, lookedAtKey, text)
}

// lookedAt returns the time of the last refresh, or the zero time.
func lookedAt(ctx context.Context, private private.State) (at time.Time, diags diag.Diagnostics) {
	text, diags := private.GetKey(ctx, lookedAtKey)
	if len(text) > 0 {
		if err := at.UnmarshalJSON(text); err != nil {
			diags.AddError("The private state cannot be read", err.Error())
		}
	}
	return at, diags
}
