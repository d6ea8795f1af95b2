// Package value reads and makes values of Terraform.
package value

import (
	"context"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Known tells whether values are wholly known.
func Known(ctx context.Context, values ...attr.Value) bool {
	return !slices.ContainsFunc(values, func(v attr.Value) bool {
		text, err := v.ToTerraformValue(ctx)
		return err != nil || !text.IsFullyKnown()
	})
}

// OrBefore returns the planned value, or the one before if the planned one is not known.
func OrBefore(planned, before types.String) types.String {
	if planned.IsUnknown() {
		return before
	}
	return planned
}

// List returns a list of texts as a value of Terraform.
func List(texts []string) types.List {
	values := make([]attr.Value, len(texts))
	for i, text := range texts {
		values[i] = types.StringValue(text)
	}
	return types.ListValueMust(types.StringType, values)
}

// Texts returns the known texts of a set, sorted.
func Texts(set types.Set) []string {
	var texts []string
	for _, element := range set.Elements() {
		if text, ok := element.(types.String); ok && !text.IsUnknown() {
			texts = append(texts, text.ValueString())
		}
	}
	slices.Sort(texts)
	return texts
}
