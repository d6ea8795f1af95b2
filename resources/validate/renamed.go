package validate

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// Renamed refuses an attribute by its former name, and says the new one. Terraform ignores an attribute in an object
// that the schema does not have. So the schema keeps a former name within an object in order to refuse it: if it were
// ignored, the apply could do the opposite of what was asked.
type Renamed struct {
	From string // the former name, if this validates the object around it
	To   string // the new name, in the same object
	How  string // what to write, if that is more than another name
}

// Deprecated returns what the schema says of the former name.
func (r Renamed) Deprecated() string { return "Use " + r.To + ": this name is refused." }

// Description implements validator.Describer.
func (r Renamed) Description(context.Context) string { return "is called " + r.To + " now" }

// MarkdownDescription implements validator.Describer.
func (r Renamed) MarkdownDescription(ctx context.Context) string { return r.Description(ctx) }

// ValidateBool refuses any value, also one that is not known yet.
func (r Renamed) ValidateBool(_ context.Context, req validator.BoolRequest, resp *validator.BoolResponse) {
	r.refuse(req.Path, req.ConfigValue, &resp.Diagnostics)
}

// ValidateString refuses any value, also one that is not known yet.
func (r Renamed) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	r.refuse(req.Path, req.ConfigValue, &resp.Diagnostics)
}

// ValidateObject refuses an object that has the former name. It is for an object that Required validates too: the
// framework validates no attribute of one that is refused.
func (r Renamed) ValidateObject(_ context.Context, req validator.ObjectRequest, resp *validator.ObjectResponse) {
	if value, has := req.ConfigValue.Attributes()[r.From]; has {
		r.refuse(req.Path.AtName(r.From), value, &resp.Diagnostics)
	}
}

func (r Renamed) refuse(at path.Path, value attr.Value, diags *diag.Diagnostics) {
	if value.IsNull() {
		return
	}
	how := r.How
	if how == "" {
		how = "rename it in the configuration"
	}
	diags.AddAttributeError(at, "This attribute has another name now", fmt.Sprintf("%s is called %s now: %s.", at, at.ParentPath().AtName(r.To), how))
}
