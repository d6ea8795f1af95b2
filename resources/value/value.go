// Package value reads and makes values of Terraform, for whatever has attributes.
package value

import (
	"context"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Known tells whether values are known to their end.
func Known(ctx context.Context, values ...attr.Value) bool {
	return !slices.ContainsFunc(values, func(v attr.Value) bool {
		text, err := v.ToTerraformValue(ctx)
		return err != nil || !text.IsFullyKnown()
	})
}

// OrBefore is a value that is planned, or the one before where it is not known.
func OrBefore(planned, before types.String) types.String {
	if planned.IsUnknown() {
		return before
	}
	return planned
}

// List is a list of texts as Terraform has it.
func List(texts []string) types.List {
	values := make([]attr.Value, len(texts))
	for i, text := range texts {
		values[i] = types.StringValue(text)
	}
	return types.ListValueMust(types.StringType, values)
}

// Texts are the texts of a set that are known, sorted.
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
