// Package procfs reads what the kernel of a host reports: its memory, its processes, and who listens on its ports.
package procfs

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// FS is the kernel's view of a host.
type FS struct {
	Root string // in front of every path; "/" but in tests
}

// path returns where a path of the host lies for this process.
func (f FS) path(p string) string { return filepath.Join(f.Root, p) }

// of returns the path of one of the kernel's files about a process.
func (f FS) of(process int, what string) string {
	return f.path(filepath.Join("/proc", strconv.Itoa(process), what))
}

// Memory returns the host's memory as the kernel counts it, in bytes.
func (f FS) Memory() (int64, error) { return f.meminfo("MemTotal") }

// AvailableMemory returns how many bytes of memory a new process may take without another one going short.
func (f FS) AvailableMemory() (int64, error) { return f.meminfo("MemAvailable") }

// meminfo returns one of the sizes in the kernel's table of memory, in bytes.
func (f FS) meminfo(name string) (int64, error) {
	table, err := os.Open(f.path("/proc/meminfo"))
	if err != nil {
		return 0, err
	}
	defer table.Close()
	for lines := bufio.NewScanner(table); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(text, "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo holds no %s", name)
}

// ConnectionPorts returns the first and the last of the ports that the kernel gives to connections, and to listeners
// that ask for any port. Where it does not say, they are those of a kernel that nobody has configured.
func (f FS) ConnectionPorts() (first, last int) {
	const defaultFirst, defaultLast = 32768, 60999
	text, err := os.ReadFile(f.path("/proc/sys/net/ipv4/ip_local_port_range"))
	if err != nil {
		return defaultFirst, defaultLast
	}
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil || first < 1 || last < first {
		return defaultFirst, defaultLast
	}
	return first, last
}
