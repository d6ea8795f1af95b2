package terraformtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// object is a resource in a state.
type object struct {
	value   cty.Value
	private []byte
	tainted bool
	deps    []string // addresses, from the configuration that it was made from
}

// state is Terraform's state, by address.
type state map[string]*object

// action is what an apply does with an object.
type action string

const (
	noOp    action = "no-op"
	create  action = "create"
	read    action = "read"
	update  action = "update"
	remove  action = "delete"
	replace action = "replace"
)

// change is the planned change of one object.
type change struct {
	*block
	action        action
	before, after cty.Value
	private       []byte
}

// plan is a plan of Terraform: the refreshed state, and the changes.
type plan struct {
	state   state
	changes []*change
	config  config
	destroy bool // destroy everything
}

func (p *plan) empty() bool {
	return !slices.ContainsFunc(p.changes, func(c *change) bool { return c.action != noOp })
}

func (p *plan) of(address string) *change {
	for _, c := range p.changes {
		if c.address == address {
			return c
		}
	}
	return nil
}

// run is one run of Terraform, with a provider that was started for it.
type run struct {
	context.Context
	provider func(*block) (provider, error)
	anew     func() error // configures the provider again, since each walk of Terraform starts one of its own
	config   config
	values   map[string]cty.Value // the values evaluated so far
	failed   map[string]bool      // what has failed, and everything that depends on it
	errs     []error
}

func (r *run) fail(b *block, err error) bool {
	if err != nil {
		r.failed[b.address] = true
		r.errs = append(r.errs, err)
	}
	return err != nil
}

// blocked tells whether something that a block depends on has failed. The block has failed too then.
func (r *run) blocked(b *block) bool {
	if slices.ContainsFunc(b.deps, func(dep string) bool { return r.failed[dep] }) {
		r.failed[b.address] = true
	}
	return r.failed[b.address]
}

// begin starts a walk over the configuration that knows nothing of the walk before.
func (r *run) begin() { r.values, r.failed, r.errs = map[string]cty.Value{}, map[string]bool{}, nil }

// validate returns what is wrong with a configuration in any state: all references are unknown.
func (r *run) validate() error {
	r.begin()
	for _, b := range r.config {
		provider, err := r.provider(b)
		if r.fail(b, err) {
			continue
		}
		schema := provider.schema(b)
		if r.fail(b, checkSchema(b.address, schema)) {
			continue
		}
		r.values[b.address] = cty.UnknownVal(objectType(schema.Block.Attributes))
		config, err := b.evaluate(schema, r.values, false)
		if !r.fail(b, err) {
			r.fail(b, provider.validate(r, b, config))
		}
	}
	return errors.Join(r.errs...)
}

// plan plans a configuration, after a refresh if the run refreshes.
func (r *run) plan(before state, refresh bool) (*plan, error) {
	r.begin()
	p := &plan{state: maps.Clone(before), config: r.config}
	for _, b := range r.config {
		if r.blocked(b) {
			continue
		}
		var err error
		if b.data {
			err = r.planData(p, b)
		} else {
			err = r.planManaged(p, b, refresh)
		}
		r.fail(b, err)
	}
	for _, address := range slices.Sorted(maps.Keys(before)) {
		if r.config.of(address) == nil {
			b := blockAt(address)
			r.fail(b, r.planOrphan(p, b, refresh))
		}
	}
	return p, errors.Join(r.errs...)
}

// look refreshes the state of an object.
func (r *run) look(p *plan, b *block, refresh bool) (provider, *object, error) {
	provider, err := r.provider(b)
	if err != nil {
		return nil, nil, err
	}
	o := p.state[b.address]
	if o == nil {
		return provider, nil, nil
	}
	if o, err = provider.upgrade(r, b, o); err != nil {
		return nil, nil, err
	}
	copied := *o // the old state stays, whatever this plan does
	o = &copied
	if refresh {
		if o, err = provider.read(r, b, o); err != nil {
			return nil, nil, err
		}
	}
	if p.state[b.address] = o; o == nil {
		delete(p.state, b.address)
	}
	return provider, o, nil
}

func (r *run) planManaged(p *plan, b *block, refresh bool) error {
	provider, o, err := r.look(p, b, refresh)
	if err != nil {
		return err
	}
	if o != nil {
		o.deps = union(o.deps, b.deps)
	}
	c, err := r.change(provider, b, o, false)
	if err != nil {
		return err
	}
	if c.action == noOp {
		o.deps = b.deps
	}
	p.changes = append(p.changes, c)
	r.values[b.address] = c.after
	return nil
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// change plans the change of one object to what its block says.
func (r *run) change(provider provider, b *block, o *object, applies bool) (*change, error) {
	schema := provider.schema(b)
	config, err := b.evaluate(schema, r.values, applies)
	if err != nil {
		return nil, err
	}
	if err := provider.validate(r, b, config); err != nil {
		return nil, err
	}
	attributes := schema.Block.Attributes
	none := cty.NullVal(objectType(attributes))
	prior, private := none, []byte(nil)
	if o != nil && !o.tainted { // a tainted object is replaced, so a new one is planned
		prior, private = o.value, o.private
	}
	ask := func(prior cty.Value, private []byte) (planned, error) {
		return provider.plan(r, b, prior, proposed(attributes, prior, config), config, private)
	}
	planned, err := ask(prior, private)
	if err != nil {
		return nil, err
	}
	c := &change{block: b, action: update, before: prior, after: planned.value, private: planned.private}
	switch equal := planned.value.Equals(prior); {
	case prior.IsNull() && o == nil:
		c.action = create
	case prior.IsNull():
		c.action, c.before = replace, o.value
	case replaces(planned.replaces, prior, planned.value):
		if planned, err = ask(none, planned.private); err != nil {
			return nil, err
		}
		c.action, c.after, c.private = replace, planned.value, planned.private
	case equal.IsKnown() && equal.True():
		c.action = noOp
	}
	return c, nil
}

// planData reads a data source, if its configuration is known by now and nothing that it refers to is to change.
func (r *run) planData(p *plan, b *block) error {
	provider, err := r.provider(b)
	if err != nil {
		return err
	}
	schema := provider.schema(b)
	config, err := b.evaluate(schema, r.values, false)
	if err != nil {
		return err
	}
	pending := slices.ContainsFunc(b.deps, func(dep string) bool {
		c := p.of(dep)
		return c != nil && !c.data && c.action != noOp
	})
	if !config.IsWhollyKnown() || pending {
		t := objectType(schema.Block.Attributes)
		after := proposed(schema.Block.Attributes, cty.UnknownVal(t), config)
		delete(p.state, b.address)
		p.changes = append(p.changes, &change{block: b, action: read, before: cty.NullVal(t), after: after})
		r.values[b.address] = after
		return nil
	}
	if err := provider.validate(r, b, config); err != nil {
		return err
	}
	value, err := provider.readData(r, b, config)
	if err == nil {
		p.state[b.address] = &object{value: value, deps: b.deps}
		r.values[b.address] = value
	}
	return err
}

// planOrphan plans the destroy of an object that only the state has. As in Terraform, the change begins at the state
// before the refresh.
func (r *run) planOrphan(p *plan, b *block, refresh bool) error {
	if b.data {
		delete(p.state, b.address)
		return nil
	}
	provider, held, err := r.look(p, b, false)
	if err != nil {
		return err
	}
	if refresh {
		if _, o, err := r.look(p, b, true); err != nil || o == nil {
			return err
		}
	}
	c, err := r.end(provider, b, held)
	if err == nil {
		p.changes = append(p.changes, c)
	}
	return err
}

func (r *run) end(provider provider, b *block, o *object) (*change, error) {
	none := cty.NullVal(objectType(provider.schema(b).Block.Attributes))
	planned, err := provider.plan(r, b, o.value, none, none, o.private)
	return &change{block: b, action: remove, before: o.value, after: none, private: planned.private}, err
}

// backwards returns the addresses of a state, each before everything that it depends on.
func (s state) backwards() []string {
	var sorted []string
	left := slices.Sorted(maps.Keys(s))
	for len(left) > 0 {
		i := max(0, slices.IndexFunc(left, func(address string) bool {
			return !slices.ContainsFunc(left, func(other string) bool { return slices.Contains(s[other].deps, address) })
		}))
		sorted = append(sorted, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return sorted
}

// needed tells whether something that depends on an object could not be destroyed. The object has failed too then.
func (r *run) needed(s state, address string) bool {
	for other := range r.failed {
		if o := s[other]; o != nil && slices.Contains(o.deps, address) {
			r.failed[address] = true
			return true
		}
	}
	return false
}

// planDestroy plans the destroy of everything. As Terraform does, it refreshes by planning the configuration first.
func (r *run) planDestroy(before state, refresh bool) (*plan, error) {
	if refresh && len(before) > 0 {
		looked, err := r.plan(before, true)
		if err != nil {
			return nil, err
		}
		before = looked.state
		if err := r.anew(); err != nil {
			return nil, err
		}
	}
	r.begin()
	p := &plan{state: maps.Clone(before), config: r.config, destroy: true}
	for _, address := range before.backwards() {
		b := blockAt(address)
		if r.needed(before, address) || b.data {
			continue
		}
		provider, o, err := r.look(p, b, false)
		if r.fail(b, err) {
			continue
		}
		c, err := r.end(provider, b, o)
		if !r.fail(b, err) {
			p.changes = append(p.changes, c)
		}
	}
	return p, errors.Join(r.errs...)
}

func (c *change) String() string { return fmt.Sprintf("%s: %s", c.address, c.action) }
