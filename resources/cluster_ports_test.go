package resources_test

import (
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestPortsThatHostsAllow holds that hosts say which ports members may bind. A cluster that runs on a port stays there,
// whatever its hosts say later. A new port, and a new host, are refused with all faults at once.
func TestPortsThatHostsAllow(t *testing.T) {
	w := newWorld(t)
	allow := func(port int, hosts ...int) func() {
		return func() {
			for _, last := range hosts {
				w.host(last).FirstPort = port
			}
			w.Forget()
		}
	}
	low := unprotected + "client_port = 443\n"
	w.run(t,
		tftest.TestStep{Config: three(low), ExpectError: saysInOrder("a (192.0.2.11), b (192.0.2.12), c (192.0.2.13): client_port is 443")},
		tftest.TestStep{PreConfig: allow(0, 11, 12, 13), Config: three(low), Check: w.allWell},
		tftest.TestStep{PreConfig: allow(1024, 11, 12, 13), Config: three(low), PlanOnly: true},
		tftest.TestStep{Config: three(low + "settings = { snapshot_count = 5000 }"), ExpectError: saysInOrder("it cannot be restarted (flags --snapshot-count (not set) -> 5000), since it would not come up: client_port is 443")},
		tftest.TestStep{Config: three(low + "metrics_port = 80"), ExpectError: saysInOrder("a (192.0.2.11), b (192.0.2.12), c (192.0.2.13): metrics_port is 80")},
		tftest.TestStep{Config: of("a b c@21", low), ExpectError: saysInOrder("c (192.0.2.21): client_port is 443")},
		tftest.TestStep{PreConfig: allow(80, 11, 12, 13, 21), Config: of("a b c@21", low), Check: w.allWell},
		tftest.TestStep{Config: of("a b c@21", low+"metrics_port = 80"), Check: w.allWell},
	)
}
