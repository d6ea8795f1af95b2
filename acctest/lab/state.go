package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// saved is what another process needs to find a lab.
type saved struct {
	Hosts []HostConfig
	Base  string
}

func (l *Lab) save() error {
	var s saved
	for _, h := range l.Hosts {
		s.Hosts = append(s.Hosts, h.Config)
		s.Base = h.base
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, "lab.json"), text, 0o600)
}

// Open finds a lab that another process has brought up.
func Open(name string) (*Lab, error) {
	l := &Lab{Name: name, dir: filepath.Join(Root, "labs", name)}
	text, err := os.ReadFile(filepath.Join(l.dir, "lab.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no lab %q", name)
	}
	if err != nil {
		return nil, err
	}
	var s saved
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	for i, h := range s.Hosts {
		l.Hosts = append(l.Hosts, newHost(l, h, i, s.Base))
	}
	return l, nil
}

// process is a process that cannot be mistaken for a later one of the same ID: with its start time, in
// clock ticks since boot. It is written as "PID START".
type process struct {
	pid   int
	start string
}

// findProcess is the process that has this ID now.
func findProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The name, in parentheses, may hold anything; start time is the 20th field after it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return process{}, fmt.Errorf("process %d has ended", pid)
	}
	return process{pid, fields[19]}, nil
}

// readProcess reads a process that was written to a file, if it still runs.
func readProcess(file string) (process, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return process{}, false
	}
	var p process
	if n, _ := fmt.Sscanf(string(text), "%d %s", &p.pid, &p.start); n != 2 {
		return process{}, false
	}
	now, err := findProcess(p.pid)
	return p, err == nil && now == p
}

func (p process) write(file string) error {
	return os.WriteFile(file, fmt.Appendf(nil, "%d %s\n", p.pid, p.start), 0o600)
}

// writeOwner notes the process that the lab lives as long as.
func (l *Lab) writeOwner(detached bool) error {
	if detached {
		return os.WriteFile(filepath.Join(l.dir, "detached"), nil, 0o600)
	}
	owner, err := findProcess(os.Getpid())
	if err != nil {
		return err
	}
	return owner.write(filepath.Join(l.dir, "owner"))
}

// endDeadLabs ends the labs whose makers were killed.
func endDeadLabs() error {
	dirs, err := filepath.Glob(filepath.Join(Root, "labs", "*"))
	if err != nil {
		return err
	}
	var failures []error
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "detached")); err == nil {
			continue
		}
		if _, alive := readProcess(filepath.Join(dir, "owner")); alive {
			continue
		}
		l, err := Open(filepath.Base(dir))
		if err != nil {
			// Its maker was killed before it had saved anything: there can be no host yet.
			l = &Lab{Name: filepath.Base(dir), dir: dir}
		}
		failures = append(failures, l.Down())
	}
	return errors.Join(failures...)
}
