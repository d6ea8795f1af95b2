// Package sensitive has the type of attributes whose text must not leak by accident. Terraform keeps sensitive
// attributes out of its own output, and does not control what a provider prints: a model that is logged or put into an
// error prints its plain strings.
package sensitive

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

var (
	_ basetypes.StringTypable  = StringType{}
	_ basetypes.StringValuable = String{}
)

// StringType is the custom type of a schema's string attribute that is a secret.
type StringType struct{ basetypes.StringType }

// Equal tells whether another type is this one.
func (StringType) Equal(other attr.Type) bool {
	_, same := other.(StringType)
	return same
}

// String names the type.
func (StringType) String() string { return "sensitive.StringType" }

// ValueType returns the type of its values.
func (StringType) ValueType(context.Context) attr.Value { return String{} }

// ValueFromString makes a value from a plain string.
func (StringType) ValueFromString(_ context.Context, plain basetypes.StringValue) (basetypes.StringValuable, diag.Diagnostics) {
	return of(plain), nil
}

// ValueFromTerraform makes a value from Terraform's.
func (t StringType) ValueFromTerraform(ctx context.Context, in tftypes.Value) (attr.Value, error) {
	value, err := t.StringType.ValueFromTerraform(ctx, in)
	if err != nil {
		return nil, err
	}
	plain, ok := value.(basetypes.StringValue)
	if !ok {
		return nil, fmt.Errorf("a string of Terraform's is a %T", value)
	}
	return of(plain), nil
}

// String is a text that prints itself as redacted. The zero String is null.
//
// The text is behind a pointer because fmt calls no method on a value in an unexported field of another struct; there
// it prints an address instead of the text. (For a pointer to a struct, it prints the struct, if the verb is not one
// for pointers.)
type String struct {
	text    *string
	unknown bool
}

func of(plain basetypes.StringValue) String {
	if plain.IsNull() || plain.IsUnknown() {
		return String{unknown: plain.IsUnknown()}
	}
	return Of(plain.ValueString())
}

// Of returns a known text.
func Of(text string) String { return String{text: &text} }

// Unknown returns a text that is known after apply.
func Unknown() String { return String{unknown: true} }

func (s String) plain() basetypes.StringValue {
	switch {
	case s.unknown:
		return basetypes.NewStringUnknown()
	case s.text == nil:
		return basetypes.NewStringNull()
	}
	return basetypes.NewStringValue(*s.text)
}

// Reveal returns the text, for the one place that has to use it, or "" if it is null or unknown.
func (s String) Reveal() string { return s.plain().ValueString() }

// IsNull tells whether there is no text.
func (s String) IsNull() bool { return s.plain().IsNull() }

// IsUnknown tells whether the text is known only after apply.
func (s String) IsUnknown() bool { return s.plain().IsUnknown() }

// Equal compares the texts themselves.
func (s String) Equal(other attr.Value) bool {
	same, ok := other.(String)
	return ok && s.plain().Equal(same.plain())
}

// Type returns StringType.
func (String) Type(context.Context) attr.Type { return StringType{} }

// ToStringValue returns a plain string for the framework, whose validators and defaults require one.
func (s String) ToStringValue(context.Context) (basetypes.StringValue, diag.Diagnostics) {
	return s.plain(), nil
}

// ToTerraformValue returns the value for Terraform.
func (s String) ToTerraformValue(ctx context.Context) (tftypes.Value, error) {
	return s.plain().ToTerraformValue(ctx)
}

// String says whether there is a text, and never which.
func (s String) String() string {
	switch {
	case s.IsNull():
		return attr.NullValueString
	case s.IsUnknown():
		return attr.UnknownValueString
	}
	return "(sensitive)"
}

// Format writes String for every verb: %v, %+v, %#v, %q, %x and the rest.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue gives String to slog.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText gives String to encoders.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
