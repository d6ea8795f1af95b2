package terraformtest

import (
	"fmt"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/zclconf/go-cty/cty"
)

// typeOf returns a type of the protocol as Terraform has it.
func typeOf(t tftypes.Type) cty.Type {
	switch t := t.(type) {
	case tftypes.List:
		return cty.List(typeOf(t.ElementType))
	case tftypes.Set:
		return cty.Set(typeOf(t.ElementType))
	case tftypes.Map:
		return cty.Map(typeOf(t.ElementType))
	case tftypes.Tuple:
		elements := make([]cty.Type, len(t.ElementTypes))
		for i, element := range t.ElementTypes {
			elements[i] = typeOf(element)
		}
		return cty.Tuple(elements)
	case tftypes.Object:
		attributes := map[string]cty.Type{}
		for name, attribute := range t.AttributeTypes {
			attributes[name] = typeOf(attribute)
		}
		return cty.Object(attributes)
	}
	switch {
	case t.Is(tftypes.String):
		return cty.String
	case t.Is(tftypes.Number):
		return cty.Number
	case t.Is(tftypes.Bool):
		return cty.Bool
	default:
		return cty.DynamicPseudoType
	}
}

// nested wraps the type of an object by its kind of nesting.
func nested(mode tfprotov6.SchemaObjectNestingMode, object cty.Type) cty.Type {
	switch mode {
	case tfprotov6.SchemaObjectNestingModeList:
		return cty.List(object)
	case tfprotov6.SchemaObjectNestingModeSet:
		return cty.Set(object)
	case tfprotov6.SchemaObjectNestingModeMap:
		return cty.Map(object)
	default:
		return object
	}
}

// attributeType returns the type of an attribute in state and plan, and configType the one that a configuration has to
// give: in nested objects there, optional and computed attributes may be left out.
func attributeType(a *tfprotov6.SchemaAttribute) cty.Type {
	if a.NestedType == nil {
		return typeOf(a.Type)
	}
	return nested(a.NestedType.Nesting, objectType(a.NestedType.Attributes))
}

func objectType(attributes []*tfprotov6.SchemaAttribute) cty.Type {
	types := map[string]cty.Type{}
	for _, a := range attributes {
		types[a.Name] = attributeType(a)
	}
	return cty.Object(types)
}

func configType(a *tfprotov6.SchemaAttribute) cty.Type {
	if a.NestedType == nil {
		return typeOf(a.Type)
	}
	types := map[string]cty.Type{}
	var optional []string
	for _, inner := range a.NestedType.Attributes {
		types[inner.Name] = configType(inner)
		if inner.Optional || inner.Computed {
			optional = append(optional, inner.Name)
		}
	}
	return nested(a.NestedType.Nesting, cty.ObjectWithOptionalAttrs(types, optional))
}

// decoder reads the body of a resource into a value of its schema's type.
func decoder(schema *tfprotov6.Schema) hcldec.Spec {
	spec := hcldec.ObjectSpec{}
	for _, a := range schema.Block.Attributes {
		spec[a.Name] = &hcldec.AttrSpec{Name: a.Name, Type: configType(a), Required: a.Required}
	}
	return spec
}

// checkSchema returns an error for a schema with something that this package does not support.
func checkSchema(name string, schema *tfprotov6.Schema) error {
	if schema == nil {
		return fmt.Errorf("the provider has no %s", name)
	}
	if len(schema.Block.BlockTypes) > 0 {
		return fmt.Errorf("%s has nested blocks", name)
	}
	return checkAttributes(name, schema.Block.Attributes)
}

func checkAttributes(name string, attributes []*tfprotov6.SchemaAttribute) error {
	for _, a := range attributes {
		if a.NestedType == nil {
			continue
		}
		if a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeSet {
			return fmt.Errorf("%s.%s is a set of nested objects", name, a.Name)
		}
		if err := checkAttributes(name+"."+a.Name, a.NestedType.Attributes); err != nil {
			return err
		}
	}
	return nil
}
