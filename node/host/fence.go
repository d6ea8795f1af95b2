package host

import (
	"context"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// fenceTries is how often a member is stopped if somebody else starts it before its host is fenced. After the first
// time the guard keeps it down.
const fenceTries = 3

// Fence stops the member, has the guard refuse to start it, and returns what was there before. A restore that has come
// no further may be replaced by one of another snapshot.
func (m *Machine) Fence(ctx context.Context, cluster string, r api.FenceRequest) (api.Restoration, error) {
	if err := api.CheckSHA256(r.Snapshot, "a snapshot"); err != nil {
		return api.Restoration{}, err
	}
	marker, err := m.records().Owned(cluster, r.Owner)
	if err != nil {
		return api.Restoration{}, err
	}
	under, err := m.records().Restoration(cluster)
	switch {
	case err != nil:
		return api.Restoration{}, err
	case under == nil:
		if under, err = m.before(ctx, *marker); err != nil {
			return api.Restoration{}, err
		}
	case under.Stage != api.StageFenced && under.Snapshot == r.Snapshot:
		return under.Restoration, nil
	case under.Stage != api.StageFenced:
		return api.Restoration{}, refuse("%s, with snapshot %s, and the host is to be fenced for snapshot %s: %s", under, under.Snapshot, r.Snapshot, goOn)
	}
	if err := m.mustHaveDisk(marker, under); err != nil { // what clients may have seen is read from the data
		return api.Restoration{}, err
	}
	under.Source, under.Snapshot = r.Source, r.Snapshot
	err = m.fence(ctx, cluster, under)
	return under.Restoration, err
}

// before returns what a host is before it is fenced.
func (m *Machine) before(ctx context.Context, marker api.Marker) (*records.Restoration, error) {
	unit, err := m.unit(ctx, marker.Cluster)
	if err != nil {
		return nil, err
	}
	under := &records.Restoration{Owner: marker.Owner, Unit: unit.Text}
	under.Stage, under.Began, under.Marker, under.Enabled = api.StageFenced, m.Now().UTC(), &marker, unit.FileState == "enabled"
	if under.Flags, err = m.flags(marker.Cluster); err != nil {
		return nil, err
	}
	under.Store, err = m.stores().Selected(marker.Cluster)
	return under, err
}

// fence stops the member, and records that it must not start again. It disables the unit last: by then the disk has
// what the unit was before.
func (m *Machine) fence(ctx context.Context, cluster string, under *records.Restoration) error {
	for range fenceTries {
		if err := m.stop(ctx, cluster); err != nil {
			return err
		}
		if err := m.lookBack(under); err != nil {
			return err
		}
		if err := m.records().PutRestoration(cluster, under); err != nil {
			return err
		}
		if err := m.Units.Disable(ctx, api.Unit(cluster)); err != nil {
			return err
		}
		unit, err := m.Units.State(ctx, api.Unit(cluster))
		if err != nil || !running(unit) {
			return err
		}
	}
	return fmt.Errorf("unit %s was started again each time that it was stopped: find out by whom, and apply again", api.Unit(cluster))
}

// lookBack reads what the old member's data says, while the data is still in its place.
func (m *Machine) lookBack(under *records.Restoration) (err error) {
	if under.Marker == nil || under.Aside != "" || under.Cleared {
		return nil
	}
	dir := under.Marker.DataDir
	under.ClusterID = under.Marker.ClusterID
	if cluster, _, err := m.etcd(dir).Identity(); err == nil {
		under.ClusterID = api.FormatID(cluster)
	}
	if under.Revision, err = m.etcd(dir).HighestRevision(); err != nil {
		return err
	}
	under.Progress, _ = m.records().Progress(under.Marker.Cluster) // what cannot be read guards nothing
	return nil
}
