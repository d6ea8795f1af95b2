package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Each host has its own control group, for two reasons. Without it systemd-nspawn would put the units of all hosts
// into the same groups, and one host's systemd would wait for, and fail to signal, the processes of another's unit of
// the same name. And a whole control group can be killed at once, with no process ID that may belong to another
// process by then.

// cgroupRoot is where the machine has its control groups of version 2, or "". If it has version 1 too (systemd's
// hybrid mode), they lie one directory further down.
func cgroupRoot() string {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var stat unix.Statfs_t
		if unix.Statfs(root, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC {
			return root
		}
	}
	return ""
}

// cgroup is the directory of the host's control group.
func (h *Host) cgroup() string { return filepath.Join(cgroupRoot(), h.namespace()) }

// On tells whether any process of the host runs.
func (h *Host) On() bool {
	events, err := os.ReadFile(filepath.Join(h.cgroup(), "cgroup.events"))
	return err == nil && strings.Contains(string(events), "populated 1")
}

// kill kills all processes of the host, and returns once they have ended.
func (h *Host) kill() error {
	err := os.WriteFile(filepath.Join(h.cgroup(), "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) && !h.On() {
		return nil
	}
	if err != nil {
		return err
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if !h.On() && !h.occupied() {
			if err = h.removeCgroup(); err == nil {
				return nil
			}
		}
		if time.Since(start) > patience {
			return errors.Join(fmt.Errorf("processes of host %s do not end", h.Config.Name), err)
		}
	}
}

// occupied tells whether the host's network namespace still has processes: those that Run started are not in the
// control group, and the kernel kills them with the host's PID 1.
func (h *Host) occupied() bool {
	pids, err := output("ip", "netns", "pids", h.namespace())
	return err == nil && strings.TrimSpace(pids) != ""
}

// removeCgroup removes the host's control group and those that its systemd has made below it, including those that
// systemd-nspawn mirrors in the hierarchy of version 1.
func (h *Host) removeCgroup() error {
	var failures []error
	for _, group := range []string{h.cgroup(), filepath.Join("/sys/fs/cgroup/systemd", h.namespace())} {
		var dirs []string
		err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, dir := range slices.Backward(dirs) {
			err = errors.Join(err, unix.Rmdir(dir))
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}
