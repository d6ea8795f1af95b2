package preflight

import (
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Thresholds, and where they come from. The guide "Sizing" has the same table for users.
const (
	leastCPUs = 2 // etcd's hardware guide: typical clusters need two to four

	// leastMemory is enough for a database of etcd's default quota, 2 GiB, which etcd's FAQ wants to be in memory. A
	// machine of 2 GiB reports less than it has.
	leastMemory = 2_000_000_000

	leastInodes = 1000 // a member has less than a hundred files, and what is moved aside keeps as many
)

var (
	// network are file systems on which a sync or a lock is not what etcd takes it for: etcd's issues 5715 and 9670.
	network = []string{"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "fuse.glusterfs", "ceph", "afs", "9p"}

	// memory are file systems that a reboot empties.
	memory = []string{"tmpfs", "ramfs", "devtmpfs"}

	// saving are governors that run CPUs slowly until there is load: etcd's tuning guide wants performance or
	// conservative.
	saving = []string{"powersave", "ondemand", "schedutil"}
)

// wanted are the checks whose findings a user may waive.
var wanted = []check{
	{"network_filesystem", Error, "take a local disk", func(h Host) []string {
		return each(h.Inventory, func(f api.Filesystem) []string {
			return when(slices.Contains(network, f.Type), "%s lies on %s (%s), and etcd does not support file systems of a network: what it has synced may be lost", f.Path, f.Source, f.Type)
		})
	}},
	{"memory_filesystem", Error, "take a disk", func(h Host) []string {
		return each(h.Inventory, func(f api.Filesystem) []string {
			return when(slices.Contains(memory, f.Type), "%s lies on %s, which a reboot empties", f.Path, f.Type)
		})
	}},
	{"free_inodes", Error, "delete files there, or take a file system with more inodes", func(h Host) []string {
		return each(h.Inventory, func(f api.Filesystem) []string {
			return when(f.Inodes > 0 && f.FreeInodes < leastInodes, "%d inodes are free for %s and %d are wanted", f.FreeInodes, f.Path, leastInodes)
		})
	}},
	{"rotational_disk", Warning, "take an SSD", func(h Host) []string {
		return each(h.Inventory, func(f api.Filesystem) []string {
			return when(f.Kind == api.DiskHDD, "%s lies on a rotational disk (%s): every write of etcd waits for the disks of a quorum", f.Path, strings.Join(f.Disks, ", "))
		})
	}},
	{"cpus", Warning, "give it more", func(h Host) []string {
		return when(h.Inventory.CPUs > 0 && h.Inventory.CPUs < leastCPUs, "it has one CPU, and etcd's hardware guide wants two to four")
	}},
	{"memory", Warning, "give it more, or lower settings.quota_backend_bytes", func(h Host) []string {
		return when(h.Inventory.MemoryBytes > 0 && h.Inventory.MemoryBytes < leastMemory, "it has %d MiB of memory, which a database of etcd's default quota (2 GiB) does not fit into", h.Inventory.MemoryBytes>>20)
	}},
	{"clock_unsynchronized", Warning, "see why chrony or systemd-timesyncd has no source of time there", func(h Host) []string {
		return when(h.Inventory.Synchronized == api.No, "its clock is not synchronized, and certificates are valid by the clock")
	}},
	{"swap", Warning, "turn it off (swapoff -a, and /etc/fstab)", func(h Host) []string {
		return when(h.Inventory.SwapBytes > 0, "it has swap: a member whose memory is swapped out answers late, and may lose its leadership")
	}},
	{"selinux", Warning, "try it on a host that can be spared", func(h Host) []string {
		return when(h.Inventory.SELinux == "enforcing", "SELinux enforces its policy on it, and this provider sets no file contexts yet")
	}},
	{"cpu_governor", Info, "set the governor performance or conservative", func(h Host) []string {
		slow := slices.DeleteFunc(slices.Clone(h.Inventory.Governors), func(g string) bool { return !slices.Contains(saving, g) })
		return when(len(slow) > 0, "its CPUs save power (%s), and etcd's tuning guide wants the governor performance or conservative", strings.Join(slow, ", "))
	}},
	{"huge_pages", Info, "set /sys/kernel/mm/transparent_hugepage/enabled to madvise", func(h Host) []string {
		return when(h.Inventory.HugePages == "always", "transparent huge pages are always on, with which Go's heap may take more memory than it uses")
	}},
	{"cgroup_v1", Info, "boot it with systemd.unified_cgroup_hierarchy=1", func(h Host) []string {
		return when(h.Inventory.Cgroup == 1, "it has cgroups of version 1, which systemd has given up")
	}},
}

// told are the checks for which clusters have rules of their own.
var told = []check{
	{"clock_skew", Warning, "set the clock right (chronyc makestep, or timedatectl set-ntp true), or this machine's if that is the wrong one", func(h Host) []string {
		skew := h.Clock.Skew()
		direction := map[bool]string{true: "behind", false: "ahead of"}[skew < 0]
		return when(skew.Abs() >= clocks.Noticeable, "its clock is at least %s %s this machine's, and no certificate is signed from %s on", membership.Short(skew.Abs()), direction, membership.Short(cert.Backdate))
	}},
}
