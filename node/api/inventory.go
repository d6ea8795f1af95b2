package api

// Inventory is what a host is and has, as far as it can be told before a store is there. A zero value is not known,
// unless the field says otherwise.
type Inventory struct {
	OS             string // PRETTY_NAME of os-release
	OSID           string // ID of os-release: debian, rhel
	OSVersion      string // VERSION_ID of os-release: 13, 9.6
	SystemdVersion int
	MemoryBytes    int64
	SwapBytes      int64 // 0: no swap is in use
	CPUs           int
	HostKeys       []string // public keys of its sshd, as they stand in known_hosts behind the host's name
	Addresses      []string // of its interfaces, but loopback and link-local ones
	Filesystems    []Filesystem
	Synchronized   Answer   // its clock, as systemd-timesyncd or chrony says
	HugePages      string   // transparent huge pages: always, madvise, never
	Governors      []string // of its CPUs, each once
	Cgroup         int      // version: 1, 2
	SELinux        string   // enforcing, permissive, disabled
}

// Filesystem is what lies below a path.
type Filesystem struct {
	Path       string   // that was asked for
	Mount      string   // where the file system is mounted
	Type       string   // ext4, xfs, ...
	Source     string   // of the mount: /dev/sda2
	SizeBytes  int64    // 0: neither size nor free space is known
	FreeBytes  int64    // for others than root
	Inodes     int64    // 0: the file system counts none
	FreeInodes int64    // of Inodes
	Disks      []string // names of the kernel for the disks below: sda, nvme0n1
	Kind       DiskKind
}

// DiskKind is what kind of disk the kernel reports.
type DiskKind string

// Kinds of disks.
const (
	DiskSSD     DiskKind = "ssd"
	DiskHDD     DiskKind = "hdd"
	DiskVirtual DiskKind = "virtual" // the hypervisor does not tell what is behind it
)

// Answer is yes, no, or not known.
type Answer string

// Answers that are known.
const (
	Yes Answer = "yes"
	No  Answer = "no"
)
