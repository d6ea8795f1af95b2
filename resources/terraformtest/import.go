package terraformtest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// importing are the additional fields of an import step.
var importing = []string{"ResourceName", "ImportState", "ImportStateId", "ImportStateVerify", "ImportStateVerifyIdentifierAttribute", "ImportStateVerifyIgnore", "ImportStateCheck"}

func (r *remote) imports(ctx context.Context, b *block, id string) (*object, error) {
	resp, err := r.server.ImportResourceState(ctx, &tfprotov6.ImportResourceStateRequest{TypeName: b.kind, ID: id})
	if err != nil {
		return nil, err
	}
	if err := problems(b, resp.Diagnostics, nil); err != nil {
		return nil, err
	}
	if len(resp.ImportedResources) != 1 {
		return nil, bug("invalid import", b, fmt.Errorf("%d resources", len(resp.ImportedResources)))
	}
	value, err := r.got(b, resp.ImportedResources[0].State)
	return &object{value: value, private: resp.ImportedResources[0].Private}, err
}

func (builtin) imports(_ context.Context, b *block, _ string) (*object, error) {
	return nil, errors.New(b.address + ": it is not imported in this process")
}

// importStep imports a resource into a state of its own, and compares that with the resource in the state.
func (d *driver) importStep(step tftest.TestStep) error {
	r, provider, err := d.begin()
	if err != nil {
		return err
	}
	b := d.config.of(step.ResourceName)
	if b == nil {
		return printed("Error: resource address %q does not exist in the configuration.", step.ResourceName)
	}
	if err := provider.configure(d); err != nil {
		return err
	}
	provider, err = r.provider(b)
	if err != nil {
		return err
	}
	imported, err := provider.imports(d, b, step.ImportStateId)
	if err != nil {
		return err
	}
	if imported, err = provider.read(d, b, imported); err != nil {
		return err
	}
	if imported == nil {
		return printed("Error: Cannot import non-existent remote object\n\n%s: %s", b.address, step.ImportStateId)
	}
	is := state{b.address: imported}.shown().RootModule().Resources[b.address].Primary
	if step.ImportStateCheck != nil {
		if err := step.ImportStateCheck([]*terraform.InstanceState{is}); err != nil {
			return err
		}
	}
	if !step.ImportStateVerify {
		return nil
	}
	was := d.state.shown().RootModule().Resources[b.address]
	by := step.ImportStateVerifyIdentifierAttribute
	if by == "" {
		by = "id"
	}
	if was == nil || is.Attributes[by] == "" || was.Primary.Attributes[by] != is.Attributes[by] {
		return printed("Failed state verification, resource with ID %q not found", is.Attributes[by])
	}
	ignored := append([]string{"timeouts."}, step.ImportStateVerifyIgnore...)
	if diff := cmp.Diff(compared(was.Primary.Attributes, ignored), compared(is.Attributes, ignored)); diff != "" {
		return printed("ImportStateVerify attributes not equivalent (-state +imported):\n%s", diff)
	}
	return nil
}

// compared returns the attributes that an import has to find: all but empty ones, and those that begin with an ignored
// prefix.
func compared(attributes map[string]string, ignored []string) map[string]string {
	left := map[string]string{}
	for name, value := range attributes {
		skip := value == "0" && (strings.HasSuffix(name, ".#") || strings.HasSuffix(name, ".%"))
		for _, text := range ignored {
			skip = skip || strings.HasPrefix(name, text)
		}
		if !skip {
			left[name] = value
		}
	}
	return left
}
