// Package timeout bounds operations by the timeouts that a configuration gives them.
package timeout

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// Bound bounds an operation by one of its timeouts.
func Bound(ctx context.Context, timeout func(context.Context, time.Duration) (time.Duration, diag.Diagnostics), fallback time.Duration, diags *diag.Diagnostics) (context.Context, context.CancelFunc) {
	limit, d := timeout(ctx, fallback)
	diags.Append(d...)
	return context.WithTimeout(ctx, limit)
}

// Bounded describes timeouts, and refuses those that are over before anything has begun: a plan would say of every host
// that its time is up.
func Bounded(description string, timeouts schema.Attribute) schema.Attribute {
	nested, is := timeouts.(schema.SingleNestedAttribute)
	if !is {
		return timeouts
	}
	nested.MarkdownDescription = description
	for name, attribute := range nested.Attributes {
		if text, is := attribute.(schema.StringAttribute); is {
			text.Validators = []validator.String{validate.Duration}
			nested.Attributes[name] = text
		}
	}
	return nested
}
