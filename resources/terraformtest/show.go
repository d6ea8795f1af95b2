package terraformtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/zclconf/go-cty/cty"
)

// known returns a value as JSON, without what is unknown.
func known(value cty.Value) any {
	t := value.Type()
	switch {
	case !value.IsKnown() || value.IsNull():
		return nil
	case t == cty.String:
		return value.AsString()
	case t == cty.Bool:
		return value.True()
	case t == cty.Number:
		return json.Number(value.AsBigFloat().Text('f', -1))
	case t.IsMapType() || t.IsObjectType():
		fields := map[string]any{}
		for name, field := range value.AsValueMap() {
			if field.IsKnown() {
				fields[name] = known(field)
			}
		}
		return fields
	default:
		list := []any{}
		for _, element := range value.AsValueSlice() {
			list = append(list, known(element))
		}
		return list
	}
}

// unknown returns true in place of each unknown part of a value, and leaves the rest out.
func unknown(value cty.Value) any {
	t := value.Type()
	switch {
	case !value.IsKnown():
		return true
	case value.IsNull() || t.IsPrimitiveType():
		return false
	case t.IsMapType() || t.IsObjectType():
		fields := map[string]any{}
		for name, field := range value.AsValueMap() {
			if is := unknown(field); is != false {
				fields[name] = is
			}
		}
		return fields
	default:
		list := []any{}
		for _, element := range value.AsValueSlice() {
			list = append(list, unknown(element))
		}
		return list
	}
}

func (b *block) mode() tfjson.ResourceMode {
	if b.data {
		return tfjson.DataResourceMode
	}
	return tfjson.ManagedResourceMode
}

// show returns a plan as `terraform show -json` prints it.
func (p *plan) show() *tfjson.Plan {
	shown := &tfjson.Plan{FormatVersion: "1.2"}
	for _, c := range p.changes {
		actions := tfjson.Actions{tfjson.Action(c.action)}
		if c.action == replace {
			actions = tfjson.Actions{tfjson.ActionDelete, tfjson.ActionCreate}
		}
		is := unknown(c.after)
		if is == false {
			is = map[string]any{}
		}
		shown.ResourceChanges = append(shown.ResourceChanges, &tfjson.ResourceChange{
			Address: c.address, Mode: c.mode(), Type: c.kind, Name: c.name,
			Change: &tfjson.Change{Actions: actions, Before: known(c.before), After: known(c.after), AfterUnknown: is},
		})
	}
	slices.SortFunc(shown.ResourceChanges, func(a, b *tfjson.ResourceChange) int { return strings.Compare(a.Address, b.Address) })
	return shown
}

// differences returns what a plan changes, for an error.
func (p *plan) differences() string {
	var text strings.Builder
	for _, c := range p.changes {
		if c.action == noOp {
			continue
		}
		fmt.Fprintln(&text, c)
		before, after := flat(known(c.before)), flat(known(c.after))
		for _, name := range union(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after))) {
			if before[name] != after[name] {
				fmt.Fprintf(&text, "  %s: %q -> %q\n", name, before[name], after[name])
			}
		}
	}
	return text.String()
}

// shown returns a state as the checks of plugin-testing read it.
func (s state) shown() *terraform.State {
	module := &terraform.ModuleState{Path: []string{"root"}, Outputs: map[string]*terraform.OutputState{}, Resources: map[string]*terraform.ResourceState{}}
	for address, o := range s {
		attributes := flat(known(o.value))
		id, found := attributes["id"]
		if !found {
			id = "id-attribute-not-set"
		}
		module.Resources[address] = &terraform.ResourceState{
			Type: blockAt(address).kind, Dependencies: o.deps,
			Primary: &terraform.InstanceState{ID: id, Attributes: attributes, Tainted: o.tainted},
		}
	}
	return &terraform.State{Modules: []*terraform.ModuleState{module}}
}

// flat returns every leaf of a value by its path, and the sizes of lists and maps under "#" and "%".
func flat(value any) map[string]string {
	flattened := map[string]string{}
	var add func(path string, value any)
	add = func(path string, value any) {
		under := func(key string) string { return strings.TrimPrefix(path+"."+key, ".") }
		switch value := value.(type) {
		case nil:
		case map[string]any:
			for key, inner := range value {
				add(under(key), inner)
			}
			flattened[under("%")] = strconv.Itoa(len(value))
		case []any:
			for i, inner := range value {
				add(under(strconv.Itoa(i)), inner)
			}
			flattened[under("#")] = strconv.Itoa(len(value))
		default:
			flattened[path] = fmt.Sprint(value)
		}
	}
	add("", value)
	return flattened
}
