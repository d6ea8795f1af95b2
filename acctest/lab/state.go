package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// saved is what another process needs to open a lab.
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

// ErrNoLab is the error of Open if there is no lab of that name.
var ErrNoLab = errors.New("there is no lab")

// Open opens a lab that another process has brought up.
func Open(name string) (*Lab, error) {
	l := newLab(name)
	text, err := os.ReadFile(filepath.Join(l.dir, "lab.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w %q", ErrNoLab, name)
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

// reopened returns the lab with all of its hosts.
func (l *Lab) reopened() *Lab {
	opened, err := Open(l.Name)
	if err != nil {
		return l // its maker was killed while it wrote what it desired: there can be no part of it yet
	}
	return opened
}

// process identifies a process uniquely, by its ID and its start time in clock ticks since boot. It is written as "PID
// START".
type process struct {
	pid   int
	start string
}

// findProcess returns the process that has this ID now.
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

// readProcess returns the process that is written in a file, if it still runs.
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

// claims is the lock for claiming labs, and for ending those whose makers are gone.
const claims = "/run/etcdlab.lock"

// claim makes the lab's directory, which names its maker and its parts before anything else of it exists: whenever its
// maker is killed, the next lab can end it. The lock ensures that no lab is taken for dead before it names its maker,
// and that no two processes end the same lab. A lab of another ETCD_LAB_DIR shares the machine's names, and is left
// alone.
func (l *Lab) claim(ctx context.Context) error {
	held, err := lock(ctx, claims)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := endDeadLabs(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join("/run/netns", l.Namespace())); err == nil {
		return fmt.Errorf("lab %s is up already, in another ETCD_LAB_DIR: end it first", l.Name)
	}
	if err := os.MkdirAll(filepath.Dir(l.dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(l.dir, 0o700); errors.Is(err, os.ErrExist) {
		return fmt.Errorf("lab %s is up already: end it first", l.Name)
	} else if err != nil {
		return err
	}
	owner, err := findProcess(os.Getpid())
	if err != nil {
		return errors.Join(err, os.RemoveAll(l.dir))
	}
	if err := errors.Join(owner.write(l.ownerFile()), l.save(), l.startKeeper()); err != nil {
		return errors.Join(err, os.RemoveAll(l.dir))
	}
	return nil
}

// release lets the lab outlive its maker, until Down.
func (l *Lab) release() error {
	defer l.dismissKeeper()
	return os.WriteFile(l.detachedFile(), nil, 0o600)
}

func (l *Lab) ownerFile() string    { return filepath.Join(l.dir, "owner") }
func (l *Lab) detachedFile() string { return filepath.Join(l.dir, "detached") }

// dead tells whether the lab's maker has ended.
func (l *Lab) dead() bool {
	if _, err := os.Stat(l.detachedFile()); err == nil {
		return false
	}
	_, alive := readProcess(l.ownerFile())
	return !alive
}

// endDeadLabs ends the labs whose makers are gone.
func endDeadLabs() error {
	dirs, err := filepath.Glob(filepath.Join(stateDir(), "labs", "*"))
	if err != nil {
		return err
	}
	var failures []error
	for _, dir := range dirs {
		name := filepath.Base(dir)
		if l := newLab(name); l.dead() {
			failures = append(failures, l.reopened().Down())
		}
	}
	return errors.Join(failures...)
}
