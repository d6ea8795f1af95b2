// Package procfs is what the kernel of a host tells: its memory, its processes, and who listens on its ports.
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

// path is where a path of the host lies for this process.
func (f FS) path(p string) string { return filepath.Join(f.Root, p) }

// of is where the kernel tells of a process.
func (f FS) of(process int, what string) string {
	return f.path(filepath.Join("/proc", strconv.Itoa(process), what))
}

// Memory is what the kernel counts as the host's memory, in bytes.
func (f FS) Memory() (int64, error) { return f.meminfo("MemTotal") }

// AvailableMemory is what may be taken of it without another process going short, in bytes.
func (f FS) AvailableMemory() (int64, error) { return f.meminfo("MemAvailable") }

// meminfo is one of the sizes that the kernel tells of the host's memory, in bytes.
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
