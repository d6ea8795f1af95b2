package terraformtest

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/zclconf/go-cty/cty"
)

// get returns an attribute of an object, or null if there is no object.
func get(object cty.Value, a *tfprotov6.SchemaAttribute) cty.Value {
	if object.IsKnown() && object.IsNull() {
		return cty.NullVal(attributeType(a))
	}
	return object.GetAttr(a.Name)
}

// element returns the element of a list or map at a key, and whether there is one.
func element(collection, key cty.Value) (cty.Value, bool) {
	if !collection.IsKnown() {
		return cty.UnknownVal(collection.Type().ElementType()), true
	}
	if collection.IsNull() || !collection.HasIndex(key).True() {
		return cty.NullVal(collection.Type().ElementType()), false
	}
	return collection.Index(key), true
}

// proposed returns the state that Terraform proposes to a provider: what the configuration says, and for computed
// attributes that the configuration leaves out, the prior value. If the prior value is unknown, computed attributes are
// unknown.
func proposed(attributes []*tfprotov6.SchemaAttribute, prior, config cty.Value) cty.Value {
	values := map[string]cty.Value{}
	for _, a := range attributes {
		was, wants := get(prior, a), config.GetAttr(a.Name)
		switch {
		case wants.IsKnown() && wants.IsNull() && a.Computed && !setBefore(a, was):
			values[a.Name] = was
		case a.NestedType != nil:
			values[a.Name] = proposedNested(a.NestedType, was, wants)
		default:
			values[a.Name] = wants
		}
	}
	return cty.ObjectVal(values)
}

// setBefore tells whether an optional attribute was set by a configuration, since its value holds what a provider
// cannot compute. Its value is not kept then if the configuration no longer sets it.
func setBefore(a *tfprotov6.SchemaAttribute, was cty.Value) bool {
	return a.Optional && a.NestedType != nil && configured(a.NestedType, was)
}

func configured(schema *tfprotov6.SchemaObject, value cty.Value) bool {
	if !value.IsKnown() || value.IsNull() {
		return false
	}
	for _, object := range objects(schema, value) {
		if !object.IsKnown() || object.IsNull() {
			continue
		}
		for _, inner := range schema.Attributes {
			value := object.GetAttr(inner.Name)
			if value.IsKnown() && value.IsNull() {
				continue
			}
			if !inner.Computed || inner.NestedType != nil && configured(inner.NestedType, value) {
				return true
			}
		}
	}
	return false
}

// objects returns the objects in the value of a nested attribute.
func objects(schema *tfprotov6.SchemaObject, value cty.Value) []cty.Value {
	if schema.Nesting == tfprotov6.SchemaObjectNestingModeSingle {
		return []cty.Value{value}
	}
	return value.AsValueSlice()
}

func proposedNested(schema *tfprotov6.SchemaObject, prior, config cty.Value) cty.Value {
	if !config.IsKnown() || config.IsNull() {
		return config
	}
	return eachObject(schema, config, func(key, object cty.Value) cty.Value {
		if !object.IsKnown() || object.IsNull() {
			return object
		}
		was := prior
		if key != cty.NilVal {
			was, _ = element(prior, key)
		}
		return proposed(schema.Attributes, was, object)
	})
}

// eachObject changes each object of a nested attribute that is known and not null.
func eachObject(schema *tfprotov6.SchemaObject, value cty.Value, change func(key, object cty.Value) cty.Value) cty.Value {
	if schema.Nesting == tfprotov6.SchemaObjectNestingModeSingle {
		return change(cty.NilVal, value)
	}
	if value.LengthInt() == 0 {
		return value
	}
	list, table := []cty.Value{}, map[string]cty.Value{}
	for it := value.ElementIterator(); it.Next(); {
		key, object := it.Element()
		object = change(key, object)
		if list = append(list, object); key.Type() == cty.String {
			table[key.AsString()] = object
		}
	}
	if schema.Nesting == tfprotov6.SchemaObjectNestingModeMap {
		return cty.MapVal(table)
	}
	return cty.ListVal(list)
}

// withoutWriteOnly sets write-only attributes to null: a provider sees them only in the configuration.
func withoutWriteOnly(attributes []*tfprotov6.SchemaAttribute, object cty.Value) cty.Value {
	if !object.IsKnown() || object.IsNull() {
		return object
	}
	values := map[string]cty.Value{}
	for _, a := range attributes {
		value := object.GetAttr(a.Name)
		switch {
		case a.WriteOnly:
			value = cty.NullVal(attributeType(a))
		case a.NestedType != nil && value.IsKnown() && !value.IsNull():
			value = eachObject(a.NestedType, value, func(_, inner cty.Value) cty.Value {
				return withoutWriteOnly(a.NestedType.Attributes, inner)
			})
		}
		values[a.Name] = value
	}
	return cty.ObjectVal(values)
}

// plain removes what is known about unknown values, which comparisons ignore.
func plain(value cty.Value) cty.Value {
	value, _ = cty.Transform(value, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if !v.IsKnown() {
			return cty.UnknownVal(v.Type()), nil
		}
		return v, nil
	})
	return value
}

func same(a, b cty.Value) bool { return plain(a).RawEquals(plain(b)) }

// checkPlanned returns where a plan differs from the configuration. It may only in computed attributes, or to keep
// prior values.
func checkPlanned(attributes []*tfprotov6.SchemaAttribute, prior, config, planned cty.Value, path string) []error {
	var wrong []error
	for _, a := range attributes {
		wrong = append(wrong, checkPlannedValue(a, get(prior, a), get(config, a), get(planned, a), path+"."+a.Name)...)
	}
	return wrong
}

func checkPlannedValue(a *tfprotov6.SchemaAttribute, prior, config, planned cty.Value, path string) []error {
	wants := config.IsKnown() && config.IsNull() // the configuration sets nothing
	switch {
	case a.WriteOnly:
		if !planned.IsNull() {
			return []error{fmt.Errorf("%s: planned value for write-only attribute is not null", path)}
		}
		return nil
	case same(planned, config),
		same(planned, prior) && !prior.IsNull() && !wants,
		a.Computed && (!a.Optional || wants):
		return nil
	case wants:
		return []error{fmt.Errorf("%s: planned value %#v for a non-computed attribute", path, planned)}
	case a.NestedType == nil || !planned.IsKnown() || planned.IsNull() || !config.IsKnown():
		return []error{fmt.Errorf("%s: planned value %#v does not match config value %#v", path, planned, config)}
	case a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeSingle:
		return checkPlanned(a.NestedType.Attributes, prior, config, planned, path)
	case planned.LengthInt() != config.LengthInt():
		return []error{fmt.Errorf("%s: count in plan (%d) disagrees with count in config (%d)", path, planned.LengthInt(), config.LengthInt())}
	}
	var wrong []error
	for it := planned.ElementIterator(); it.Next(); {
		key, object := it.Element()
		inner := fmt.Sprintf("%s[%#v]", path, key)
		wanted, found := element(config, key)
		was, _ := element(prior, key)
		switch {
		case !found:
			wrong = append(wrong, fmt.Errorf("%s: it is in the plan, and not in the configuration", inner))
		case !object.IsKnown() || !wanted.IsKnown() || object.IsNull():
			if !same(object, wanted) {
				wrong = append(wrong, fmt.Errorf("%s: planned value %#v does not match config value %#v", inner, object, wanted))
			}
		default:
			wrong = append(wrong, checkPlanned(a.NestedType.Attributes, was, wanted, object, inner)...)
		}
	}
	return wrong
}

// checkKept returns where a value differs from the planned one, in what the plan knew.
func checkKept(planned, actual cty.Value, path string) []error {
	if !planned.IsKnown() {
		if fits := planned.Range().Includes(actual); planned.Type() != cty.DynamicPseudoType && fits.IsKnown() && fits.False() {
			return []error{fmt.Errorf("%s: final value %#v does not conform to planning placeholder %#v", path, actual, planned)}
		}
		return nil
	}
	if planned.IsNull() || !actual.IsKnown() || actual.IsNull() || planned.Type().IsPrimitiveType() {
		if !planned.RawEquals(actual) {
			return []error{fmt.Errorf("%s: was %#v, but now %#v", path, planned, actual)}
		}
		return nil
	}
	var wrong []error
	if planned.Type().IsObjectType() {
		for name := range planned.Type().AttributeTypes() {
			if !actual.Type().HasAttribute(name) {
				wrong = append(wrong, fmt.Errorf("%s.%s: has vanished", path, name))
				continue
			}
			wrong = append(wrong, checkKept(planned.GetAttr(name), actual.GetAttr(name), path+"."+name)...)
		}
		return wrong
	}
	if planned.LengthInt() != actual.LengthInt() && !planned.Type().IsSetType() || planned.LengthInt() < actual.LengthInt() {
		return []error{fmt.Errorf("%s: was of %d elements, but now of %d", path, planned.LengthInt(), actual.LengthInt())}
	}
	if planned.Type().IsSetType() { // elements of a set cannot be told apart by a key
		if planned.IsWhollyKnown() && !planned.RawEquals(actual) {
			wrong = append(wrong, fmt.Errorf("%s: was %#v, but now %#v", path, planned, actual))
		}
		return wrong
	}
	for it := planned.ElementIterator(); it.Next(); {
		key, value := it.Element()
		inner := fmt.Sprintf("%s[%#v]", path, key)
		if !actual.HasIndex(key).True() {
			wrong = append(wrong, fmt.Errorf("%s: has vanished", inner))
			continue
		}
		wrong = append(wrong, checkKept(value, actual.Index(key), inner)...)
	}
	return wrong
}

// replaces tells whether any of the paths that require a replacement has changed.
func replaces(paths []*tftypes.AttributePath, prior, planned cty.Value) bool {
	for _, wanted := range paths {
		var path cty.Path
		for _, step := range wanted.Steps() {
			switch step := step.(type) {
			case tftypes.AttributeName:
				path = path.GetAttr(string(step))
			case tftypes.ElementKeyString:
				path = path.IndexString(string(step))
			case tftypes.ElementKeyInt:
				path = path.IndexInt(int(step))
			}
		}
		was, errBefore := path.Apply(prior)
		is, errAfter := path.Apply(planned)
		if errBefore != nil && errAfter != nil {
			continue
		}
		if errBefore != nil || errAfter != nil || !is.IsWhollyKnown() || !is.RawEquals(was) {
			return true
		}
	}
	return false
}
