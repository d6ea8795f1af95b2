package resources_test

import (
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestDestroySaysWhatStays holds that the plan of a destroy names the data that stays on the hosts, and how to have it
// deleted, unless that was applied already.
func TestDestroySaysWhatStays(t *testing.T) {
	w := newWorld(t)
	said := func(want ...string) func() {
		return func() {
			text := w.warned()
			if (len(want) == 0) == strings.Contains(text, "The data stays on the hosts") {
				t.Errorf("it says %q", text)
			}
			for _, part := range want {
				if !strings.Contains(text, part) {
					t.Errorf("it says nothing of %q: %q", part, text)
				}
			}
		}
	}
	backed := unprotected + "backup = { directory = \"/srv/backups\" }\n"
	w.run(t,
		tftest.TestStep{Config: three(backed)},
		tftest.TestStep{PreConfig: func() { w.warned() }, Config: three(backed), Destroy: true},
		tftest.TestStep{PreConfig: said("/var/lib/etcd/prod.aside-retired-TIME", "/var/lib/etcd/prod.snapshots", "Backups stay where they are stored", "set purge_data = true, apply"), Config: three(unprotected + "purge_data = true\n")},
		tftest.TestStep{PreConfig: func() { w.warned() }, Config: three(unprotected + "purge_data = true\n"), Destroy: true},
		tftest.TestStep{PreConfig: said(), Config: three(unprotected)},
	)
}
