package resources

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// TestZones warns of a zone whose loss is the loss of the quorum, once: when members or zones change.
func TestZones(t *testing.T) {
	in := func(zones string) string {
		config := three(unprotected)
		for i, zone := range strings.Fields(zones) {
			address := fmt.Sprintf("address = %q", fmt.Sprintf("192.0.2.%d", 11+i))
			config = strings.Replace(config, address, address+fmt.Sprintf(", zone = %q", zone), 1)
		}
		return config
	}
	const warning = "The loss of one zone is the loss of the quorum: Zone r1 holds 2 of 3 members, and the other 1 are no quorum (2)"
	w := newWorld(t)
	plan := func(zones string, warns bool) tftest.TestStep {
		return tftest.TestStep{
			PreConfig: func() { w.warned() },
			Config:    in(zones),
			Check: func(*terraform.State) error {
				if text := w.warned(); strings.Contains(text, warning) != warns {
					return fmt.Errorf("zones %q: it warns of %q", zones, text)
				}
				return nil
			},
		}
	}
	w.run(t, plan("r1 r1", false), plan("r1 r2 r3", false), plan("r1 r1 r2", true), plan("r1 r1 r2", false), plan("r2 r1 r3", false))
}
