package validate

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// Required refuses an object without these attributes, if the object is an element of a map, list or set, or has former
// names. The framework's own Required does not work for elements: if an object is not known yet, such as one of a
// module or of yamldecode, it takes the attributes for missing.
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
