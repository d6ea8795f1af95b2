package preflight

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// good is a host that nothing speaks against.
func good() Host {
	return Host{Contact: api.Contact{
		Kernel: "4.15.0", Machine: "aarch64", Systemd: true, FreeBytes: LeastStoreBytes,
		Inventory: &api.Inventory{
			MemoryBytes: leastMemory, CPUs: leastCPUs, Synchronized: api.Yes, HugePages: "madvise", Governors: []string{"performance", "conservative"}, Cgroup: 2, SELinux: "permissive",
			Filesystems: []api.Filesystem{{Path: "/data", Type: "xfs", Source: "/dev/vda", SizeBytes: 1 << 40, FreeBytes: LeastDataBytes, Inodes: 1 << 20, FreeInodes: leastInodes, Kind: api.DiskVirtual}},
		},
	}}
}

// bad are hosts that one thing speaks against, at the threshold where there is one, by the ID of the finding.
var bad = map[string]struct {
	happen func(*Host)
	says   string
}{
	"architecture":         {func(h *Host) { h.Machine = "riscv64" }, "it is a riscv64 machine"},
	"systemd":              {func(h *Host) { h.Systemd = false }, "its PID 1 is not systemd"},
	"kernel":               {func(h *Host) { h.Kernel = "4.14.99-1-amd64" }, "its kernel is 4.14.99-1-amd64; 4.15 or newer is needed"},
	"commands":             {func(h *Host) { h.Missing = []string{"gzip", "find"} }, "commands are missing on it: gzip, find"},
	"user_namespaces":      {func(h *Host) { h.NoUserNamespaces = true }, "it allows no user namespaces"},
	"noexec":               {func(h *Host) { h.NoExec = true }, "/usr/local/lib/etcd-store lies on a file system that is mounted noexec"},
	"ssh_sessions":         {func(h *Host) { h.OneSession = true }, "its sshd opens one session at a time"},
	"read_only":            {func(h *Host) { h.ReadOnly, h.FreeBytes = true, 0 }, "/usr/local/lib/etcd-store lies on a file system that is mounted read-only"},
	"store_space":          {func(h *Host) { h.FreeBytes-- }, "127 MiB are free for /usr/local/lib/etcd-store and 128 are needed"},
	"free_space":           {func(h *Host) { h.Inventory.Filesystems[0].FreeBytes-- }, "159 MiB are free for /data and a member begins with 160"},
	"free_inodes":          {func(h *Host) { h.Inventory.Filesystems[0].FreeInodes-- }, "999 inodes are free for /data and 1000 are wanted"},
	"network_filesystem":   {func(h *Host) { h.Inventory.Filesystems[0].Type = "nfs4" }, "/data lies on /dev/vda (nfs4)"},
	"memory_filesystem":    {func(h *Host) { h.Inventory.Filesystems[0].Type = "tmpfs" }, "/data lies on tmpfs, which a reboot empties"},
	"rotational_disk":      {func(h *Host) { f := &h.Inventory.Filesystems[0]; f.Kind, f.Disks = api.DiskHDD, []string{"sda", "sdb"} }, "/data lies on a rotational disk (sda, sdb)"},
	"cpus":                 {func(h *Host) { h.Inventory.CPUs = 1 }, "it has one CPU"},
	"memory":               {func(h *Host) { h.Inventory.MemoryBytes-- }, "it has 1907 MiB of memory"},
	"clock_unsynchronized": {func(h *Host) { h.Inventory.Synchronized = api.No }, "its clock is not synchronized"},
	"clock_skew":           {func(h *Host) { h.Clock = clocks.Clock{From: -2 * time.Minute, To: -90 * time.Second, Known: true} }, "its clock is at least 1m30s behind this machine's"},
	"swap":                 {func(h *Host) { h.Inventory.SwapBytes = 1024 }, "it has swap"},
	"selinux":              {func(h *Host) { h.Inventory.SELinux = "enforcing" }, "SELinux enforces its policy on it"},
	"cpu_governor":         {func(h *Host) { h.Inventory.Governors = []string{"performance", "schedutil"} }, "its CPUs save power (schedutil)"},
	"huge_pages":           {func(h *Host) { h.Inventory.HugePages = "always" }, "transparent huge pages are always on"},
	"cgroup_v1":            {func(h *Host) { h.Inventory.Cgroup = 1 }, "it has cgroups of version 1"},
}

func TestFindings(t *testing.T) {
	if found := Findings(good()); len(found) > 0 {
		t.Errorf("a good host: %v", found)
	}
	unknown := Host{Contact: api.Contact{Kernel: "?", Machine: "x86_64", Systemd: true, FreeBytes: LeastStoreBytes}}
	if found := Findings(unknown); len(found) > 0 {
		t.Errorf("a host of which nothing is known: %v", found)
	}
	unknown.Inventory = &api.Inventory{Filesystems: []api.Filesystem{{Path: "/data"}}}
	if found := Findings(unknown); len(found) > 0 {
		t.Errorf("a host that tells nothing: %v", found)
	}
	carrying := good()
	if carrying.FreeBytes, carrying.Installed = 0, []string{"ab"}; len(Findings(carrying)) > 0 {
		t.Errorf("a host that has the store needs no room for it: %v", Findings(carrying))
	}
	closed := good()
	closed.Unwritable = []string{"/etc", "/data"}
	if found := Findings(closed); len(found) != 1 || found[0].ID != "read_only" || !strings.HasPrefix(found[0].Text, "/etc, /data cannot be written to") {
		t.Errorf("a host of which only the store's place can be written to: %v", found)
	}
	everything := good()
	for id, test := range bad {
		host := good()
		test.happen(&host)
		test.happen(&everything)
		found := Findings(host)
		if len(found) != 1 || found[0].ID != id || !strings.HasPrefix(found[0].Text, test.says) || found[0].Remedy == "" {
			t.Errorf("%s: %v", id, found)
		}
		waivable, isNeeded := slices.Contains(Waivable(), id), Needed(host.Contact) != ""
		if waivable && isNeeded {
			t.Errorf("%s can be waived, and keeps members from running: %s", id, Needed(host.Contact))
		}
		if n := len(Wanted(host.Contact, nil)); waivable != (n == 1) || len(Wanted(host.Contact, []string{id})) > 0 {
			t.Errorf("of a host with %s there are %d findings to be waived", id, n)
		}
	}
	for _, c := range all() {
		if c.severity == Info && slices.Contains(Waivable(), c.id) {
			t.Errorf("%s can be waived, and no plan shows it", c.id)
		}
	}
	found := Findings(everything)
	if !slices.IsSortedFunc(found, func(a, b Finding) int {
		return strings.Index("error warning info", string(a.Severity)) - strings.Index("error warning info", string(b.Severity))
	}) {
		t.Errorf("they are not sorted by severity: %v", found)
	}
	if why := Needed(everything.Contact); !strings.Contains(why, "riscv64") || !strings.Contains(why, "; and its sshd opens one session") {
		t.Errorf("not all reasons are told at once: %s", why)
	}
}

// TestSlow assesses disks by how long appends took: by etcd's own limit with a warning, by the user's with an error.
func TestSlow(t *testing.T) {
	at := func(p99 time.Duration) api.Appends {
		return api.Appends{Count: 1000, P50: 412345 * time.Nanosecond, P99: p99, Max: 1234567 * time.Microsecond}
	}
	for _, test := range []struct {
		p99, limit time.Duration
		want       Severity // empty: nothing is found
	}{
		{10 * time.Millisecond, 0, ""}, {10*time.Millisecond + 1, 0, Warning},
		{20 * time.Millisecond, 20 * time.Millisecond, ""}, {20*time.Millisecond + 1, 20 * time.Millisecond, Error},
		{2 * time.Millisecond, time.Millisecond, Error},
	} {
		found := Slow("/data", at(test.p99), test.limit)
		if (test.want == "") != (len(found) == 0) || len(found) == 1 && (found[0].Severity != test.want || found[0].ID != FsyncLatency) {
			t.Errorf("p99 %s, limit %s: %+v", test.p99, test.limit, found)
		}
	}
	want := "appends to the disk of /data take 412µs (p50), 23.5ms (p99) and 1.23s (the longest of 1000) until they are synced, and a p99 of at most 10ms is wanted; take a faster disk"
	if found := Slow("/data", at(23456*time.Microsecond), 0); len(found) != 1 || !strings.HasPrefix(found[0].String(), want) {
		t.Errorf("found %v, want %s", found, want)
	}
	for _, c := range tried {
		if f := Found(c.id, "%d", 1); f.ID != c.id || f.Text != "1" || f.Severity != c.severity || f.Remedy == "" || !slices.Contains(Waivable(), c.id) {
			t.Errorf("%s: %+v", c.id, f)
		}
	}
}

// TestGuideListsFindings holds that the table of the guide has all findings, with their severities, and no others.
func TestGuideListsFindings(t *testing.T) {
	page, err := os.ReadFile("../../templates/docs/guides/sizing.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, " | ")
		id, is := strings.CutPrefix(cells[0], "| `")
		if !is || len(cells) < 4 || cells[1] != string(Error) && cells[1] != string(Warning) && cells[1] != string(Info) {
			continue
		}
		listed[strings.TrimSuffix(id, "`")+" "+cells[1]] = true
	}
	for _, c := range all() {
		key := c.id + " " + string(c.severity)
		if !listed[key] {
			t.Errorf("the guide does not list %s", key)
		}
		delete(listed, key)
		if _, tested := bad[c.id]; !tested && c.look != nil {
			t.Errorf("%s is not tested", c.id)
		}
	}
	for _, f := range []Finding{Unread("no route to host", ""), Unread("login refused", api.BarrierLogin)} {
		key := f.ID + " " + string(f.Severity)
		if !listed[key] || f.Remedy == "" {
			t.Errorf("the guide does not list %s, or there is no remedy for it", key)
		}
		delete(listed, key)
	}
	if len(listed) > 0 {
		t.Errorf("the guide lists %v, and there are no such findings", listed)
	}
}
