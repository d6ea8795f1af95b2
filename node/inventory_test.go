package node

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestInventoryOfThisMachine compares the script's answers with what this machine says in other ways.
func TestInventoryOfThisMachine(t *testing.T) {
	root := t.TempDir()
	odd := filepath.Join(root, "it's a \\place\nof two lines", "not", "there")
	run := func(paths ...string) string {
		// The script runs in the way that login shells run it.
		output, err := exec.Command("sh", "-c", line(withInventory(paths)+contactSettings(root)+contactScript)).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(output)
	}
	if none, err := parseContact(run(), nil); err != nil || none.Inventory != nil {
		t.Errorf("nobody asked for %+v: %v", none.Inventory, err)
	}
	contact, err := parseContact(run(root, odd, "/dev/shm", "/proc"), nil, root, odd, "/dev/shm", "/proc")
	if err != nil {
		t.Fatal(err)
	}
	i := contact.Inventory
	t.Logf("%+v", *i)
	if i.CPUs < 1 || i.CPUs > runtime.NumCPU() {
		t.Errorf("%d CPUs, and Go counts %d", i.CPUs, runtime.NumCPU())
	}
	says := func(file, text string) bool {
		content, err := os.ReadFile(file)
		return err == nil && bytes.Contains(content, []byte(text))
	}
	if !says("/proc/meminfo", " "+strconv.FormatInt(i.MemoryBytes>>10, 10)+" kB\n") || i.SwapBytes > 0 && !says("/proc/swaps", "\n/") {
		t.Errorf("%d bytes of memory and %d of swap", i.MemoryBytes, i.SwapBytes)
	}
	if i.OS != "" && (!says("/etc/os-release", i.OS) || !says("/etc/os-release", "ID="+i.OSID+"\n")) {
		t.Errorf("it runs %q, %q %q", i.OS, i.OSID, i.OSVersion)
	}
	for _, key := range i.HostKeys {
		if !strings.HasPrefix(key, "ssh-") && !strings.HasPrefix(key, "ecdsa-") || strings.Count(key, " ") != 1 {
			t.Errorf("a host key reads %q", key)
		}
	}
	if i.HugePages != "" && !says("/sys/kernel/mm/transparent_hugepage/enabled", "["+i.HugePages+"]") {
		t.Errorf("transparent huge pages are %q", i.HugePages)
	}
	if i.SELinux == "" || i.Cgroup != 1 && i.Cgroup != 2 {
		t.Errorf("SELinux is %q, cgroups have version %d", i.SELinux, i.Cgroup)
	}
	temp, beside, memory, proc := i.Filesystems[0], i.Filesystems[1], i.Filesystems[2], i.Filesystems[3]
	if temp.SizeBytes < temp.FreeBytes || temp.FreeBytes == 0 || temp.Mount == "" || temp.Type == "" || !says("/proc/self/mountinfo", " - "+temp.Type+" "+temp.Source+" ") {
		t.Errorf("%s lies on %+v", root, temp)
	}
	if temp.Kind != "" && (len(temp.Disks) == 0 || !slices.ContainsFunc(temp.Disks, func(disk string) bool { return says("/proc/partitions", " "+disk+"\n") })) {
		t.Errorf("disks of %s: %v", root, temp.Disks)
	}
	beside.Path, beside.FreeBytes, beside.FreeInodes = temp.Path, temp.FreeBytes, temp.FreeInodes
	if diff := cmp.Diff(temp, beside); diff != "" {
		t.Errorf("a directory that is not there lies elsewhere than its parent: %s", diff)
	}
	if memory.Type != "tmpfs" || memory.Mount != "/dev/shm" || memory.Kind != "" {
		t.Errorf("/dev/shm lies on %+v", memory)
	}
	if proc.Type != "proc" || proc.Inodes != 0 {
		t.Errorf("/proc lies on %+v", proc)
	}
}

func TestParseInventory(t *testing.T) {
	output := strings.Join([]string{
		"kernel 6.1", "os-release PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"", "os-release ID=debian", "os-release VERSION_ID='13'",
		"systemd systemd 258~rc1 (258~rc1-1)", "memory-kib 2097152", "swap-kib 1024", "cpus 4",
		"host-key ssh-ed25519 AAAA root@a", "host-key nonsense",
		"address 127.0.0.1/8", "address ::1/128", "address 192.0.2.11/24", "address 192.0.2.11/32", "address fe80::1/64", "address 2001:db8::11/64", "address none",
		"synchronized no", "huge-pages always [madvise] never", "governor powersave", "governor performance", "cgroup 2", "selinux 1",
		"space 0 4096 1000 250 64 32", "mount 0 /", "type 0 259:2 ext4 /dev/nvme0n1p2 rw", "rotational 0 0", "disk 0 nvme0n1",
		"space 1 4096 1000 0 0 0", "mount 1 /srv/the data", "type 1 254:0 xfs /dev/mapper/data rw", "rotational 1 1", "disk 1 sda", "disk 1 sdb",
		"space 2 1", "mount 2 /srv", "type 2 0:44 nfs4 192.0.2.9:/export rw",
		"mount 3 /v", "type 3 254:1 ext4 /dev/vdb rw", "rotational 3 1", "disk 3 vdb",
		"mount 4 /nobody/asked", "mount -1 /", "mount",
		"end .",
	}, "\n") + "\n"
	contact, err := parseContact(output, nil, "/a", "/b", "/c", "/d")
	if err != nil {
		t.Fatal(err)
	}
	want := &api.Inventory{
		OS: "Debian GNU/Linux 13 (trixie)", OSID: "debian", OSVersion: "13", SystemdVersion: 258, MemoryBytes: 2 << 30, SwapBytes: 1 << 20, CPUs: 4,
		HostKeys: []string{"ssh-ed25519 AAAA"}, Addresses: []string{"192.0.2.11", "2001:db8::11"},
		Synchronized: api.No, HugePages: "madvise", Governors: []string{"powersave", "performance"}, Cgroup: 2, SELinux: "enforcing",
		Filesystems: []api.Filesystem{
			{Path: "/a", Mount: "/", Type: "ext4", Source: "/dev/nvme0n1p2", SizeBytes: 4096000, FreeBytes: 1024000, Inodes: 64, FreeInodes: 32, Kind: api.DiskSSD, Disks: []string{"nvme0n1"}},
			{Path: "/b", Mount: "/srv/the data", Type: "xfs", Source: "/dev/mapper/data", SizeBytes: 4096000, Kind: api.DiskHDD, Disks: []string{"sda", "sdb"}},
			{Path: "/c", Mount: "/srv", Type: "nfs4", Source: "192.0.2.9:/export"},
			{Path: "/d", Mount: "/v", Type: "ext4", Source: "/dev/vdb", Kind: api.DiskVirtual, Disks: []string{"vdb"}},
		},
	}
	if diff := cmp.Diff(want, contact.Inventory); diff != "" {
		t.Error(diff)
	}
	if contact, err = parseContact("kernel 6.1\nsystemd\ncpus many\nend .\n", nil, "/a"); err != nil || contact.Inventory.CPUs != 0 || contact.Inventory.SystemdVersion != 0 {
		t.Errorf("what cannot be read is %+v, %v", contact.Inventory, err)
	}
	if contact, err = parseContact(output, nil); err != nil || contact.Inventory != nil {
		t.Errorf("without paths there is %+v, %v", contact.Inventory, err)
	}
}
