package terraformtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// block is a resource or a data source in a configuration.
type block struct {
	address string // type.name, or data.type.name
	data    bool
	kind    string
	name    string
	body    *hclsyntax.Body
	text    []byte   // the whole configuration
	deps    []string // addresses that the block refers to
}

// config is a configuration. Each block comes after those that it refers to.
type config []*block

// of returns the block at an address, or nil.
func (c config) of(address string) *block {
	for _, b := range c {
		if b.address == address {
			return b
		}
	}
	return nil
}

// blockAt returns a block for an address that only the state has.
func blockAt(address string) *block {
	parts := strings.Split(address, ".")
	if len(parts) == 3 {
		return &block{address: address, data: true, kind: parts[1], name: parts[2]}
	}
	return &block{address: address, kind: parts[0], name: parts[1]}
}

// errUnsupported is returned for what this package leaves to Terraform itself.
var errUnsupported = errors.New("not supported in this process")

// said words the diagnostics of HCL as Terraform prints them.
func said(diags hcl.Diagnostics) error {
	var all []error
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			all = append(all, printed("Error: %s\n\n%s\n", d.Summary, d.Detail))
		}
	}
	return errors.Join(all...)
}

// line returns the line in which an attribute is set, as Terraform shows it beside an error, or "".
func (b *block) line(path *tftypes.AttributePath) string {
	if path == nil || b == nil || b.body == nil || len(path.Steps()) == 0 {
		return ""
	}
	name, _ := path.Steps()[0].(tftypes.AttributeName)
	attribute := b.body.Attributes[string(name)]
	if attribute == nil {
		return ""
	}
	line := attribute.SrcRange.Start.Line
	return fmt.Sprintf("on main.tf line %d, in %s:\n  %d: %s\n\n", line, b.address, line, bytes.Split(b.text, []byte("\n"))[line-1])
}

// meta are the arguments that Terraform itself defines for every resource.
var meta = []string{"count", "for_each", "depends_on", "provider", "lifecycle", "connection", "provisioner"}

// parse reads a configuration.
func parse(text string) (config, error) {
	file, diags := hclsyntax.ParseConfig([]byte(text), "main.tf", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, said(diags)
	}
	body := file.Body.(*hclsyntax.Body)
	if len(body.Attributes) > 0 {
		return nil, fmt.Errorf("%w: an argument outside of all blocks", errUnsupported)
	}
	found := map[string]*block{}
	for _, inner := range body.Blocks {
		if inner.Type != "resource" && inner.Type != "data" || len(inner.Labels) != 2 {
			return nil, fmt.Errorf("%w: a block %s", errUnsupported, inner.Type)
		}
		b := blockAt(strings.Join(inner.Labels, "."))
		if b.data = inner.Type == "data"; b.data {
			b.address = "data." + b.address
		}
		b.body, b.text = inner.Body, []byte(text)
		if found[b.address] != nil {
			return nil, fmt.Errorf("%w: %s is there twice", errUnsupported, b.address)
		}
		found[b.address] = b
		if err := b.read(); err != nil {
			return nil, err
		}
	}
	return ordered(found)
}

// read finds what a block refers to, and whether the block has anything that this package does not support.
func (b *block) read() error {
	if len(b.body.Blocks) > 0 {
		return fmt.Errorf("%w: a block %s in %s", errUnsupported, b.body.Blocks[0].Type, b.address)
	}
	for name, attribute := range b.body.Attributes {
		if slices.Contains(meta, name) {
			return fmt.Errorf("%w: %s in %s", errUnsupported, name, b.address)
		}
		for _, traversal := range attribute.Expr.Variables() {
			address, err := referred(traversal)
			if err != nil {
				return fmt.Errorf("%w, in %s", err, b.address)
			}
			if !slices.Contains(b.deps, address) {
				b.deps = append(b.deps, address)
			}
		}
	}
	var unknown string
	hclsyntax.VisitAll(b.body, func(node hclsyntax.Node) hcl.Diagnostics {
		if call, ok := node.(*hclsyntax.FunctionCallExpr); ok {
			if _, found := functions(false)[call.Name]; !found {
				unknown = call.Name
			}
		}
		return nil
	})
	slices.Sort(b.deps)
	if unknown != "" {
		return fmt.Errorf("%w: function %s in %s", errUnsupported, unknown, b.address)
	}
	return nil
}

// referred returns the address that an expression refers to.
func referred(traversal hcl.Traversal) (string, error) {
	var names []string
	for _, step := range traversal {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			names = append(names, step.Name)
		case hcl.TraverseAttr:
			names = append(names, step.Name)
		}
	}
	wanted := 2
	if len(names) > 0 && names[0] == "data" {
		wanted = 3
	}
	if len(names) < wanted || slices.Contains([]string{"var", "local", "module", "each", "count", "self", "path", "terraform", "ephemeral"}, names[0]) {
		return "", fmt.Errorf("%w: a reference to %s", errUnsupported, strings.Join(names, "."))
	}
	return strings.Join(names[:wanted], "."), nil
}

// ordered sorts blocks so that each comes after those that it refers to.
func ordered(blocks map[string]*block) (config, error) {
	var sorted config
	var left []string
	for address := range blocks {
		left = append(left, address)
	}
	slices.Sort(left)
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(address string) bool {
			return !slices.ContainsFunc(blocks[address].deps, func(dep string) bool { return slices.Contains(left, dep) })
		})
		if i < 0 {
			return nil, printed("Error: Cycle\n\n%s", strings.Join(left, ", "))
		}
		sorted = append(sorted, blocks[left[i]])
		left = slices.Delete(left, i, i+1)
	}
	for _, b := range sorted {
		for _, dep := range b.deps {
			if blocks[dep] == nil {
				return nil, printed("Error: Reference to undeclared resource\n\n%s refers to %s", b.address, dep)
			}
		}
	}
	return sorted, nil
}

// functions are the functions that a configuration may call. The current time is known only during an apply.
func functions(applies bool) map[string]function.Function {
	return map[string]function.Function{
		"jsondecode": stdlib.JSONDecodeFunc,
		"jsonencode": stdlib.JSONEncodeFunc,
		"file": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "path", Type: cty.String}},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				content, err := os.ReadFile(args[0].AsString())
				return cty.StringVal(string(content)), err
			},
		}),
		"timestamp": function.New(&function.Spec{
			Type: function.StaticReturnType(cty.String),
			Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
				if !applies {
					return cty.UnknownVal(cty.String), nil
				}
				return cty.StringVal(time.Now().UTC().Format(time.RFC3339)), nil
			},
		}),
	}
}

// evaluate returns the value of a block; values are the values that it refers to.
func (b *block) evaluate(schema *tfprotov6.Schema, values map[string]cty.Value, applies bool) (cty.Value, error) {
	kinds := map[bool]map[string]map[string]cty.Value{false: {}, true: {}}
	for _, address := range b.deps {
		to := blockAt(address)
		if kinds[to.data][to.kind] == nil {
			kinds[to.data][to.kind] = map[string]cty.Value{}
		}
		kinds[to.data][to.kind][to.name] = values[address]
	}
	variables, data := map[string]cty.Value{}, map[string]cty.Value{}
	for kind, named := range kinds[false] {
		variables[kind] = cty.ObjectVal(named)
	}
	for kind, named := range kinds[true] {
		data[kind] = cty.ObjectVal(named)
	}
	variables["data"] = cty.ObjectVal(data)
	value, diags := hcldec.Decode(b.body, decoder(schema), &hcl.EvalContext{Variables: variables, Functions: functions(applies)})
	return value, said(diags)
}
