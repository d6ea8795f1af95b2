package resources_test

import (
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

func TestArithmetic(t *testing.T) {
	newWorld(t).run(t,
		tftest.TestStep{
			Config: `
				output "quorum"    { value = provider::etcd::quorum(5) }
				output "tolerance" { value = provider::etcd::fault_tolerance(4) }`,
			Check: tftest.ComposeAggregateTestCheckFunc(tftest.TestCheckOutput("quorum", "3"), tftest.TestCheckOutput("tolerance", "1")),
		},
		tftest.TestStep{Config: `output "quorum" { value = provider::etcd::quorum(0) }`, ExpectError: says("n must be at least 1")})
}
