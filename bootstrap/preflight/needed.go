package preflight

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// kernelMajor.kernelMinor is the oldest kernel that a store runs on. etcd's Go 1.26 needs 3.2; the unit's sandbox
// needs 4.15, the oldest kernel that ships with a systemd that supports it.
const kernelMajor, kernelMinor = 4, 15

const (
	// LeastStoreBytes is the free space needed for the store: the binary, the archive that it arrives in, and room for
	// a second version. A store is 26 MB, its archive 9 MB.
	LeastStoreBytes = 128 << 20

	// LeastDataBytes is the free space needed for the data of a new member, beside the database that it copies. etcd
	// preallocates two log segments of 64 MB each, and begins with a small database and a snapshot.
	LeastDataBytes = 160 << 20
)

// architectures are the machines that stores are built for: uname's name to Go's.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// Architecture returns Go's name for a machine as uname names it, or "" if no store is built for it.
func Architecture(machine string) string { return architectures[machine] }

// Unwritable says which places a host cannot be written to in.
func Unwritable(places []string) string {
	return fmt.Sprintf("%s cannot be written to: a member's configuration, its unit and its data go there", strings.Join(places, ", "))
}

// needed are the checks that every member's host passes.
var needed = []check{
	{"architecture", Error, "take a host of one of these", func(h Host) []string {
		return when(Architecture(h.Machine) == "", "it is a %s machine; stores are built for x86_64 and aarch64", h.Machine)
	}},
	{"systemd", Error, "take a host that systemd runs", func(h Host) []string {
		return when(!h.Systemd, "its PID 1 is not systemd, which members run under")
	}},
	{"kernel", Error, "upgrade its operating system", func(h Host) []string {
		return when(tooOld(h.Kernel), "its kernel is %s; %d.%d or newer is needed", h.Kernel, kernelMajor, kernelMinor)
	}},
	{"commands", Error, "install them", func(h Host) []string {
		return when(len(h.Missing) > 0, "commands are missing on it: %s", strings.Join(h.Missing, ", "))
	}},
	{"user_namespaces", Error, "set that to 1000, say, in /etc/sysctl.d, and apply it with sysctl --system", func(h Host) []string {
		return when(h.NoUserNamespaces, "it allows no user namespaces (user.max_user_namespaces is 0), and the sandbox of a member's unit takes one")
	}},
	{"noexec", Error, "mount it without noexec", func(h Host) []string {
		return when(h.NoExec, "%s lies on a file system that is mounted noexec, and members run from there", api.StoreRoot)
	}},
	{"ssh_sessions", Error, "set MaxSessions to 2 or more in its sshd_config (10 is sshd's default)", func(h Host) []string {
		return when(h.OneSession, "its sshd opens one session at a time on a connection (MaxSessions 1), and a run takes two")
	}},
}

// room are the checks of the space that a member begins with. Which of it a host still needs depends on what it
// carries.
var room = []check{
	{"read_only", Error, "take a host on which it can be written", func(h Host) []string {
		return append(when(h.ReadOnly, "%s lies on a file system that is mounted read-only, and the store is installed there", api.StoreRoot),
			when(len(h.Unwritable) > 0, "%s", Unwritable(h.Unwritable))...)
	}},
	{"store_space", Error, "free some", func(h Host) []string {
		return when(!h.ReadOnly && len(h.Installed) == 0 && h.FreeBytes < LeastStoreBytes, "%d MiB are free for %s and %d are needed", h.FreeBytes>>20, api.StoreRoot, int64(LeastStoreBytes)>>20)
	}},
	{"free_space", Error, "free some, or take a larger disk", func(h Host) []string {
		return each(h.Inventory, func(f api.Filesystem) []string {
			return when(f.SizeBytes > 0 && f.FreeBytes < LeastDataBytes, "%d MiB are free for %s and a member begins with %d", f.FreeBytes>>20, f.Path, int64(LeastDataBytes)>>20)
		})
	}},
}

// when returns a text if it is the case.
func when(is bool, format string, args ...any) []string {
	if !is {
		return nil
	}
	return []string{fmt.Sprintf(format, args...)}
}

// each returns a text for every file system below the paths of an inventory that a condition holds for.
func each(i *api.Inventory, text func(api.Filesystem) []string) (texts []string) {
	for _, f := range i.Filesystems {
		texts = append(texts, text(f)...)
	}
	return texts
}

// tooOld tells whether a kernel release is older than needed. A release that cannot be parsed is not.
func tooOld(release string) bool {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	minor, err := strconv.Atoi(strings.TrimRight(parts[1], "-+abcdefghijklmnopqrstuvwxyz"))
	if err != nil {
		return false
	}
	return major < kernelMajor || major == kernelMajor && minor < kernelMinor
}
