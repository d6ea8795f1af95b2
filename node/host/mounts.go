package host

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// mount is a mounted file system.
type mount struct {
	point string
	kind  string // ext4, xfs, ...
}

// mountOf finds the file system that an existing path lies on. The path is one of this process, with
// links resolved.
func mountOf(path string) (mount, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return mount{}, err
	}
	defer table.Close()
	var found mount
	for lines := bufio.NewScanner(table); lines.Scan(); {
		if m, ok := parseMount(lines.Text()); ok && (m.point == "/" || within(path, m.point)) && len(m.point) >= len(found.point) {
			// Of several on one point, the last is on top.
			found = m
		}
	}
	if found.point == "" {
		return mount{}, fmt.Errorf("no mounted file system holds %s", path)
	}
	return found, nil
}

// parseMount reads a line of mountinfo: the mount point is its fifth field, and the kind follows the
// separator, since the fields before that are of any number.
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields, kinds := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 5 || len(kinds) < 1 {
		return mount{}, false
	}
	return mount{point: unescape.Replace(fields[4]), kind: kinds[0]}, true
}

// unescape undoes what the kernel does to characters that would end a field.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
