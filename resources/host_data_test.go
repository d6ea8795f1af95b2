package resources_test

import (
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestHostIsRead holds that etcd_host reads what a host is and has, whatever it carries, with nothing but a first
// contact.
func TestHostIsRead(t *testing.T) {
	const host = "data.etcd_host.new"
	w := newWorld(t)
	const reading = `
		data "etcd_host" "new" {
			address = "192.0.2.21"
			paths   = ["/var/lib/etcd", "/srv/wal"]
		}`
	is := func(pairs ...string) tftest.TestCheckFunc {
		var checks []tftest.TestCheckFunc
		for i := 0; i < len(pairs); i += 2 {
			checks = append(checks, tftest.TestCheckResourceAttr(host, pairs[i], pairs[i+1]))
		}
		return tftest.ComposeAggregateTestCheckFunc(append(checks, w.untouched)...)
	}
	none := func(names ...string) tftest.TestCheckFunc {
		var checks []tftest.TestCheckFunc
		for _, name := range names {
			checks = append(checks, tftest.TestCheckNoResourceAttr(host, name))
		}
		return tftest.ComposeAggregateTestCheckFunc(checks...)
	}
	w.run(t,
		tftest.TestStep{Config: `data "etcd_host" "new" {
			address = "192.0.2.21"
			paths   = [null]
		}`, ExpectError: says("Null List")},
		tftest.TestStep{Config: reading, Check: is(
			"os", "Debian GNU/Linux 12 (bookworm)", "os_id", "debian", "os_version", "12", "kernel", "6.1.0-28-amd64", "architecture", "amd64", "systemd_version", "252",
			"memory", "8589934592", "swap", "0", "cpus", "4", "cpu_governors.#", "0", "machine_id", w.host(21).MachineID, "host_keys.#", "1", "addresses.0", "192.0.2.21",
			"clock_skew", "0", "clock_synchronized", "true", "transparent_huge_pages", "madvise", "cgroup_version", "2", "selinux", "disabled",
			"filesystems.%", "2", "filesystems./srv/wal.mount_point", "/", "filesystems./srv/wal.type", "ext4", "filesystems./srv/wal.free", "21474836480",
			"filesystems./srv/wal.free_inodes", "524288", "filesystems./srv/wal.disk_kind", "ssd", "findings.#", "0",
		)},
		tftest.TestStep{
			PreConfig: func() {
				h := w.host(21)
				h.Missing, h.Skew = []string{"gzip"}, -time.Minute
				h.Inventory = api.Inventory{Filesystems: []api.Filesystem{{Path: "/srv/wal", Type: "nfs4", Source: "192.0.2.9:/wal"}}, SwapBytes: 1 << 30, HugePages: "always"}
			},
			Config: reading,
			Check: tftest.ComposeAggregateTestCheckFunc(
				is("findings.#", "5", "findings.0.id", "commands", "findings.0.severity", "error", "findings.0.text", "commands are missing on it: gzip", "findings.0.remedy", "install them",
					"findings.1.id", "network_filesystem", "findings.2.id", "clock_skew", "findings.2.severity", "warning", "findings.3.id", "swap",
					"findings.4.id", "huge_pages", "findings.4.severity", "info", "clock_skew", "-59", "host_keys.#", "0"),
				none("os", "cpus", "clock_synchronized", "cgroup_version", "filesystems./srv/wal.size", "filesystems./srv/wal.disk_kind"),
			),
		},
		// A host that is down is a finding, so that it refuses no plan which repairs something else.
		tftest.TestStep{PreConfig: func() { w.host(21).Unreachable = errGone }, Config: reading, Check: tftest.ComposeAggregateTestCheckFunc(
			is("findings.#", "1", "findings.0.id", "unreachable", "findings.0.severity", "error", "findings.0.text", errGone.Error(),
				"filesystems.%", "2", "host_keys.#", "0", "addresses.#", "0", "clock_skew", "0"),
			none("os", "kernel", "architecture", "memory", "swap", "cpus", "machine_id", "time", "clock_synchronized", "filesystems./srv/wal.disk_kind", "filesystems./srv/wal.free"),
		)},
		tftest.TestStep{PreConfig: func() { w.host(21).Unreachable = &api.Barred{Barrier: api.BarrierLogin, Err: errGone} }, Config: reading,
			Check: is("findings.#", "1", "findings.0.id", "barred", "findings.0.severity", "error", "findings.0.remedy", api.BarrierLogin.Remedy())},
		tftest.TestStep{PreConfig: func() { w.notKnown = true }, Config: reading, ExpectError: saysInOrder("Host 192.0.2.21 cannot be read", "not known before apply")},
		tftest.TestStep{PreConfig: func() { w.notKnown = false; asNew(w.host(21)) }, Config: `data "etcd_host" "new" { address = "192.0.2.21" }`, Check: is("filesystems.%", "1", "filesystems./var/lib/etcd.type", "ext4")},
	)
}
