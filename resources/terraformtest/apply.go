package terraformtest

import (
	"errors"
	"fmt"
	"maps"

	"github.com/zclconf/go-cty/cty"
)

// apply carries out a plan, and returns the state afterwards, even if something has failed.
func (r *run) apply(p *plan) (state, error) {
	r.begin()
	after := maps.Clone(p.state)
	r.destroy(p, after)
	for _, b := range p.config {
		o := after[b.address]
		if o != nil {
			r.values[b.address] = o.value
		}
		c := p.of(b.address)
		if r.blocked(b) || c == nil || c.action == noOp || c.action == remove {
			continue
		}
		provider, err := r.provider(b)
		if r.fail(b, err) {
			continue
		}
		if c.action == read {
			o, err = r.readLate(provider, c)
		} else {
			o, err = r.make(provider, c, o)
		}
		r.fail(b, err)
		if after[b.address] = o; o == nil {
			delete(after, b.address)
			continue
		}
		r.values[b.address] = o.value
	}
	if p.destroy {
		maps.DeleteFunc(after, func(address string, _ *object) bool { return blockAt(address).data })
	}
	return after, errors.Join(r.errs...)
}

// destroy deletes the objects that are to be deleted or replaced, each after everything that depends on it.
func (r *run) destroy(p *plan, after state) {
	for _, address := range p.state.backwards() {
		c := p.of(address)
		if r.needed(p.state, address) || c == nil || c.action != remove && c.action != replace {
			continue
		}
		provider, err := r.provider(c.block)
		if r.fail(c.block, err) {
			continue
		}
		o := p.state[c.address]
		none := cty.NullVal(objectType(provider.schema(c.block).Block.Attributes))
		value, private, err := provider.apply(r, c.block, c.before, none, none, c.private)
		switch {
		case !r.fail(c.block, err):
			delete(after, c.address)
		case !value.IsNull():
			kept := *o
			kept.value, kept.private = value, private
			after[c.address] = &kept
		}
	}
}

// make creates or updates an object. First it plans the object again, with what has become known since; the second plan
// has to keep all that the first one knew.
func (r *run) make(provider provider, c *change, before *object) (*object, error) {
	now, err := r.change(provider, c.block, before, true)
	if err != nil {
		return before, err
	}
	wanted := c.action
	if wanted == replace { // destroy has carried out the other half
		wanted = create
	}
	if now.action != wanted && !(wanted == update && now.action == noOp) {
		return before, bug("inconsistent final plan", c.block, fmt.Errorf("the provider changed the planned action from %s to %s", wanted, now.action))
	}
	if err := bug("inconsistent final plan", c.block, checkKept(c.after, now.after, "")...); err != nil {
		return before, err
	}
	if now.action == noOp {
		return before, nil
	}
	config, err := c.block.evaluate(provider.schema(c.block), r.values, true)
	if err == nil && !config.IsWhollyKnown() {
		err = printed("Error: Configuration contains unknown value\n\n%s", c.address)
	}
	if err != nil {
		return before, err
	}
	value, private, err := provider.apply(r, c.block, now.before, now.after, config, now.private)
	switch {
	case value.IsNull() && err != nil:
		return before, err
	case value.IsNull():
		return nil, nil
	}
	after := &object{value: value, private: private, deps: c.deps}
	if err != nil {
		after.tainted = wanted == create || before != nil && before.tainted
	}
	return after, err
}

// readLate reads a data source whose configuration was not known before.
func (r *run) readLate(provider provider, c *change) (*object, error) {
	config, err := c.block.evaluate(provider.schema(c.block), r.values, true)
	if err != nil {
		return nil, err
	}
	if err := provider.validate(r, c.block, config); err != nil {
		return nil, err
	}
	value, err := provider.readData(r, c.block, config)
	if err != nil {
		return nil, err
	}
	return &object{value: value, deps: c.deps}, bug("inconsistent result after apply", c.block, checkKept(c.after, value, "")...)
}
