package host

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Prepare makes the host ready to be configured: the marker first, then user, directories and keys.
// It refuses a host that carries what is not this cluster's to take.
func (m *Machine) Prepare(ctx context.Context, cluster string, r api.PrepareRequest) (api.Prepared, error) {
	if r.Marker.Cluster != cluster {
		return api.Prepared{}, refuse("the marker is of cluster %q and the call of cluster %q", r.Marker.Cluster, cluster)
	}
	if err := m.mayPrepare(ctx, r); err != nil {
		return api.Prepared{}, err
	}

	// The marker comes before the user whom it is to be readable for, so it is written again after it:
	// nothing is on a host that does not say whose it is.
	etcd, _, err := m.Users.Lookup(api.SystemUser)
	if err != nil {
		return api.Prepared{}, err
	}
	if err := m.claim(r.Marker, etcd); err != nil {
		return api.Prepared{}, err
	}
	if etcd, err = m.Users.Ensure(ctx, api.SystemUser); err != nil {
		return api.Prepared{}, err
	}
	if err := m.claim(r.Marker, etcd); err != nil {
		return api.Prepared{}, err
	}
	if err := m.ensureDir(api.TLSDir(cluster), Owner{root.UID, etcd.GID}, configDir); err != nil {
		return api.Prepared{}, err
	}
	if err := m.ensureDir(r.Marker.DataDir, etcd, dataMode); err != nil {
		return api.Prepared{}, err
	}

	missing, err := m.missingKeys(cluster, r.Keys)
	if err != nil {
		return api.Prepared{}, err
	}
	for _, key := range missing {
		if err := m.makeKey(cluster, key, etcd); err != nil {
			return api.Prepared{}, err
		}
	}
	prepared := api.Prepared{Requests: map[string]string{}}
	for _, key := range r.Keys {
		if prepared.Requests[key.Name], err = m.request(cluster, key); err != nil {
			return api.Prepared{}, err
		}
	}
	return prepared, nil
}

// claim records the marker in a directory that etcd's group may enter.
func (m *Machine) claim(marker api.Marker, etcd Owner) error {
	dir := api.ConfigDir(marker.Cluster)
	if err := m.ensureDir(path.Dir(dir), root, publicDir); err != nil {
		return err
	}
	if err := m.ensureDir(dir, Owner{root.UID, etcd.GID}, configDir); err != nil {
		return err
	}
	return m.putMarker(marker, etcd)
}

// mayPrepare refuses what is asked, or a host on which it may not be done.
func (m *Machine) mayPrepare(ctx context.Context, r api.PrepareRequest) error {
	if err := systemd.CheckDataDir(r.Marker.DataDir); err != nil {
		return refuse("data directory %q: %s", r.Marker.DataDir, err)
	}
	for _, key := range r.Keys {
		if _, known := keyKinds[key.Algorithm]; !known {
			return refuse("key %s: there is no algorithm %q", key.Name, key.Algorithm)
		}
		if !slices.Contains(keyNames, key.Name) {
			return refuse("there is no key %q", key.Name)
		}
	}
	old, err := m.marker(r.Marker.Cluster)
	if err != nil {
		return err
	}
	if old != nil && old.Phase == api.PhaseFormed && old.Owner != r.Marker.Owner {
		return refuse("this host is member %s of cluster %s already, which is formed and managed by another Terraform object; import that cluster, or destroy it from the state that holds it", old.Member, old.Cluster)
	}
	neighbours, err := m.neighbours(r.Marker.Cluster)
	if err != nil {
		return err
	}
	for _, other := range neighbours {
		if shared := collides(r.Marker, other); shared != "" {
			return refuse("cluster %s on this host has %s: give each cluster its own", other.Cluster, shared)
		}
	}
	if err := m.mayTakeData(old, r.Marker); err != nil {
		return err
	}
	return m.mayChangeKeys(ctx, r)
}

// mayTakeData refuses a data directory that holds anything but the data of this very formation.
func (m *Machine) mayTakeData(old *api.Marker, marker api.Marker) error {
	data, err := m.data(marker.DataDir)
	if err != nil {
		return err
	}
	ours := old != nil && old.DataDir == marker.DataDir && old.Token == marker.Token
	if data.Exists && !data.Empty && !ours {
		return refuse("data directory %s is not empty, and what lies in it was not made by this cluster: move it away, or choose another directory", marker.DataDir)
	}
	return nil
}

// mayChangeKeys refuses to put a new key under a running member: until its certificate is there too,
// nobody could connect to it.
func (m *Machine) mayChangeKeys(ctx context.Context, r api.PrepareRequest) error {
	missing, err := m.missingKeys(r.Marker.Cluster, r.Keys)
	if err != nil || len(missing) == 0 {
		return err
	}
	unit, err := m.Units.State(ctx, api.Unit(r.Marker.Cluster))
	if err != nil {
		return fmt.Errorf("ask systemd whether the member runs: %w", err)
	}
	if running(unit) {
		return refuse("key %s has to be made anew, and the member runs by the old one: stop it first", missing[0].Name)
	}
	return nil
}
