package terraformtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"
)

// provider is a provider as a run calls it.
type provider interface {
	configure(context.Context) error
	schema(b *block) *tfprotov6.Schema
	validate(ctx context.Context, b *block, config cty.Value) error
	upgrade(ctx context.Context, b *block, o *object) (*object, error)
	read(ctx context.Context, b *block, o *object) (*object, error)
	plan(ctx context.Context, b *block, prior, proposed, config cty.Value, private []byte) (planned, error)
	apply(ctx context.Context, b *block, prior, planned, config cty.Value, private []byte) (cty.Value, []byte, error)
	readData(ctx context.Context, b *block, config cty.Value) (cty.Value, error)
	imports(ctx context.Context, b *block, id string) (*object, error)
}

// planned is the plan of a provider.
type planned struct {
	value    cty.Value
	private  []byte
	replaces []*tftypes.AttributePath
}

// remote is a provider on the other side of the protocol, in the same process.
type remote struct {
	server  tfprotov6.ProviderServer
	schemas *tfprotov6.GetProviderSchemaResponse
}

// printed is an error in the words and capitals that Terraform and plugin-testing print, since tests match those.
func printed(format string, args ...any) error { return fmt.Errorf(format, args...) }

// problems returns the errors among a provider's diagnostics, in the words that Terraform prints.
func problems(b *block, diags []*tfprotov6.Diagnostic, err error) error {
	all := []error{err}
	for _, d := range diags {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			all = append(all, printed("Error: %s\n\n%s%s\n", d.Summary, b.line(d.Attribute), d.Detail))
		}
	}
	return errors.Join(all...)
}

// bug returns an error for a mistake of the provider's that Terraform detects.
func bug(what string, b *block, wrong ...error) error {
	if len(wrong) == 0 {
		return nil
	}
	return printed("Error: Provider produced %s\n\n%s: %w\n", what, b.address, errors.Join(wrong...))
}

func (r *remote) schema(b *block) *tfprotov6.Schema {
	if b.data {
		return r.schemas.DataSourceSchemas[b.kind]
	}
	return r.schemas.ResourceSchemas[b.kind]
}

// sent encodes a value for the wire.
func (r *remote) sent(b *block, value cty.Value) *tfprotov6.DynamicValue {
	packed, err := msgpack.Marshal(value, objectType(r.schema(b).Block.Attributes))
	if err != nil {
		panic(fmt.Errorf("%s: encode %#v: %w", b.address, value, err))
	}
	return &tfprotov6.DynamicValue{MsgPack: packed}
}

// got decodes a value from the wire. The answer to a failed call has none.
func (r *remote) got(b *block, value *tfprotov6.DynamicValue) (cty.Value, error) {
	t := objectType(r.schema(b).Block.Attributes)
	switch {
	case value == nil:
		return cty.NullVal(t), nil
	case value.MsgPack != nil:
		return msgpack.Unmarshal(value.MsgPack, t)
	default:
		return ctyjson.Unmarshal(value.JSON, t)
	}
}

func (r *remote) configure(ctx context.Context) error {
	config := &tfprotov6.DynamicValue{}
	var err error
	if config.MsgPack, err = msgpack.Marshal(cty.EmptyObjectVal, cty.EmptyObject); err != nil {
		return err
	}
	checked, err := r.server.ValidateProviderConfig(ctx, &tfprotov6.ValidateProviderConfigRequest{Config: config})
	if err == nil {
		err = problems(nil, checked.Diagnostics, nil)
	}
	if err != nil {
		return err
	}
	resp, err := r.server.ConfigureProvider(ctx, &tfprotov6.ConfigureProviderRequest{TerraformVersion: "1.11.4", Config: config})
	if err != nil {
		return err
	}
	return problems(nil, resp.Diagnostics, nil)
}

func (r *remote) validate(ctx context.Context, b *block, config cty.Value) error {
	if b.data {
		resp, err := r.server.ValidateDataResourceConfig(ctx, &tfprotov6.ValidateDataResourceConfigRequest{TypeName: b.kind, Config: r.sent(b, config)})
		if err != nil {
			return err
		}
		return problems(b, resp.Diagnostics, nil)
	}
	resp, err := r.server.ValidateResourceConfig(ctx, &tfprotov6.ValidateResourceConfigRequest{TypeName: b.kind, Config: r.sent(b, config),
		ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true}})
	if err != nil {
		return err
	}
	return problems(b, resp.Diagnostics, nil)
}

func (r *remote) upgrade(ctx context.Context, b *block, o *object) (*object, error) {
	schema := r.schema(b)
	text, err := ctyjson.Marshal(o.value, objectType(schema.Block.Attributes))
	if err != nil {
		return nil, err
	}
	resp, err := r.server.UpgradeResourceState(ctx, &tfprotov6.UpgradeResourceStateRequest{
		TypeName: b.kind, Version: schema.Version, RawState: &tfprotov6.RawState{JSON: text}})
	if err != nil {
		return nil, err
	}
	upgraded := *o
	value, err := r.got(b, resp.UpgradedState)
	upgraded.value = value
	return &upgraded, problems(b, resp.Diagnostics, err)
}

func (r *remote) read(ctx context.Context, b *block, o *object) (*object, error) {
	resp, err := r.server.ReadResource(ctx, &tfprotov6.ReadResourceRequest{TypeName: b.kind, CurrentState: r.sent(b, o.value), Private: o.private})
	if err != nil {
		return nil, err
	}
	value, err := r.got(b, resp.NewState)
	if err := problems(b, resp.Diagnostics, err); err != nil {
		return nil, err
	}
	if value.IsNull() {
		return nil, nil
	}
	read := *o
	read.value, read.private = value, resp.Private
	return &read, r.check("invalid object", b, value)
}

// check returns what no state may hold.
func (r *remote) check(what string, b *block, value cty.Value) error {
	if !value.IsWhollyKnown() {
		return bug(what, b, errors.New("there are unknown values in what is final"))
	}
	return r.checkWriteOnly(what, b, value)
}

func (r *remote) checkWriteOnly(what string, b *block, value cty.Value) error {
	if !same(withoutWriteOnly(r.schema(b).Block.Attributes, value), value) {
		return bug(what, b, errors.New("a write-only attribute is set"))
	}
	return nil
}

func (r *remote) plan(ctx context.Context, b *block, prior, proposed, config cty.Value, private []byte) (planned, error) {
	resp, err := r.server.PlanResourceChange(ctx, &tfprotov6.PlanResourceChangeRequest{
		TypeName: b.kind, PriorState: r.sent(b, prior), ProposedNewState: r.sent(b, proposed), Config: r.sent(b, config), PriorPrivate: private})
	if err != nil {
		return planned{}, err
	}
	value, err := r.got(b, resp.PlannedState)
	if err := problems(b, resp.Diagnostics, err); err != nil {
		return planned{}, err
	}
	attributes := r.schema(b).Block.Attributes
	switch {
	case value.IsNull() != config.IsNull():
		err = bug("invalid plan", b, fmt.Errorf("planned is %#v, and configured %#v", value, config))
	case !value.IsNull():
		err = bug("invalid plan", b, checkPlanned(attributes, prior, config, value, "")...)
	}
	return planned{value, resp.PlannedPrivate, resp.RequiresReplace}, err
}

func (r *remote) apply(ctx context.Context, b *block, prior, plan, config cty.Value, private []byte) (cty.Value, []byte, error) {
	resp, err := r.server.ApplyResourceChange(ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: b.kind, PriorState: r.sent(b, prior), PlannedState: r.sent(b, plan), Config: r.sent(b, config), PlannedPrivate: private})
	if err != nil {
		return cty.NullVal(prior.Type()), nil, err
	}
	value, err := r.got(b, resp.NewState)
	err = problems(b, resp.Diagnostics, err)
	if wrong := r.check("invalid object", b, value); wrong != nil {
		return cty.UnknownAsNull(value), resp.Private, errors.Join(err, wrong)
	}
	if err == nil {
		err = bug("inconsistent result after apply", b, checkKept(plan, value, "")...)
	}
	return value, resp.Private, err
}

func (r *remote) readData(ctx context.Context, b *block, config cty.Value) (cty.Value, error) {
	resp, err := r.server.ReadDataSource(ctx, &tfprotov6.ReadDataSourceRequest{TypeName: b.kind, Config: r.sent(b, config)})
	if err != nil {
		return cty.NilVal, err
	}
	value, err := r.got(b, resp.State)
	if err := problems(b, resp.Diagnostics, err); err != nil {
		return cty.NilVal, err
	}
	if value.IsNull() {
		return cty.NilVal, bug("null object", b, errors.New("a data source has read nothing"))
	}
	return value, r.check("invalid object", b, value)
}
