// Package lab boots real hosts on this machine for tests and for the demo, with systemd as PID 1, sshd, block devices
// and their own addresses. Each is an overlay over one cached base image, run by systemd-nspawn in its own network
// namespace. Another namespace holds the bridge between them, without a connection to the outside.
//
// The name of a lab determines the names of all its parts, which lie below one directory. So a lab can be ended by its
// name, even if the process that made it is gone.
//
// The base image takes 310 MB and is built once, in 25 s to 70 s, from the machine's package sources. A host takes 10
// MB of disk and 12 MB of memory beside what runs on it. On two idle cores three hosts boot in about 1 s, and twelve
// in 3 s.
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

// Config describes a lab.
type Config struct {
	Name     string // lower-case letters, digits, dashes; at most 12
	Hosts    []HostConfig
	Bastion  bool // a host "bastion", in Hosts or additional: the only one that can reach the others' sshd
	Detached bool // it stays until Down; otherwise it ends with the process that made it
}

// HostConfig describes a host.
type HostConfig struct {
	Name        string // lower-case letters, digits, dashes; at most 12, as it is part of interface names
	User        string // login user; empty: root
	Password    string // for sudo; empty: sudo needs none
	Port        int    // of sshd; 0: 22
	DeviceBytes int64  // size of a dedicated block device, /dev/sdb, in bytes; 0: none; xfs needs 300 MiB
	SmallUsr    int64  // size of a file system of its own for /usr/local, in bytes; 0: none

	NoForwarding bool // its sshd forwards no connections
	Direct       bool // its sshd can also be reached without the bastion
}

// Lab is a running lab.
type Lab struct {
	Name  string
	Hosts []*Host

	dir  string
	line *os.File // pipe that the keeper reads until the lab's maker closes it or ends
}

// maxHosts is far more than anybody boots on one machine, and far below the 243 addresses.
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

// hosts returns all hosts of the configuration.
func (c Config) hosts() []HostConfig {
	named := slices.ContainsFunc(c.Hosts, func(h HostConfig) bool { return h.Name == bastionName })
	if c.Bastion && !named {
		return append(slices.Clone(c.Hosts), HostConfig{Name: bastionName})
	}
	return c.Hosts
}

// Up boots a lab and returns once all of its hosts accept SSH. It first ends labs whose makers are gone, if their
// keepers have not. A lab that does not come up is ended before the error is returned.
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

// build makes and boots a lab that was claimed.
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

// Host returns the host of this name, which has to exist.
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

// each calls do for all hosts concurrently.
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
