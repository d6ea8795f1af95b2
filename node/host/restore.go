package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Restore makes a data directory from a fetched snapshot in place of the old one, which stays aside. It makes the new
// data beside it first: a snapshot that cannot be restored leaves everything as it is.
func (m *Machine) Restore(ctx context.Context, cluster string, r api.RestoreRequest) (api.Restored, error) {
	if err := checkRestore(cluster, r); err != nil {
		return api.Restored{}, err
	}
	marker, under, err := m.mayRestore(ctx, cluster, r)
	if err != nil {
		return api.Restored{}, err
	}
	if under.Stage != api.StageFenced {
		return m.restoredBefore(*under, *marker, r)
	}
	if under.Cleared || under.Aside != "" { // a disk may be changed until then
		if err := m.mustHaveDisk(nil, under); err != nil {
			return api.Restored{}, err
		}
	}
	mount, err := m.mountOfData(marker, r.Marker)
	if err != nil {
		return api.Restored{}, err
	}
	former, err := m.former(marker, r.Marker)
	if err != nil {
		return api.Restored{}, err
	}
	etcd, err := m.admit(ctx, r.Marker)
	if err != nil {
		return api.Restored{}, err
	}
	under.DataDir, under.Mount = r.Marker.DataDir, mount
	if err := m.records().PutRestoration(cluster, under); err != nil {
		return api.Restored{}, err
	}
	if err := m.files().EnsureDir(under.DataDir, etcd, files.DataMode); err != nil {
		return api.Restored{}, err
	}
	next, err := m.makeData(r, etcd)
	if err != nil {
		return api.Restored{}, err
	}
	if err := m.mustBeAhead(next, *under); err != nil {
		return api.Restored{}, errors.Join(err, files.RemoveAll(m.path(next)))
	}
	if err := m.clearData(cluster, under); err != nil {
		return api.Restored{}, err
	}
	cluster64, member, err := m.etcd(next).Identity()
	if err != nil {
		return api.Restored{}, err
	}
	under.Made = api.FormatID(cluster64)
	if err := m.placeData(cluster, next, under); err != nil {
		return api.Restored{}, err
	}
	made := r.Marker
	made.Mount, made.Former = mount, former
	made.ClusterID, made.MemberID = under.Made, api.FormatID(member)
	if err := m.records().PutMarker(made, etcd); err != nil {
		return api.Restored{}, err
	}
	under.Stage, under.Token, under.Bump = api.StageRestored, r.Marker.Token, r.Bump
	if err := m.records().PutRestoration(cluster, under); err != nil {
		return api.Restored{}, err
	}
	return api.Restored{ClusterID: made.ClusterID, MemberID: made.MemberID, Aside: under.Aside}, nil
}

// checkRestore refuses a request that makes no sense.
func checkRestore(cluster string, r api.RestoreRequest) error {
	if err := systemd.CheckDataDir(r.Marker.DataDir); err != nil {
		return refuse("data directory %q: %s", r.Marker.DataDir, err)
	}
	return api.CheckRestore(cluster, r)
}

// mayRestore refuses a host that is not fenced for this restore, unless there was never a member on it that could have
// served anybody. It returns the host's marker, which may be nil, and the restore that is under way.
func (m *Machine) mayRestore(ctx context.Context, cluster string, r api.RestoreRequest) (*api.Marker, *records.Restoration, error) {
	marker, err := m.records().Marker(cluster)
	if err == nil && marker != nil {
		marker, err = m.records().Owned(cluster, r.Marker.Owner)
	}
	if err != nil {
		return nil, nil, err
	}
	under, err := m.records().Restoration(cluster)
	switch {
	case err != nil:
		return nil, nil, err
	case under != nil && under.Owner != r.Marker.Owner:
		return nil, nil, refuse("%s, by another Terraform object: finish it from the state that holds it", under)
	case under != nil && under.Snapshot != r.Snapshot:
		return nil, nil, refuse("%s, with snapshot %s, and snapshot %s is to be restored: fence the host for that", under, under.Snapshot, r.Snapshot)
	case under == nil && marker != nil && (marker.Phase != api.PhaseForming || m.etcd(marker.DataDir).HasMember()):
		return nil, nil, refuse("member %s of cluster %s is not fenced: fence it first", marker.Member, cluster)
	case under == nil:
		if under, err = m.beginAnew(ctx, marker, r); err != nil {
			return nil, nil, err
		}
	}
	if _, err := os.Lstat(m.path(api.FetchedSnapshot(r.Marker.DataDir, r.Snapshot))); under.Stage == api.StageFenced && err != nil {
		return nil, nil, refuse("snapshot %s is not on this host: fetch it first", r.Snapshot)
	}
	return marker, under, m.mayPlace(under, r)
}

// beginAnew begins a restore on a host that has no member to fence. It may have been prepared for this one.
func (m *Machine) beginAnew(ctx context.Context, marker *api.Marker, r api.RestoreRequest) (*records.Restoration, error) {
	under := &records.Restoration{Owner: r.Marker.Owner}
	if marker != nil && marker.Token != r.Marker.Token {
		var err error
		if under, err = m.before(ctx, *marker); err != nil {
			return nil, err
		}
	}
	under.Stage, under.Began, under.Source, under.Snapshot = api.StageFenced, m.Now().UTC(), r.Source, r.Snapshot
	return under, m.Units.Stop(ctx, api.Unit(r.Marker.Cluster))
}

// mayPlace refuses to restore into a directory that contains anything except the old member's data and this restore's.
func (m *Machine) mayPlace(under *records.Restoration, r api.RestoreRequest) error {
	dir := r.Marker.DataDir
	if under.Cleared && under.DataDir != dir {
		return refuse("%s into %s, and is to be restored into %s: keep to the former, or roll it back", under, under.DataDir, dir)
	}
	names, err := m.dataDir(dir).Contents()
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case under.Cleared:
		cluster, _, err := m.etcd(dir).Identity()
		if err != nil || api.FormatID(cluster) != under.Made {
			return refuse("data directory %s holds what the restore has not put there: move it away", dir)
		}
	case under.Marker == nil || under.Marker.DataDir != dir:
		return refuse("data directory %s is not empty, and what lies in it was not made by this cluster: move it away, or choose another directory", dir)
	}
	return nil
}

// restoredBefore returns what an earlier call of this same restore has made.
func (m *Machine) restoredBefore(under records.Restoration, marker api.Marker, r api.RestoreRequest) (api.Restored, error) {
	if under.Token != r.Marker.Token || under.Bump != r.Bump {
		return api.Restored{}, refuse("%s, with token %s and revisions raised by %d, and is to be restored with token %s and %d: go on with the former, or roll it back",
			under, under.Token, under.Bump, r.Marker.Token, r.Bump)
	}
	if err := m.guardRestored(marker); err != nil {
		return api.Restored{}, refuse("%s", err)
	}
	return api.Restored{ClusterID: marker.ClusterID, MemberID: marker.MemberID, Aside: under.Aside}, nil
}

// admit prepares the host for the member: the user that it runs as, and the directory of its configuration.
func (m *Machine) admit(ctx context.Context, marker api.Marker) (etcd files.Owner, err error) {
	err = m.locks().Alone(ctx, locks.Shared, func() error {
		if err := m.mustNotCollide(marker); err != nil {
			return err
		}
		etcd, err = m.Users.Ensure(ctx, api.SystemUser)
		return err
	})
	if err != nil {
		return files.Owner{}, err
	}
	dir := api.ConfigDir(marker.Cluster)
	if err := m.files().EnsureDir(path.Dir(dir), files.RootUser, files.PublicDir); err != nil {
		return files.Owner{}, err
	}
	return etcd, m.files().EnsureDir(dir, files.RootFor(etcd), files.ConfigDir)
}

// makeData makes the restored member's data beside the data directory, syncs all of it, and returns where it lies.
func (m *Machine) makeData(r api.RestoreRequest, etcd files.Owner) (string, error) {
	next, err := m.nextData(r.Marker.DataDir)
	if err != nil {
		return "", err
	}
	if err := files.RemoveAll(m.path(next)); err != nil {
		return "", err
	}
	from, err := inside.OpenFile(m.path(api.FetchedSnapshot(r.Marker.DataDir, r.Snapshot)), os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return "", err
	}
	if err := m.disks().MustHoldRestore(r.Marker.DataDir, 0, info.Size()); err != nil {
		return "", err
	}
	made, err := m.files().NewDir(next)
	if err != nil {
		return "", err
	}
	defer made.Close()
	// The directory belongs to root until it is complete. etcd's code finds it by the handle, wherever its name leads
	// by now.
	err = snapshots.Restore(snapshot.RestoreConfig{
		SnapshotPath: inside.PathOf(from), Name: r.Marker.Member, OutputDataDir: made.Path("."), PeerURLs: []string{r.PeerURL},
		InitialCluster: r.Marker.InitialCluster, InitialClusterToken: r.Marker.Token,
		RevisionBump: uint64(r.Bump), MarkCompacted: true,
	})
	if err == nil {
		err = etcdfs.TakeAlarmsOut(made.Path(etcdfs.Database("")))
	}
	if err == nil {
		err = syncTree(made, etcd)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("restore snapshot %s for member %s: %w", r.Snapshot, r.Marker.Member, err), files.RemoveAll(m.path(next)))
	}
	return next, nil
}

// nextData is where restored data lies until it is complete.
func (m *Machine) nextData(dir string) (string, error) {
	return m.dataDir(dir).PathUnfinished("restored")
}

// syncTree gives everything in a directory to its owner, and syncs it to the disk.
func syncTree(dir *inside.Dir, owner files.Owner) error {
	return inside.Each(dir, func(root *os.Root, name string, info fs.FileInfo) error {
		if err := root.Lchown(name, owner.UID, owner.GID); err != nil {
			return err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return nil
		}
		return inside.SyncIn(root, name)
	})
}

// mustBeAhead refuses restored data that would repeat a revision which clients of the old cluster may have seen from
// this host, or from which a client could continue to watch as if nothing had happened: the client asks for the
// revision after the last one that it has seen, and has to be told that this one is compacted.
func (m *Machine) mustBeAhead(next string, under records.Restoration) error {
	made, err := m.etcd(next).Revisions()
	if err != nil {
		return fmt.Errorf("read what was restored: %w", err)
	}
	if lack := under.Revision + 2 - made.Newest; under.Revision > 0 && lack > 0 {
		return refuse("the restored cluster would begin at revision %d, and clients may have seen revision %d from this host, and watch on from the next: raise revisions by %d more", made.Newest, under.Revision, lack)
	}
	return nil
}
