// Package unitfiles keeps the units by which a host does something for a cluster by itself: timers, the services that
// they start, and what those need.
package unitfiles

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Dir is the directory of unit files.
const Dir = "/etc/systemd/system"

// Units are the units on a host.
type Units struct {
	Files   files.Tree
	Systemd Systemd
}

// Systemd controls units.
type Systemd interface {
	State(ctx context.Context, unit string) (api.UnitState, error)
	Reload(ctx context.Context) error
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
	Disable(ctx context.Context, unit string) error
}

// Put writes those of the units that have a text, removes the others, and has systemd read what it has not read yet.
// Units that start others come first.
func (u Units) Put(ctx context.Context, all []string, texts map[string]string) error {
	stale := false
	for _, name := range all {
		put := u.remove
		if text, desired := texts[name]; desired {
			put = func(ctx context.Context, name string) (bool, error) { return u.write(ctx, name, text) }
		}
		changed, err := put(ctx, name)
		if err != nil {
			return err
		}
		stale = stale || changed
	}
	if !stale {
		return nil
	}
	return u.Systemd.Reload(ctx)
}

// write writes a unit, and tells whether systemd has to read it.
func (u Units) write(ctx context.Context, name, text string) (stale bool, err error) {
	changed, err := u.Files.Put(files.File{Path: path.Join(Dir, name), Text: []byte(text), Owner: files.RootUser, Mode: files.UnitFile})
	if err != nil {
		return false, err
	}
	state, err := u.Systemd.State(ctx, name)
	return changed || state.LoadState != "loaded" || state.NeedReload, err
}

// remove stops a unit, disables it, and removes its file. A unit whose file is gone goes on as long as systemd has not
// read that: a timer, for one, starts its service.
func (u Units) remove(ctx context.Context, name string) (stale bool, err error) {
	file := u.Files.Path(path.Join(Dir, name))
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		if state, err := u.Systemd.State(ctx, name); err != nil || !state.NeedReload {
			return false, err
		}
	}
	if err := u.Systemd.Stop(ctx, name); err != nil {
		return false, err
	}
	if err := u.Systemd.Disable(ctx, name); err != nil {
		return false, err
	}
	return true, files.Remove(file)
}

// Status is what a host's units are.
type Status struct {
	Units string // digest of their texts (systemd.Digest); empty: they cannot be read
	// Enabled tells whether the units that start others, or start with others, are enabled, and none of them has ended
	// or failed.
	Enabled    bool
	NeedReload bool // the file of one of them has changed since systemd read it
}

// Status looks at units, of which those named enabled are to be enabled. Timers among these are to be active, and
// services may have yet to run.
func (u Units) Status(ctx context.Context, all, enabled []string) (Status, error) {
	status := Status{Enabled: true}
	texts, readable := map[string]string{}, true
	for _, name := range all {
		text, err := inside.ReadFile(u.Files.Path(path.Join(Dir, name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			status.Enabled = status.Enabled && !slices.Contains(enabled, name)
			continue
		case err != nil:
			readable = false
		}
		texts[name] = string(text)
		state, err := u.ask(ctx, name)
		if err != nil {
			return Status{}, err
		}
		status.NeedReload = status.NeedReload || state.NeedReload
		if slices.Contains(enabled, name) {
			runs := state.ActiveState == "active" || path.Ext(name) == ".service" && state.ActiveState != "failed"
			status.Enabled = status.Enabled && state.FileState == "enabled" && runs
		}
	}
	if readable {
		status.Units = systemd.Digest(texts)
	}
	return status, nil
}

// ask asks systemd for one unit. On a busy host each answer may take seconds.
func (u Units) ask(ctx context.Context, name string) (api.UnitState, error) {
	ctx, cancel := context.WithTimeout(ctx, units.Timeout)
	defer cancel()
	return u.Systemd.State(ctx, name)
}

// Others returns the units of a cluster that some release of the provider has written, other than those that are known.
// A newer release may have written them.
func (u Units) Others(cluster string, known []string) (others []string, err error) {
	entries, err := os.ReadDir(u.Files.Path(Dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if of := "@" + cluster; !entry.Type().IsRegular() || !strings.HasPrefix(name, "etcd-") || !strings.HasSuffix(strings.TrimSuffix(name, path.Ext(name)), of) || slices.Contains(known, name) {
			continue
		}
		text, err := inside.ReadFile(u.Files.Path(path.Join(Dir, name)))
		if err != nil {
			return nil, err
		}
		if systemd.IsOurs(string(text)) {
			others = append(others, name)
		}
	}
	slices.SortStableFunc(others, func(a, b string) int {
		return -strings.Compare(path.Ext(a), path.Ext(b)) // a timer before its service
	})
	return others, nil
}
