// Package disks finds a host's mounted file systems and their free space, refuses what they have no room for, and
// reserves space for what is about to be written.
package disks

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// Disks are the file systems that a host's files lie on.
type Disks struct{ Files files.Tree }

// Mount is a mounted file system.
type Mount struct {
	Point  string
	Kind   string // ext4, xfs, ...
	Device string // major:minor
	Root   string // what of the file system is mounted: / but for binds and subvolumes
}

// MountOf finds the file system on which an existing path of this process lies. The path has no links in it.
func MountOf(path string) (Mount, error) {
	return mountBy(path, func(Mount, Mount) bool { return true })
}

// MountPoint finds where the file system is mounted on which a path of the host lies, or would lie.
func (d Disks) MountPoint(path string) (string, error) {
	nearest, err := d.Files.Nearest(path)
	if err != nil {
		return "", err
	}
	found, err := mountBy(nearest, changesView)
	return found.Point, err
}

// mountBy finds the mount on which a path lies. It takes an inner mount into account only if counts says so, which is
// also given the mount around it.
func mountBy(path string, counts func(m, around Mount) bool) (Mount, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Mount{}, err
	}
	defer table.Close()
	var found Mount
	for lines := bufio.NewScanner(table); lines.Scan(); {
		m, ok := parseMount(lines.Text())
		if ok && (m.Point == "/" || api.Within(path, m.Point)) && len(m.Point) >= len(found.Point) && counts(m, found) {
			// Of several mounts on one point, the last one is on top.
			found = m
		}
	}
	if found.Point == "" {
		return Mount{}, fmt.Errorf("no mounted file system holds %s", path)
	}
	return found, nil
}

// changesView tells whether a mount shows other content in its place than the mount around it would. systemd binds the
// directories that a unit may write to onto themselves, so for the guard, which runs in that unit, all of them are
// mount points.
func changesView(m, around Mount) bool {
	return m.Device != around.Device || m.Root != filepath.Join(around.Root, strings.TrimPrefix(m.Point, around.Point))
}

// parseMount reads a line of mountinfo. The mount point is the fifth field. The kind follows the separator, since the
// number of fields before the separator varies.
func parseMount(line string) (Mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields, kinds := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 5 || len(kinds) < 1 {
		return Mount{}, false
	}
	return Mount{Point: unescape.Replace(fields[4]), Kind: kinds[0], Device: fields[2], Root: unescape.Replace(fields[3])}, true
}

// unescape restores the characters that the kernel escapes since they would end a field.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// IsMountPoint tells whether a file system is mounted on a directory.
func (d Disks) IsMountPoint(dir string) (bool, error) {
	path, err := filepath.EvalSymlinks(d.Files.Path(dir))
	if err != nil {
		return false, err
	}
	mount, err := MountOf(path)
	return mount.Point == path, err
}
