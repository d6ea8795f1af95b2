package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// renamed is a configuration whose cluster has another name in Terraform.
func renamed(config string) string {
	return strings.Replace(config, `"etcd_cluster" "prod"`, `"etcd_cluster" "main"`, 1)
}

// TestRenamedResource holds that with a moved block a cluster continues under another name in Terraform, without a
// warning. Without one, Terraform would destroy the cluster and form it on the same hosts, in any order: the plan
// refuses that, and says how to rename.
func TestRenamedResource(t *testing.T) {
	w := newWorld(t)
	silent := func(*terraform.State) error {
		if text := w.warned(); text != "" {
			return fmt.Errorf("it was warned: %s", text)
		}
		return w.untouched(nil)
	}
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{Config: renamed(three(unprotected)), ExpectError: says("Cluster prod would be destroyed and created in one apply")},
		tftest.TestStep{Config: three(unprotected), PreConfig: func() { w.warned() }, Check: silent},
		tftest.TestStep{Config: renamed(three(unprotected)) + "\nmoved {\n from = etcd_cluster.prod\n to = etcd_cluster.main\n}\n", Check: silent},
	)
}
