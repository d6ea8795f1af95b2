package host

import (
	"context"
	"errors"
	"os"
	"path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/datadir"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
)

// SetAside stops and disables the member, and moves its data aside. It moves the flags first: without them the guard
// lets no member start, even in a phase that allows an empty data directory.
func (m *Machine) SetAside(ctx context.Context, cluster string, r api.SetAsideRequest) (api.SetAside, error) {
	if err := datadir.CheckWhy(r.Why); err != nil {
		return api.SetAside{}, err
	}
	marker, err := m.records().Owned(cluster, r.Owner)
	if err != nil {
		return api.SetAside{}, err
	}
	if under, err := m.records().Restoration(cluster); err != nil || under != nil {
		if err == nil {
			err = refuse("%s, which keeps the data that was there before: %s", under, goOn)
		}
		return api.SetAside{}, err
	}
	if err := m.mustHaveDisk(marker, nil); err != nil {
		return api.SetAside{}, err
	}
	before, err := m.Units.State(ctx, api.Unit(cluster))
	if err != nil {
		return api.SetAside{}, err
	}
	if err := m.Units.Stop(ctx, api.Unit(cluster)); err != nil {
		return api.SetAside{}, err
	}
	if err := m.mayBeSetAside(*marker, r); err != nil {
		if before.ActiveState != "inactive" {
			err = errors.Join(err, m.Units.Start(ctx, api.Unit(cluster)))
		}
		return api.SetAside{}, err
	}
	if err := m.Units.Disable(ctx, api.Unit(cluster)); err != nil {
		return api.SetAside{}, err
	}
	if err := files.Remove(m.path(api.FlagsFile(cluster))); err != nil {
		return api.SetAside{}, err
	}
	to, err := m.dataDir(marker.DataDir).MoveAside(*marker, r.Why)
	if err == nil {
		err = m.records().EndRecovery(cluster) // that of this data, if there was one
	}
	return api.SetAside{Path: to}, err
}

// mayBeSetAside refuses to set aside the data of a stopped member that somebody has written to, where that is asked
// for. A store that was never written to is at revision 1.
func (m *Machine) mayBeSetAside(marker api.Marker, r api.SetAsideRequest) error {
	data := m.etcd(marker.DataDir)
	if !r.Unwritten || !data.HasMember() {
		return nil
	}
	if revision := data.Log(false).Revision; revision > 1 {
		return refuse("somebody has written to the data in %s (revision %d): save what you need of it, then stop %s and move that directory away", marker.DataDir, revision, api.Unit(marker.Cluster))
	}
	return nil
}

// Retire removes the cluster from the host. A host that carries no part of it is done. The system user stays, since it
// owns files that were moved aside. Snapshots stay where the data does; a purge deletes both.
//
// The marker is removed after everything that it describes, so that an interrupted call can be made again, and before
// the store, which makes the call.
func (m *Machine) Retire(ctx context.Context, cluster string, r api.RetireRequest) (api.Retired, error) {
	marker, err := m.records().Marker(cluster)
	if err != nil {
		return api.Retired{}, err
	}
	under, err := m.records().Restoration(cluster)
	if err != nil {
		return api.Retired{}, err
	}
	dataDir, last := "", api.MarkerFile(cluster)
	switch {
	case marker != nil:
		if _, err := m.records().Owned(cluster, r.Owner); err != nil {
			return api.Retired{}, err
		}
		dataDir = marker.DataDir
	case under == nil:
		return api.Retired{}, m.locks().Alone(ctx, locks.Shared, func() error { return m.stores().Deselect(cluster) })
	case under.Owner != r.Owner:
		return api.Retired{}, refuse("%s, by another Terraform object: change it from the state that holds it", under)
	default: // one that was cut short before it had written the marker
		dataDir, last = under.DataDir, api.RestoreFile(cluster)
	}
	if err := m.mustHaveDisk(marker, under); err != nil {
		return api.Retired{}, err
	}
	if marker != nil && r.Purge {
		if err := m.Backups().MustNotPurge(*marker); err != nil {
			return api.Retired{}, err
		}
	}
	if dataDir != "" {
		if err := m.Backups().Disable(ctx, cluster, dataDir); err != nil {
			return api.Retired{}, err
		}
	}
	if err := m.Renewals().Disable(ctx, cluster); err != nil {
		return api.Retired{}, err
	}
	if err := m.removeUnit(ctx, cluster); err != nil {
		return api.Retired{}, err
	}
	// After the member, which serves nobody by then whom its firewall keeps out.
	if err := m.Firewalls().Disable(ctx, cluster); err != nil {
		return api.Retired{}, err
	}
	var retired api.Retired
	if dataDir != "" {
		if retired.Path, err = m.leave(marker, dataDir, r, under != nil); err != nil {
			return retired, err
		}
	}
	m.keys().RemoveMetrics(cluster)
	if err := m.removeConfiguration(cluster, path.Base(last)); err != nil {
		return retired, err
	}
	return retired, m.locks().Alone(ctx, locks.Shared, func() error { return m.stores().Deselect(cluster) })
}

// leave moves a data directory aside or deletes it, and returns where the data lies. It deletes what was fetched for a
// restore, and nothing that former clusters have left.
func (m *Machine) leave(marker *api.Marker, dataDir string, r api.RetireRequest, restoring bool) (string, error) {
	if restoring {
		if err := m.arrivals().RemoveFetched(dataDir, "", false); err != nil {
			return "", err
		}
	}
	if r.Purge {
		former, err := m.former(marker, api.Marker{DataDir: dataDir, Owner: r.Owner})
		if err != nil {
			return "", err
		}
		return "", m.dataDir(dataDir).Purge(former)
	}
	if marker == nil {
		return m.dataDir(dataDir).SetAside("retired")
	}
	return m.dataDir(marker.DataDir).MoveAside(*marker, "retired")
}

// removeUnit stops and disables the unit, and removes its file.
func (m *Machine) removeUnit(ctx context.Context, cluster string) error {
	unit := api.Unit(cluster)
	if err := m.Units.Stop(ctx, unit); err != nil {
		return err
	}
	if err := m.Units.Disable(ctx, unit); err != nil {
		return err
	}
	if err := files.Remove(m.path(api.UnitFile(cluster))); err != nil {
		return err
	}
	return m.Units.Reload(ctx)
}

// removeConfiguration removes the cluster's configuration and keys. It removes one file of them last: the one by which
// an interrupted call is made again.
func (m *Machine) removeConfiguration(cluster, last string) error {
	dir := m.path(api.ConfigDir(cluster))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == last {
			continue
		}
		if err := files.RemoveAll(path.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	if err := errors.Join(files.SyncDir(dir), files.RemoveAll(dir)); err != nil {
		return err
	}
	// The directory of all clusters stays if another cluster uses it.
	return m.files().RemoveEmpty(path.Dir(api.ConfigDir(cluster)))
}
