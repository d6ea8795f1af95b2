package resources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/s3"
)

// aSecret is what stands in every attribute that is one.
const aSecret = "hunter2-and-no-other"

// withSecrets is a value of a type in which every string that a schema marks as sensitive is a secret, and how many there are.
// An object that is a secret as a whole holds some that are, and a certificate beside them that is none.
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

// TestModelsPrintNoSecrets: whatever model a configuration, a plan or a state is read into, and however it is printed, an
// attribute that its schema marks as sensitive is not in the text. An attribute that is added later is looked at too.
func TestModelsPrintNoSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		of    resource.Resource
		model any
		least int
	}{
		"etcd_pki":         {NewPKI(), &pkiModel{}, 3},
		"etcd_certificate": {NewCertificate(), &certificateModel{}, 1},
		"etcd_cluster":     {NewCluster()(), &clusterModel{}, 5},
		"etcd_snapshot":    {NewSnapshot(), &snapshotModel{}, 1},
	} {
		var resp resource.SchemaResponse
		c.of.Schema(t.Context(), resource.SchemaRequest{}, &resp)
		found := 0
		raw := withSecrets(t, resp.Schema.Type().TerraformType(t.Context()), tftypes.NewAttributePath(), func(at *tftypes.AttributePath) bool {
			attribute, err := resp.Schema.AttributeAtTerraformPath(t.Context(), at)
			return err == nil && attribute.IsSensitive()
		}, &found)
		if found < c.least {
			t.Errorf("%s: %d secrets were found, and there are %d at least", name, found, c.least)
		}
		printsNone(t, name, c.model, (&tfsdk.State{Schema: resp.Schema, Raw: raw}).Get(t.Context(), c.model))
		for attribute, inner := range map[string]any{"pki": &authority.Model{}, "authority": &authority.Model{}, "backup": &backupModel{}, "restore": &restoreModel{}, "s3": &s3.Object{}} {
			if _, has := resp.Schema.Attributes[attribute]; has && (attribute != "pki" || name == "etcd_cluster") {
				printsNone(t, name+"."+attribute, inner, (&tfsdk.State{Schema: resp.Schema, Raw: raw}).GetAttribute(t.Context(), path.Root(attribute), inner))
			}
		}
	}
	var resp ephemeral.SchemaResponse
	NewEphemeralCertificate().Schema(t.Context(), ephemeral.SchemaRequest{}, &resp)
	found := 0
	raw := withSecrets(t, resp.Schema.Type().TerraformType(t.Context()), tftypes.NewAttributePath(), func(at *tftypes.AttributePath) bool {
		attribute, err := resp.Schema.AttributeAtTerraformPath(t.Context(), at)
		return err == nil && attribute.IsSensitive()
	}, &found)
	if found != 2 {
		t.Errorf("the ephemeral etcd_certificate has %d secrets", found)
	}
	var model ephemeralModel
	printsNone(t, "the ephemeral etcd_certificate", &model, (&tfsdk.Config{Schema: resp.Schema, Raw: raw}).Get(t.Context(), &model))
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
