// Package modeltest tests that no model that Terraform's values are read into prints a secret.
package modeltest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// aSecret is the value of every sensitive attribute.
const aSecret = "hunter2-and-no-other"

// withSecrets returns a value in which every string that a schema marks as sensitive is a secret, and the number of
// secrets. An object that is sensitive as a whole holds secrets, and a certificate beside them that is none.
func withSecrets(t *testing.T, kind tftypes.Type, at *tftypes.AttributePath, isSecret func(*tftypes.AttributePath) bool, found *int) tftypes.Value {
	t.Helper()
	switch kind := kind.(type) {
	case tftypes.Object:
		values := map[string]tftypes.Value{}
		for name, inner := range kind.AttributeTypes {
			values[name] = withSecrets(t, inner, at.WithAttributeName(name), isSecret, found)
		}
		return tftypes.NewValue(kind, values)
	case tftypes.Map:
		return tftypes.NewValue(kind, map[string]tftypes.Value{"a": withSecrets(t, kind.ElementType, at.WithElementKeyString("a"), isSecret, found)})
	case tftypes.List:
		return tftypes.NewValue(kind, []tftypes.Value{withSecrets(t, kind.ElementType, at.WithElementKeyInt(0), isSecret, found)})
	case tftypes.Set:
		return tftypes.NewValue(kind, []tftypes.Value{tftypes.NewValue(kind.ElementType, "open")})
	}
	switch {
	case kind.Is(tftypes.Number):
		return tftypes.NewValue(kind, 1)
	case kind.Is(tftypes.Bool):
		return tftypes.NewValue(kind, true)
	case isSecret(at):
		*found++
		return tftypes.NewValue(kind, aSecret)
	}
	return tftypes.NewValue(kind, "open")
}

// Read reads an attribute whose model does not mirror its schema.
type Read func(context.Context, types.Object) (model any, diags diag.Diagnostics)

// PrintsNoSecrets reads a configuration, a plan or a state of a resource into its model, and attributes of it into
// theirs (inner, by their names, or with a Read). However these are printed, no sensitive attribute is in the text. The
// test covers attributes that are added later too; least is the least number of secrets.
func PrintsNoSecrets(t *testing.T, of resource.Resource, model any, least int, inner map[string]any) {
	t.Helper()
	var resp resource.SchemaResponse
	of.Schema(t.Context(), resource.SchemaRequest{}, &resp)
	raw := secretValue(t, resp.Schema, least)
	printsNone(t, "the resource", model, (&tfsdk.State{Schema: resp.Schema, Raw: raw}).Get(t.Context(), model))
	for attribute, inner := range inner {
		if read, is := inner.(Read); is {
			var object types.Object
			diags := (&tfsdk.State{Schema: resp.Schema, Raw: raw}).GetAttribute(t.Context(), path.Root(attribute), &object)
			model, d := read(t.Context(), object)
			printsNone(t, attribute, model, append(diags, d...))
			continue
		}
		printsNone(t, attribute, inner, (&tfsdk.State{Schema: resp.Schema, Raw: raw}).GetAttribute(t.Context(), path.Root(attribute), inner))
	}
}

// EphemeralPrintsNoSecrets does the same for an ephemeral resource.
func EphemeralPrintsNoSecrets(t *testing.T, of ephemeral.EphemeralResource, model any, least int) {
	t.Helper()
	var resp ephemeral.SchemaResponse
	of.Schema(t.Context(), ephemeral.SchemaRequest{}, &resp)
	raw := secretValue(t, resp.Schema, least)
	printsNone(t, "the ephemeral resource", model, (&tfsdk.Config{Schema: resp.Schema, Raw: raw}).Get(t.Context(), model))
}

// secretValue makes a value of a schema in which every sensitive attribute is a secret. There have to be at least least
// of them.
func secretValue[A interface{ IsSensitive() bool }](t *testing.T, of interface {
	Type() attr.Type
	AttributeAtTerraformPath(context.Context, *tftypes.AttributePath) (A, error)
}, least int) tftypes.Value {
	t.Helper()
	found := 0
	raw := withSecrets(t, of.Type().TerraformType(t.Context()), tftypes.NewAttributePath(), func(at *tftypes.AttributePath) bool {
		attribute, err := of.AttributeAtTerraformPath(t.Context(), at)
		return err == nil && attribute.IsSensitive()
	}, &found)
	if found < least {
		t.Errorf("%d secrets were found, and there are %d at least", found, least)
	}
	return raw
}

// printsNone checks that no printer prints a secret of a model.
func printsNone(t *testing.T, name string, model any, diags diag.Diagnostics) {
	t.Helper()
	if diags.HasError() {
		t.Fatalf("%s: %v", name, diags)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, verb+"\n", model)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "model", model)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "model", model)
	if err := json.NewEncoder(&out).Encode(model); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); strings.Contains(said, aSecret) || strings.Contains(said, fmt.Sprintf("%x", aSecret)) {
		t.Errorf("%s: the model prints a secret: %s", name, said)
	} else if !strings.Contains(said, "open") && !strings.Contains(said, "(sensitive)") {
		t.Errorf("%s: the model prints nothing: the test looks at nothing", name)
	}
}
