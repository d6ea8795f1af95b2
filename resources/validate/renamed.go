package validate

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// Renamed refuses an attribute by its former name, and says the new one. Terraform ignores an attribute of an object that the
// schema does not have, so a former name within an object stays in the schema to be refused: ignored, it could have the apply do the
// opposite of what was asked.
type Renamed string

// Description implements validator.Describer.
func (r Renamed) Description(context.Context) string { return "is called " + string(r) + " now" }

// MarkdownDescription implements validator.Describer.
func (r Renamed) MarkdownDescription(ctx context.Context) string { return r.Description(ctx) }

// ValidateBool refuses any value, also one that is not known yet.
func (r Renamed) ValidateBool(_ context.Context, req validator.BoolRequest, resp *validator.BoolResponse) {
	if !req.ConfigValue.IsNull() {
		resp.Diagnostics.AddAttributeError(req.Path, "This attribute has another name now",
			fmt.Sprintf("%s is called %s now: rename it in the configuration.", req.Path, req.Path.ParentPath().AtName(string(r))))
	}
}
