// Package systemd renders the units that a cluster runs under on its hosts.
package systemd

import (
	_ "embed"
	"fmt"
	"math/bits"
	"path"
	"regexp"
	"strings"
	"text/template"
)

//go:embed etcd@.service
var service string

var unit = template.Must(template.New("etcd@.service").Option("missingkey=error").Parse(service))

// Options are what the unit of one cluster on one host depends on.
type Options struct {
	Cluster     string // the instance of the unit
	Store       string // path of the program that the unit runs
	GuardStatus int    // exit status by which the program says that the member must not start
	DataDir     string // absolute, in its shortest spelling, and where a service can be let write
	MemoryBytes int64  // of the host; positive
}

// instance is what systemd takes for the name of an instance as it is.
var instance = regexp.MustCompile(`^[A-Za-z0-9:_.-]+$`)

// Render is the text of the cluster's unit. It is a whole unit named as the instance, so that each
// cluster on a host has one of its own.
func Render(o Options) (string, error) {
	if err := checkProgram(o.Cluster, o.Store); err != nil {
		return "", fmt.Errorf("render the unit of cluster %q: %w", o.Cluster, err)
	}
	if err := CheckDataDir(o.DataDir); err != nil {
		return "", fmt.Errorf("render the unit of cluster %s: data directory %q: %w", o.Cluster, o.DataDir, err)
	}
	if o.MemoryBytes <= 0 {
		return "", fmt.Errorf("render the unit of cluster %s: the host's memory is given as %d bytes", o.Cluster, o.MemoryBytes)
	}
	var text strings.Builder
	err := unit.Execute(&text, struct {
		Options
		MemoryLimitMiB int64
	}{o, memoryLimit(o.MemoryBytes) >> 20})
	if err != nil {
		return "", fmt.Errorf("render the unit of cluster %s: %w", o.Cluster, err)
	}
	return text.String(), nil
}

// checkProgram refuses what systemd would not take for the name of an instance, and for a program.
func checkProgram(cluster, store string) error {
	switch {
	case !instance.MatchString(cluster):
		return fmt.Errorf("the name does not match %s", instance)
	case !path.IsAbs(store) || path.Clean(store) != store || strings.ContainsFunc(store, special) || strings.Contains(store, " "):
		return fmt.Errorf("%q is no path of a program", store)
	}
	return nil
}

// hidden are the places that the sandbox hides from the unit, or that are gone after a boot.
var hidden = []string{"/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/usr", "/var/run", "/var/tmp"}

// CheckDataDir refuses a path that systemd would read as something else, or that the unit could not
// write to or not keep.
func CheckDataDir(dir string) error {
	switch {
	case !path.IsAbs(dir) || path.Clean(dir) != dir:
		return fmt.Errorf("give an absolute path in its shortest spelling")
	case dir == "/":
		return fmt.Errorf("this is all of the host's file system")
	case strings.ContainsFunc(dir, special):
		return fmt.Errorf(`control characters and the characters " \ %% $ mean something to systemd`)
	}
	for _, place := range hidden {
		if dir == place || strings.HasPrefix(dir, place+"/") {
			return fmt.Errorf("a service cannot keep its data below %s: choose a directory like /var/lib/etcd/NAME or /srv/etcd", place)
		}
	}
	return nil
}

// special tells whether a character has a meaning inside a quoted path of a unit file.
func special(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`"\%$`, r) }

// memoryLimit is 5/8 of the host's memory, in bytes.
func memoryLimit(memory int64) int64 { return nominal(memory) / 8 * 5 }

// nominal is the host's memory rounded up to a quarter of the power of two below it, near the size that the
// machine was bought with. What the kernel counts differs by a little from one kernel to the next, and a
// unit that changed with it would be restarted for nothing.
func nominal(memory int64) int64 {
	step := max(int64(1)<<(bits.Len64(uint64(memory-1))-1)/4, 1)
	return (memory + step - 1) / step * step
}
