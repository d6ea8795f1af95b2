// Package lab boots real hosts on this machine for tests and for the demo: systemd as PID 1, sshd, block
// devices, addresses of their own. Each is an overlay over one cached base image, run by
// systemd-nspawn in a network namespace of its own; a further namespace holds the bridge between them, and
// nothing leads out of it.
//
// A lab's parts bear names that its own name decides, and lie below one directory. So whoever knows the
// name can end it, also when the process that made it is gone.
//
// The base image takes 310 MB and is built once, in 25 s to 70 s, from the package sources of this machine. A
// host takes 10 MB of disk and 12 MB of memory beside what runs on it. Three boot in about 1 s on two cores,
// twelve in 3 s, or several times that where the machine has other things to do.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
)

// Config is the lab that is desired.
type Config struct {
	Name     string // lower-case letters, digits, dashes; at most 12
	Hosts    []HostConfig
	Bastion  bool // a host "bastion", in Hosts or one more: the only one from which the others' sshd can be reached
	Detached bool // it lives until Down; otherwise it ends with the process that made it
}

// HostConfig is a host that is desired.
type HostConfig struct {
	Name        string // lower-case letters, digits, dashes; at most 12, as it is part of interface names
	User        string // who logs in; empty: root
	Password    string // that sudo asks the user for; empty: it asks for none
	Port        int    // of sshd; 0: 22
	DeviceBytes int64  // size of a dedicated block device, /dev/sdb, in bytes; 0: none; xfs needs 300 MiB
	SmallUsr    int64  // size of a file system of its own for /usr/local, in bytes; 0: none

	NoForwarding bool // its sshd forwards no connections
	Direct       bool // its sshd can be reached past the bastion, too
}

// Lab is a lab that is up.
type Lab struct {
	Name  string
	Hosts []*Host

	dir  string
	line *os.File // which the lab's keeper reads, until the lab's maker closes it or ends
}

// maxHosts is far above what anybody boots on one machine, and far below the addresses that there are: 243.
const maxHosts = 40

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,11}$`)

func (c Config) check() error {
	if !validName.MatchString(c.Name) {
		return fmt.Errorf("lab name %q does not match %s", c.Name, validName)
	}
	seen := map[string]bool{}
	for _, h := range c.Hosts {
		if !validName.MatchString(h.Name) || seen[h.Name] {
			return fmt.Errorf("host name %q: names are unique and match %s", h.Name, validName)
		}
		if h.Name == bastionName && !c.Bastion {
			return fmt.Errorf("host %q: it would be in front of the others, and no bastion is wanted", h.Name)
		}
		seen[h.Name] = true
	}
	if n := len(c.Hosts); n == 0 || n > maxHosts {
		return fmt.Errorf("a lab of %d hosts: 1 to %d are possible", n, maxHosts)
	}
	return nil
}

// hosts are all the hosts that are desired.
func (c Config) hosts() []HostConfig {
	named := slices.ContainsFunc(c.Hosts, func(h HostConfig) bool { return h.Name == bastionName })
	if c.Bastion && !named {
		return append(slices.Clone(c.Hosts), HostConfig{Name: bastionName})
	}
	return c.Hosts
}

// Up boots a lab and returns once all of its hosts accept SSH. Labs whose makers are gone are ended
// first, if their keepers have not done so. A lab that does not come up is ended before the error is returned.
func Up(ctx context.Context, config Config) (*Lab, error) {
	if err := errors.Join(config.check(), CheckMachine()); err != nil {
		return nil, err
	}
	if err := makeRoom(); err != nil {
		return nil, err
	}
	base, err := baseImage(ctx)
	if err != nil {
		return nil, err
	}
	l := newLab(config.Name)
	for i, h := range config.hosts() {
		l.Hosts = append(l.Hosts, newHost(l, h, i, base))
	}
	if err := l.claim(ctx); err != nil {
		return nil, fmt.Errorf("bring up lab %s: %w", l.Name, err)
	}
	if err := l.build(ctx, config.Detached); err != nil {
		return nil, errors.Join(fmt.Errorf("bring up lab %s: %w", l.Name, err), l.Down())
	}
	return l, nil
}

func newLab(name string) *Lab { return &Lab{Name: name, dir: filepath.Join(stateDir(), "labs", name)} }

// build makes all of a lab that has been claimed, and boots it.
func (l *Lab) build(ctx context.Context, detached bool) error {
	if err := errors.Join(l.makeKeys(), l.makeNetwork()); err != nil {
		return err
	}
	err := l.each(func(h *Host) error {
		if err := errors.Join(ctx.Err(), h.create()); err != nil {
			return err
		}
		return h.PowerOn(ctx)
	})
	if err == nil && detached {
		err = l.release()
	}
	return err
}

// Host is the host of this name. Asking for one that there is not is a mistake of the caller.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.Hosts {
		if h.Config.Name == name {
			return h
		}
	}
	panic(fmt.Sprintf("lab %s has no host %q", l.Name, name))
}

// Down ends the lab: its processes, mounts, loop devices, namespaces and files. It may be repeated.
func (l *Lab) Down() error {
	err := l.each((*Host).remove)
	err = errors.Join(err, l.removeNetwork())
	if err != nil {
		return fmt.Errorf("end lab %s: %w", l.Name, err)
	}
	defer l.dismissKeeper()
	return os.RemoveAll(l.dir)
}

// each does the same to all hosts at once.
func (l *Lab) each(do func(*Host) error) error {
	failures := make([]error, len(l.Hosts))
	var group sync.WaitGroup
	for i, h := range l.Hosts {
		group.Go(func() {
			if err := do(h); err != nil {
				failures[i] = fmt.Errorf("host %s: %w", h.Config.Name, err)
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}
