package host

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// mount is a mounted file system.
type mount struct {
	point  string
	kind   string // ext4, xfs, ...
	device string // major:minor
	root   string // what of the file system is mounted: / but for binds and subvolumes
}

// mountOf finds the file system that an existing path lies on. The path is one of this process, with
// links resolved.
func mountOf(path string) (mount, error) {
	return mountBy(path, func(mount, mount) bool { return true })
}

// mountPoint finds where the file system is mounted that a path of the host lies on, or would lie on.
func (m *Machine) mountPoint(path string) (string, error) {
	nearest, err := m.files().Nearest(path)
	if err != nil {
		return "", err
	}
	found, err := mountBy(nearest, changesView)
	return found.point, err
}

// mountBy finds the mount that a path lies on, counting those only that count beside the one around them.
func mountBy(path string, counts func(m, around mount) bool) (mount, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return mount{}, err
	}
	defer table.Close()
	var found mount
	for lines := bufio.NewScanner(table); lines.Scan(); {
		m, ok := parseMount(lines.Text())
		if ok && (m.point == "/" || api.Within(path, m.point)) && len(m.point) >= len(found.point) && counts(m, found) {
			// Of several on one point, the last is on top.
			found = m
		}
	}
	if found.point == "" {
		return mount{}, fmt.Errorf("no mounted file system holds %s", path)
	}
	return found, nil
}

// changesView tells whether a mount shows anything else than the one around it shows in its place. systemd
// binds the directories that a unit may write to onto themselves, and for the guard, which runs in that unit,
// they are mount points all.
func changesView(m, around mount) bool {
	return m.device != around.device || m.root != filepath.Join(around.root, strings.TrimPrefix(m.point, around.point))
}

// parseMount reads a line of mountinfo: the mount point is its fifth field, and the kind follows the
// separator, since the fields before that are of any number.
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields, kinds := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 5 || len(kinds) < 1 {
		return mount{}, false
	}
	return mount{point: unescape.Replace(fields[4]), kind: kinds[0], device: fields[2], root: unescape.Replace(fields[3])}, true
}

// unescape undoes what the kernel does to characters that would end a field.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
