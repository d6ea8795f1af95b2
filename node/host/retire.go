package host

import (
	"context"
	"errors"
	"os"
	"path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// SetAside stops the member, takes it out of the boot, and moves its data aside. Its flags go first: without
// them the guard lets no member start, also where the phase allows an empty data directory.
func (m *Machine) SetAside(ctx context.Context, cluster string, r api.SetAsideRequest) (api.SetAside, error) {
	if err := checkWhy(r.Why); err != nil {
		return api.SetAside{}, err
	}
	marker, err := m.owned(cluster, r.Owner)
	if err != nil {
		return api.SetAside{}, err
	}
	if err := m.Units.Stop(ctx, api.Unit(cluster)); err != nil {
		return api.SetAside{}, err
	}
	if err := m.Units.Disable(ctx, api.Unit(cluster)); err != nil {
		return api.SetAside{}, err
	}
	if err := remove(m.path(api.FlagsFile(cluster))); err != nil {
		return api.SetAside{}, err
	}
	to, err := m.setAside(marker.DataDir, r.Why)
	return api.SetAside{Path: to}, err
}

// Retire takes the cluster off the host. A host that carries no part of it is done. The system user
// stays: files that were moved aside are its own. Snapshots stay where the data does; a purge deletes both.
//
// The marker goes after all that it speaks for, so that a call that was cut short is made again, and
// before the store, by which it is made.
func (m *Machine) Retire(ctx context.Context, cluster string, r api.RetireRequest) (api.Retired, error) {
	marker, err := m.marker(cluster)
	if err != nil {
		return api.Retired{}, err
	}
	if marker == nil {
		return api.Retired{}, m.exclusively(ctx, func() error { return m.deselect(cluster) })
	}
	if marker, err = m.owned(cluster, r.Owner); err != nil {
		return api.Retired{}, err
	}
	if err := m.removeUnit(ctx, cluster); err != nil {
		return api.Retired{}, err
	}
	var retired api.Retired
	if r.Purge {
		err = m.purge(marker.DataDir)
	} else {
		retired.Path, err = m.setAside(marker.DataDir, "retired")
	}
	if err != nil {
		return retired, err
	}
	if err := m.removeConfiguration(cluster); err != nil {
		return retired, err
	}
	return retired, m.exclusively(ctx, func() error { return m.deselect(cluster) })
}

// removeUnit stops the unit, takes it out of the boot, and removes its file.
func (m *Machine) removeUnit(ctx context.Context, cluster string) error {
	unit := api.Unit(cluster)
	if err := m.Units.Stop(ctx, unit); err != nil {
		return err
	}
	if err := m.Units.Disable(ctx, unit); err != nil {
		return err
	}
	if err := remove(m.path(api.UnitFile(cluster))); err != nil {
		return err
	}
	return m.Units.Reload(ctx)
}

// removeConfiguration removes the cluster's configuration and keys, the marker last.
func (m *Machine) removeConfiguration(cluster string) error {
	dir := m.path(api.ConfigDir(cluster))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == path.Base(api.MarkerFile(cluster)) {
			continue
		}
		if err := os.RemoveAll(path.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	if err := errors.Join(syncDir(dir), os.RemoveAll(dir)); err != nil {
		return err
	}
	// The directory of all clusters stays where another one uses it.
	return m.removeEmpty(path.Dir(api.ConfigDir(cluster)))
}
