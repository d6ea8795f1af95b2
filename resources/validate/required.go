package validate

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// Required wants attributes of an object that is an element of a map, list or set, or that has former names. The
// framework's own Required is of no use for elements: it takes the attributes of one that is not known yet, as one of a
// module or of yamldecode, for missing.
type Required []string

// Description implements validator.Describer.
func (r Required) Description(context.Context) string { return "must have " + strings.Join(r, ", ") }

// MarkdownDescription implements validator.Describer.
func (r Required) MarkdownDescription(ctx context.Context) string { return r.Description(ctx) }

// ValidateObject checks an object that is known.
func (r Required) ValidateObject(_ context.Context, req validator.ObjectRequest, resp *validator.ObjectResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	attributes := req.ConfigValue.Attributes()
	for _, name := range r {
		if attribute, there := attributes[name]; !there || attribute.IsNull() {
			at := req.Path.AtName(name)
			resp.Diagnostics.AddAttributeError(at, "Missing attribute", fmt.Sprintf("%s is required: give it a value.", at))
		}
	}
}
