package resources_test

import (
	"maps"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources"
)

// TestNullsAmongValues holds that the validation refuses a null in any configured set or list of texts, rather than
// leave the null out in silence.
func TestNullsAmongValues(t *testing.T) {
	looked := 0
	for address, of := range givenTexts(t) {
		looked++
		refused := false
		elements := []attr.Value{types.StringNull()}
		switch of := of.(type) {
		case interface{ SetValidators() []validator.Set }:
			for _, v := range of.SetValidators() {
				var resp validator.SetResponse
				v.ValidateSet(t.Context(), validator.SetRequest{Path: path.Root(address), ConfigValue: types.SetValueMust(types.StringType, elements)}, &resp)
				refused = refused || resp.Diagnostics.HasError()
			}
		case interface{ ListValidators() []validator.List }:
			for _, v := range of.ListValidators() {
				var resp validator.ListResponse
				v.ValidateList(t.Context(), validator.ListRequest{Path: path.Root(address), ConfigValue: types.ListValueMust(types.StringType, elements)}, &resp)
				refused = refused || resp.Diagnostics.HasError()
			}
		}
		if !refused {
			t.Errorf("%s takes a null among its values", address)
		}
	}
	if looked < 10 {
		t.Errorf("%d attributes were looked at: the test has missed some", looked)
	}
}

// given is an attribute in the form that all kinds of schemas share.
type given interface {
	GetType() attr.Type
	IsOptional() bool
	IsRequired() bool
}

// givenTexts returns all configured sets and lists of texts, by address.
func givenTexts(t *testing.T) map[string]given {
	t.Helper()
	found := map[string]given{}
	for _, make := range resources.Managed() {
		var is resource.MetadataResponse
		var has resource.SchemaResponse
		make().Metadata(t.Context(), resource.MetadataRequest{ProviderTypeName: "etcd"}, &is)
		make().Schema(t.Context(), resource.SchemaRequest{}, &has)
		collectTexts(found, is.TypeName, asGiven(has.Schema.Attributes))
	}
	for _, make := range resources.Data() {
		var is datasource.MetadataResponse
		var has datasource.SchemaResponse
		make().Metadata(t.Context(), datasource.MetadataRequest{ProviderTypeName: "etcd"}, &is)
		make().Schema(t.Context(), datasource.SchemaRequest{}, &has)
		collectTexts(found, "data."+is.TypeName, asGiven(has.Schema.Attributes))
	}
	for _, make := range resources.Ephemeral() {
		var is ephemeral.MetadataResponse
		var has ephemeral.SchemaResponse
		make().Metadata(t.Context(), ephemeral.MetadataRequest{ProviderTypeName: "etcd"}, &is)
		make().Schema(t.Context(), ephemeral.SchemaRequest{}, &has)
		collectTexts(found, "ephemeral."+is.TypeName, asGiven(has.Schema.Attributes))
	}
	return found
}

func asGiven[A given](attributes map[string]A) map[string]given {
	all := map[string]given{}
	for name, a := range attributes {
		all[name] = a
	}
	return all
}

func collectTexts(found map[string]given, at string, attributes map[string]given) {
	for name, a := range maps.All(attributes) {
		address := at + "." + name
		if object, is := a.(schema.NestedAttribute); is {
			collectTexts(found, address, asGiven(object.GetNestedObject().GetAttributes()))
			continue
		}
		kind := a.GetType()
		if (a.IsOptional() || a.IsRequired()) && (kind.Equal(types.SetType{ElemType: types.StringType}) || kind.Equal(types.ListType{ElemType: types.StringType})) {
			found[address] = a
		}
	}
}
