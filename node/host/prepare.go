package host

import (
	"context"
	"fmt"
	"path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Prepare makes the host ready to be configured: it writes the marker first, and then creates user, directories and
// keys. It refuses a host that carries anything that is not this cluster's to take.
func (m *Machine) Prepare(ctx context.Context, cluster string, r api.PrepareRequest) (api.Prepared, error) {
	if err := checkPrepare(cluster, r); err != nil {
		return api.Prepared{}, err
	}
	var etcd files.Owner
	err := m.locks().Alone(ctx, locks.Shared, func() (err error) {
		etcd, err = m.claim(ctx, r.Marker)
		return err
	})
	if err != nil {
		return api.Prepared{}, err
	}
	if err := m.files().EnsureDir(api.TLSDir(cluster), files.RootFor(etcd), files.ConfigDir); err != nil {
		return api.Prepared{}, err
	}
	if err := m.files().EnsureDir(r.Marker.DataDir, etcd, files.DataMode); err != nil {
		return api.Prepared{}, err
	}

	prepared := api.Prepared{Requests: map[string]string{}}
	for _, key := range r.Keys {
		path, err := m.keys().Ensure(cluster, key, etcd)
		if err != nil {
			return api.Prepared{}, err
		}
		if prepared.Requests[key.Name], err = m.keys().Request(path, key); err != nil {
			return api.Prepared{}, err
		}
	}
	return prepared, nil
}

// checkPrepare refuses a request that makes no sense on any host.
func checkPrepare(cluster string, r api.PrepareRequest) error {
	if r.Marker.Cluster != cluster {
		return refuse("the marker is of cluster %q and the call of cluster %q", r.Marker.Cluster, cluster)
	}
	if err := systemd.CheckDataDir(r.Marker.DataDir); err != nil {
		return refuse("data directory %q: %s", r.Marker.DataDir, err)
	}
	for _, key := range r.Keys {
		if err := api.CheckKeyName(key.Name); err != nil {
			return err
		}
		if !keys.Known(key.Algorithm) {
			return refuse("key %s: there is no algorithm %q", key.Name, key.Algorithm)
		}
	}
	return nil
}

// claim records whose host this is, if the host is free for it, and creates the user that etcd runs as.
//
// The marker comes before the user who is to read it, and is written again after it: so nothing is ever on a host that
// does not say whose it is.
func (m *Machine) claim(ctx context.Context, marker api.Marker) (files.Owner, error) {
	old, err := m.records().Marker(marker.Cluster)
	if err != nil {
		return files.Owner{}, err
	}
	if err := m.mayClaim(old, marker); err != nil {
		return files.Owner{}, err
	}
	if marker.Mount, err = m.mountOfData(old, marker); err != nil {
		return files.Owner{}, err
	}
	if marker.Former, err = m.former(old, marker); err != nil {
		return files.Owner{}, err
	}
	marker = m.keepFormed(old, marker)
	etcd, _, err := m.Users.Lookup(ctx, api.SystemUser) // one that is not there yet is made once the host is claimed
	if err != nil {
		return files.Owner{}, err
	}
	if err := m.putClaim(marker, etcd); err != nil {
		return files.Owner{}, err
	}
	if etcd, err = m.Users.Ensure(ctx, api.SystemUser); err != nil {
		return files.Owner{}, err
	}
	return etcd, m.putClaim(marker, etcd)
}

// mountOfData returns where the file system is mounted on which the data is to lie: the present mount point for a host
// that was never a part of a running cluster, and the recorded one for any other host.
func (m *Machine) mountOfData(old *api.Marker, marker api.Marker) (string, error) {
	now, err := m.disks().MountPoint(marker.DataDir)
	if err != nil || old == nil || old.Phase == api.PhaseForming || old.DataDir != marker.DataDir || old.Mount == "" || old.Mount == now {
		return now, err
	}
	return "", refuse("data directory %s was on the file system that is mounted on %s, and is on that of %s now: mount what belongs there; if the data is to lie there from now on, take \"mount\" out of %s", marker.DataDir, old.Mount, now, api.MarkerFile(marker.Cluster))
}

// former returns what lies beside the data directory of clusters that were there before: all that was there when the
// host was claimed, by whoever claimed it last.
func (m *Machine) former(old *api.Marker, marker api.Marker) ([]string, error) {
	if old != nil && old.Owner == marker.Owner && old.DataDir == marker.DataDir {
		return old.Former, nil
	}
	aside, err := m.dataDir(marker.DataDir).Aside()
	if err != nil {
		return nil, err
	}
	kept, err := m.snapshots().Kept(api.SnapshotDir(marker.DataDir))
	return append(aside, kept...), err
}

// putClaim writes the marker into a directory that etcd's group may enter.
func (m *Machine) putClaim(marker api.Marker, etcd files.Owner) error {
	dir := api.ConfigDir(marker.Cluster)
	if err := m.files().EnsureDir(path.Dir(dir), files.RootUser, files.PublicDir); err != nil {
		return err
	}
	if err := m.files().EnsureDir(dir, files.RootFor(etcd), files.ConfigDir); err != nil {
		return err
	}
	return m.records().PutMarker(marker, etcd)
}

// mayClaim refuses a host that belongs to another owner, a resource of the host that a neighbour uses, and data that
// this very formation has not made.
func (m *Machine) mayClaim(old *api.Marker, marker api.Marker) error {
	if old != nil && old.Phase != api.PhaseForming && old.Owner != marker.Owner {
		return refuse("this host is member %s of cluster %s already, which is formed and managed by another Terraform object; import that cluster, or destroy it from the state that holds it", old.Member, old.Cluster)
	}
	if old != nil && old.Phase == api.PhaseFormed && marker.Phase == api.PhaseJoining && m.etcd(old.DataDir).HasMember() {
		return refuse("this host is to join cluster %s as a learner, and %s holds the data of member %s, which has joined it already: set that aside first", old.Cluster, old.DataDir, old.Member)
	}
	if err := m.mustNotCollide(marker); err != nil {
		return err
	}
	data, err := m.dataDir(marker.DataDir).Data()
	if err != nil {
		return err
	}
	ours := old != nil && old.DataDir == marker.DataDir && old.Token == marker.Token
	if data.Exists && !data.Empty && !ours {
		return refuse("data directory %s is not empty, and what lies in it was not made by this cluster: move it away, or choose another directory", marker.DataDir)
	}
	return nil
}

// mustNotCollide refuses a resource of the host that a neighbour uses.
func (m *Machine) mustNotCollide(marker api.Marker) error {
	neighbours, err := m.records().Neighbours(marker.Cluster)
	if err != nil {
		return err
	}
	for _, other := range neighbours {
		if shared := collides(marker, other); shared != "" {
			return refuse("cluster %s on this host has %s: give each cluster its own", other.Cluster, shared)
		}
	}
	return m.Backups().MustNotTake(marker, neighbours)
}

// keepFormed returns the marker to write. A member that has joined, and has its data, stays formed whatever is
// configured: the guard depends on that.
func (m *Machine) keepFormed(old *api.Marker, marker api.Marker) api.Marker {
	if old != nil && old.Phase == api.PhaseFormed && marker.Phase != api.PhaseFormed && old.Token == marker.Token && m.etcd(old.DataDir).HasMember() {
		marker.Phase, marker.ClusterID, marker.MemberID = old.Phase, old.ClusterID, old.MemberID
	}
	if old != nil && marker.ClusterID == "" && old.Token == marker.Token && m.etcd(old.DataDir).HasMember() {
		marker.ClusterID, marker.MemberID = old.ClusterID, old.MemberID // those that a restore has given it
	}
	return marker
}

// collides says what a cluster would share with a neighbour that no two clusters can share. It returns "" if there is
// nothing.
func collides(a, b api.Marker) string {
	if api.Within(a.DataDir, b.DataDir) || api.Within(b.DataDir, a.DataDir) {
		return fmt.Sprintf("data directory %s, beside %s", a.DataDir, b.DataDir)
	}
	for _, p := range []int{a.ClientPort, a.PeerPort, a.MetricsPort} {
		if p == b.ClientPort || p == b.PeerPort || p == b.MetricsPort {
			return fmt.Sprintf("port %d", p)
		}
	}
	return ""
}
