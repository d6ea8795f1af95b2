package cluster

import (
	"reflect"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// TestEveryAttributeIsAsked: a plan is a repair only where the configuration says what was applied last, in all that it
// can say. An attribute that is added and not compared would be applied with nobody watching.
func TestEveryAttributeIsAsked(t *testing.T) {
	refused := map[string]bool{"name": true, "data_dir": true, "pki": true} // any change of these
	for name, attribute := range clusterSchema(t.Context()).Attributes {
		if refused[name] || name == "members" || !attribute.IsRequired() && !attribute.IsOptional() {
			continue
		}
		plan, state := unsaid(), unsaid()
		alter(t, &plan, name)
		if !plan.asked(change{cluster: plan.cluster(nil)}, state).Change {
			t.Errorf("%s: a change of it is taken for a repair", name)
		}
	}
	for name, attribute := range memberAttributes() {
		if attribute.IsRequired() || attribute.IsOptional() {
			var before memberModel
			m := before
			alter(t, &m, name)
			was, is := map[string]memberModel{"a": before}, map[string]memberModel{"a": m}
			if !unsaid().asked(change{before: was, members: is, cluster: unsaid().cluster(is)}, unsaid()).Change {
				t.Errorf("members.%s: a change of it is taken for a repair", name)
			}
		}
	}
	for name, members := range map[string]map[string]memberModel{"added": {"a": {}, "b": {}}, "taken out": {}} {
		if !unsaid().asked(change{before: map[string]memberModel{"a": {}}, members: members, cluster: unsaid().cluster(members)}, unsaid()).Change {
			t.Errorf("a member that is %s is taken for a repair", name)
		}
	}
	if unsaid().asked(change{cluster: unsaid().cluster(nil)}, unsaid()).Change {
		t.Error("a configuration that says the same is taken for a change")
	}
}

// unsaid is a cluster of which nothing is said.
func unsaid() clusterModel {
	none := types.ObjectNull(map[string]attr.Type{})
	return clusterModel{AbandonOnDestroy: types.SetNull(types.StringType), ExtraServerNames: types.SetNull(types.StringType), RecoverFrom: none, Restore: none, Backup: none, Settings: none, ExtraFlags: types.MapNull(types.StringType), Timeouts: timeouts.Value{Object: none}}
}

// alter gives an attribute of a model another value than none.
func alter(t *testing.T, model any, name string) {
	t.Helper()
	fields := reflect.ValueOf(model).Elem()
	for i := range fields.NumField() {
		if fields.Type().Field(i).Tag.Get("tfsdk") != name {
			continue
		}
		switch field := fields.Field(i).Addr().Interface().(type) {
		case *types.String:
			*field = types.StringValue("3.7")
		case *types.Int64:
			*field = types.Int64Value(7)
		case *types.Bool:
			*field = types.BoolValue(true)
		case *types.Set:
			*field = types.SetUnknown(types.StringType)
		case *types.Map:
			*field = types.MapUnknown(types.StringType)
		case *types.Object:
			*field = types.ObjectUnknown(map[string]attr.Type{})
		case *timeouts.Value:
			field.Object = types.ObjectUnknown(map[string]attr.Type{})
		default:
			t.Fatalf("%s is a %T: say what another value of it is", name, field)
		}
		return
	}
	t.Fatalf("the model has no %s", name)
}
