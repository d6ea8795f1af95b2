package sensitive_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

const password = "opensesame"

func TestIsNotPrinted(t *testing.T) {
	text := sensitive.Of(password)
	object := types.ObjectValueMust(map[string]attr.Type{"key": sensitive.StringType{}}, map[string]attr.Value{"key": text})
	model := struct {
		Key    sensitive.String
		Object types.Object
		hidden sensitive.String
		inside types.Object
	}{text, object, text, object}
	for _, value := range []any{text, &text, object, model, &model, []any{model}} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "value", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("", "value", value)
		if err := json.NewEncoder(&out).Encode(value); err != nil {
			t.Fatal(err)
		}
		if said := out.String(); strings.Contains(said, password) || strings.Contains(said, fmt.Sprintf("%x", password)) {
			t.Errorf("a %T prints its secret: %s", value, said)
		}
	}
	plain := types.ObjectValueMust(map[string]attr.Type{"key": types.StringType}, map[string]attr.Value{"key": types.StringValue(password)})
	if said := fmt.Sprintf("%+v", plain); !strings.Contains(said, password) {
		t.Errorf("the test finds nothing: a plain string prints as %s", said)
	}
}

// TestIsAString: to Terraform the value is a string like any other.
func TestIsAString(t *testing.T) {
	for _, want := range []tftypes.Value{
		tftypes.NewValue(tftypes.String, password), tftypes.NewValue(tftypes.String, nil), tftypes.NewValue(tftypes.String, tftypes.UnknownValue),
	} {
		value, err := sensitive.StringType{}.ValueFromTerraform(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		back, err := value.ToTerraformValue(t.Context())
		if err != nil || !back.Equal(want) {
			t.Errorf("%s comes back as %s, %v", want, back, err)
		}
		if !value.Equal(value) || value.Equal(sensitive.Of("other")) || value.IsNull() != want.IsNull() || value.IsUnknown() == want.IsKnown() {
			t.Errorf("%s is not what it was", want)
		}
		if !value.Type(t.Context()).Equal(sensitive.StringType{}) {
			t.Errorf("its type is %s", value.Type(t.Context()))
		}
	}
	if zero := (sensitive.String{}); !zero.IsNull() || zero.Reveal() != "" || sensitive.Of(password).Reveal() != password || !sensitive.Unknown().IsUnknown() {
		t.Error("a value does not give out what it keeps")
	}
}
