package terraformtest

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/zclconf/go-cty/cty"
)

// builtin imitates Terraform's built-in provider, with terraform_data alone: its output is its input, and known after
// apply.
type builtin struct{}

var dataSchema = &tfprotov6.Schema{Block: &tfprotov6.SchemaBlock{Attributes: []*tfprotov6.SchemaAttribute{
	{Name: "id", Type: tftypes.String, Computed: true},
	{Name: "input", Type: tftypes.DynamicPseudoType, Optional: true},
	{Name: "output", Type: tftypes.DynamicPseudoType, Computed: true},
	{Name: "triggers_replace", Type: tftypes.DynamicPseudoType, Optional: true},
}}}

func (builtin) configure(context.Context) error { return nil }

func (builtin) schema(b *block) *tfprotov6.Schema {
	if b.data || b.kind != "terraform_data" {
		return nil
	}
	return dataSchema
}

func (builtin) validate(context.Context, *block, cty.Value) error { return nil }

func (builtin) upgrade(_ context.Context, _ *block, o *object) (*object, error) { return o, nil }

func (builtin) read(_ context.Context, _ *block, o *object) (*object, error) { return o, nil }

func (builtin) plan(_ context.Context, _ *block, prior, proposed, _ cty.Value, private []byte) (planned, error) {
	if proposed.IsNull() {
		return planned{proposed, private, nil}, nil
	}
	values := proposed.AsValueMap()
	if prior.IsNull() {
		values["id"] = cty.UnknownVal(cty.String)
	}
	if input := values["input"]; prior.IsNull() || !same(input, prior.GetAttr("input")) {
		values["output"] = cty.NullVal(cty.DynamicPseudoType)
		if !input.IsKnown() || !input.IsNull() {
			values["output"] = cty.UnknownVal(input.Type())
		}
	}
	return planned{cty.ObjectVal(values), private, []*tftypes.AttributePath{tftypes.NewAttributePath().WithAttributeName("triggers_replace")}}, nil
}

func (builtin) apply(_ context.Context, _ *block, _, plan, _ cty.Value, private []byte) (cty.Value, []byte, error) {
	if plan.IsNull() {
		return plan, nil, nil
	}
	values := plan.AsValueMap()
	if !values["id"].IsKnown() {
		values["id"] = cty.StringVal(rand.Text())
	}
	values["output"] = values["input"]
	return cty.ObjectVal(values), private, nil
}

func (builtin) readData(_ context.Context, b *block, _ cty.Value) (cty.Value, error) {
	return cty.NilVal, errors.New(b.address + ": there is no such data source")
}
