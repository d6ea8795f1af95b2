package node

import (
	_ "embed"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// inventoryScript is a function that contactScript calls with the paths of interest.
//
//go:embed inventory.sh
var inventoryScript string

// withInventory returns the lines before the first contact's script that have it take an inventory for paths, or none
// if there are no paths.
func withInventory(paths []string) string {
	if len(paths) == 0 {
		return "set --\n"
	}
	words := []string{"set --"}
	for _, path := range paths {
		words = append(words, ssh.Quote(path))
	}
	return strings.Join(words, " ") + "\n" + inventoryScript
}

// newInventory returns an inventory for paths with nothing known yet.
func newInventory(paths []string) *api.Inventory {
	inventory := &api.Inventory{}
	for _, path := range paths {
		inventory.Filesystems = append(inventory.Filesystems, api.Filesystem{Path: path})
	}
	return inventory
}

// takeInventory adds a fact to the inventory. A fact that cannot be read stays unknown: no host is refused for it.
func takeInventory(i *api.Inventory, key, value string) {
	switch key {
	case "os-release":
		name, text, _ := strings.Cut(value, "=")
		text = strings.Trim(text, `"'`)
		switch name {
		case "PRETTY_NAME":
			i.OS = text
		case "ID":
			i.OSID = text
		case "VERSION_ID":
			i.OSVersion = text
		}
	case "systemd": // systemd 257 (257.9-1~deb13u1)
		if words := strings.Fields(value); len(words) > 1 {
			major, _, _ := strings.Cut(words[1], "~")
			major, _, _ = strings.Cut(major, ".")
			i.SystemdVersion = int(number(major))
		}
	case "memory-kib":
		i.MemoryBytes = number(value) << 10
	case "swap-kib":
		i.SwapBytes = number(value) << 10
	case "cpus":
		i.CPUs = int(number(value))
	case "host-key":
		if words := strings.Fields(value); len(words) > 1 {
			i.HostKeys = append(i.HostKeys, words[0]+" "+words[1]) // a comment may follow
		}
	case "address":
		text, _, _ := strings.Cut(value, "/")
		if address, err := netip.ParseAddr(text); err == nil && !address.IsLoopback() && !address.IsLinkLocalUnicast() && !slices.Contains(i.Addresses, address.String()) {
			i.Addresses = append(i.Addresses, address.String())
		}
	case "synchronized":
		if answer := api.Answer(value); answer == api.Yes || answer == api.No {
			i.Synchronized = answer
		}
	case "huge-pages": // always [madvise] never
		if _, chosen, found := strings.Cut(value, "["); found {
			i.HugePages, _, _ = strings.Cut(chosen, "]")
		}
	case "governor":
		i.Governors = append(i.Governors, value)
	case "cgroup":
		i.Cgroup = int(number(value))
	case "selinux":
		i.SELinux = map[string]string{"1": "enforcing", "0": "permissive", "none": "disabled"}[value]
	default:
		takeFilesystem(i.Filesystems, key, value)
	}
}

// takeFilesystem adds a fact of a file system. The fact begins with the index of the path.
func takeFilesystem(all []api.Filesystem, key, value string) {
	index, value, _ := strings.Cut(value, " ")
	n, err := strconv.Atoi(index)
	if err != nil || n < 0 || n >= len(all) {
		return
	}
	f, words := &all[n], strings.Fields(value)
	switch {
	case key == "space" && len(words) == 5: // block size, blocks, free blocks, inodes, free inodes
		block := number(words[0])
		f.SizeBytes, f.FreeBytes = number(words[1])*block, number(words[2])*block
		f.Inodes, f.FreeInodes = number(words[3]), number(words[4])
	case key == "mount":
		f.Mount = value
	case key == "type" && len(words) > 2: // 8:2 ext4 /dev/sda2 rw
		f.Type, f.Source = words[1], words[2]
	case key == "rotational":
		f.Kind = map[string]api.DiskKind{"0": api.DiskSSD, "1": api.DiskHDD}[value]
	case key == "disk":
		f.Disks = append(f.Disks, value)
		// virtio reports all disks as rotational.
		if f.Kind == api.DiskHDD && (strings.HasPrefix(value, "vd") || strings.HasPrefix(value, "loop")) {
			f.Kind = api.DiskVirtual
		}
	}
}

// number reads a number that is not negative, and returns 0 for anything else.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}
