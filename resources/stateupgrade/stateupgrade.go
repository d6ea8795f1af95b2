// Package stateupgrade edits states that an earlier version of a schema has written.
package stateupgrade

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// Object is a state, or an object in it, as Terraform has written it.
type Object map[string]any

// Rename gives an attribute its new name.
func (o Object) Rename(from, to string) {
	if value, is := o[from]; is {
		delete(o, from)
		o[to] = value
	}
}

// In returns the object at a name, or nil, in which nothing can be renamed, if there is none.
func (o Object) In(name string) Object {
	within, _ := o[name].(map[string]any)
	return within
}

// Edit returns a state upgrader that edits a state in place, from one schema version to the current one. Attributes
// that the state lacks become null.
func Edit(edit func(Object)) resource.StateUpgrader {
	return resource.StateUpgrader{StateUpgrader: func(_ context.Context, req resource.UpgradeStateRequest, resp *resource.UpgradeStateResponse) {
		text, err := edited(req.RawState.JSON, edit)
		if err != nil {
			resp.Diagnostics.AddError("The state of an earlier version of the provider cannot be read",
				err.Error()+". The state was not changed: restore the copy that Terraform or its backend has kept of it, or go back to the version of the provider that wrote it.")
			return
		}
		resp.DynamicValue = &tfprotov6.DynamicValue{JSON: text}
	}}
}

// edited returns a state after an edit. Its numbers stay as they are, digit by digit.
func edited(text []byte, edit func(Object)) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var state Object
	if err := decoder.Decode(&state); err != nil {
		return nil, err
	}
	edit(state)
	return json.Marshal(state)
}
