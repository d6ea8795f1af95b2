// Package datadir looks at a member's data directory as a whole, and moves it aside, copies it and deletes it, together
// with what was moved aside from it before.
package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Dir is a data directory.
type Dir struct {
	Files files.Tree
	Now   func() time.Time
	Path  string // on the host
}

// at returns another directory of the host.
func (d Dir) at(path string) Dir { return Dir{d.Files, d.Now, path} }

// path returns the path at which this process finds the directory.
func (d Dir) path() string { return d.Files.Path(d.Path) }

func (d Dir) disks() disks.Disks { return disks.Disks{Files: d.Files} }

// etcd returns what a member has written to the directory.
func (d Dir) etcd() etcdfs.Data { return etcdfs.Data{Root: d.Files.Root, Dir: d.Path} }

// Aside lists what was moved aside from a data directory. It lies beside the directory, or in it if the directory is a
// mount point.
func (d Dir) Aside() ([]string, error) {
	var found []string
	for where, prefix := range map[string]string{
		filepath.Dir(d.Path): filepath.Base(d.Path) + "." + api.AsidePrefix,
		d.Path:               api.AsidePrefix,
	} {
		entries, err := inside.ReadDir(d.Files.Path(where))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), prefix) {
				found = append(found, filepath.Join(where, entry.Name()))
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// SetAside moves a data directory to where nothing takes it for data, on the same file system, and returns where;
// empty: the directory held nothing, and was removed.
//
// One rename moves the directory. A mount point cannot be moved, so SetAside moves its contents one by one into a
// directory in it. What an interrupted call has moved no longer counts as data, and the next call moves the rest to
// another directory.
func (d Dir) SetAside(why string) (string, error) {
	names, err := d.Contents()
	if errors.Is(err, fs.ErrNotExist) {
		return "", files.SyncAround(d.path()) // a call that was killed may have moved it
	}
	if err != nil {
		return "", err
	}
	mounted, err := d.disks().IsMountPoint(d.Path)
	if err != nil {
		return "", err
	}
	to, err := d.PathAside(why)
	if err != nil {
		return "", err
	}
	switch {
	case len(names) == 0 && mounted:
		return "", d.SyncMoved()
	case len(names) == 0:
		return "", d.Files.RemoveEmpty(d.Path)
	case mounted:
		return to, d.SetContentsAside(names, to)
	}
	if err := d.Files.Move(d.Path, to); err != nil {
		return "", err
	}
	return to, files.SyncDir(d.Files.Path(filepath.Dir(d.Path)))
}

// MoveAside moves a member's data aside, and returns where it lies, also if a killed call has moved it before it could
// return that.
func (d Dir) MoveAside(marker api.Marker, why string) (string, error) {
	to, err := d.SetAside(why)
	if err != nil || to != "" {
		return to, err
	}
	aside, err := d.Aside()
	if err != nil {
		return "", err
	}
	for _, moved := range slices.Backward(aside) {
		if !strings.Contains(filepath.Base(moved), api.AsidePrefix+why+"-") || slices.Contains(marker.Former, moved) {
			continue
		}
		cluster, member, err := d.at(moved).etcd().Identity()
		if marker.ClusterID == "" || err == nil && api.FormatID(cluster) == marker.ClusterID && api.FormatID(member) == marker.MemberID {
			return moved, nil
		}
	}
	return "", nil
}

// SyncMoved syncs the directories that data was moved from and to, so that a power cut undoes no move.
func (d Dir) SyncMoved() error {
	aside, err := d.Aside()
	if err != nil {
		return err
	}
	for _, to := range aside {
		if info, err := os.Lstat(d.Files.Path(to)); err == nil && !info.IsDir() {
			continue // somebody else's, with such a name
		}
		if err := files.SyncDir(d.Files.Path(to)); err != nil {
			return err
		}
	}
	return errors.Join(files.SyncAround(d.path()), files.SyncAround(d.Files.Path(filepath.Join(d.Path, api.AsidePrefix))))
}

// PathAside returns where something goes that is moved aside from the data directory now, named after the reason:
// beside the directory, or in it if the directory is a mount point.
func (d Dir) PathAside(why string) (string, error) {
	return d.pathAside(why + "-" + d.Now().UTC().Format(files.Stamp))
}

// PathUnfinished returns where something lies while it is being moved or copied there.
func (d Dir) PathUnfinished(why string) (string, error) { return d.pathAside(why + "-unfinished") }

func (d Dir) pathAside(label string) (string, error) {
	mounted, err := d.disks().IsMountPoint(d.Path)
	if err != nil || !mounted {
		return d.Path + "." + api.AsidePrefix + label, err
	}
	return filepath.Join(d.Path, api.AsidePrefix+label), nil
}

// SetContentsAside moves what lies in a mount point into a directory in it, which belongs to root.
func (d Dir) SetContentsAside(names []string, to string) error {
	if err := d.Files.MakeInside(filepath.Dir(to), to); err != nil {
		return err
	}
	return d.Files.MoveNames(d.Path, to, names)
}

// Purge deletes a data directory, its snapshots, and all that was moved aside from it, but for what former clusters
// have left there. Mount points stay, empty.
func (d Dir) Purge(former []string) error {
	if err := d.at(api.SnapshotDir(d.Path)).removeBut(former); err != nil {
		return err
	}
	aside, err := d.Aside()
	if err != nil {
		return err
	}
	for _, path := range aside {
		if slices.Contains(former, path) {
			continue
		}
		if err := files.RemoveAll(d.Files.Path(path)); err != nil {
			return err
		}
	}
	names, err := d.Contents()
	if errors.Is(err, fs.ErrNotExist) {
		return files.SyncAround(d.path()) // a call that was killed may have removed it
	}
	if err != nil {
		return err
	}
	if err := d.SyncMoved(); err != nil {
		return err
	}
	if err := d.purgeLog(); err != nil {
		return err
	}
	for _, name := range names {
		if err := files.RemoveAll(d.Files.Path(filepath.Join(d.Path, name))); err != nil {
			return err
		}
	}
	if mounted, err := d.disks().IsMountPoint(d.Path); err != nil || mounted {
		return err
	}
	return d.Files.RemoveEmpty(d.Path)
}

// removeBut deletes a directory, but for these paths in it. A mount point stays.
func (d Dir) removeBut(paths []string) error {
	mounted, err := d.disks().IsMountPoint(d.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	stays := mounted || slices.ContainsFunc(paths, func(path string) bool { return filepath.Dir(path) == d.Path })
	if info, err := os.Lstat(d.path()); err != nil || !info.IsDir() || !stays {
		return files.RemoveAll(d.path())
	}
	names, err := d.Contents()
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(d.Path, name)
		if slices.Contains(paths, path) {
			continue
		}
		if err := files.RemoveAll(d.Files.Path(path)); err != nil {
			return err
		}
	}
	if mounted {
		return nil
	}
	return d.Files.RemoveEmpty(d.Path)
}

// CheckWhy checks a reason that becomes a part of a name.
func CheckWhy(why string) error {
	if why == "" || len(why) > 32 || strings.ContainsFunc(why, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }) {
		return api.Refuse("%q cannot be a part of a directory's name: give at most 32 lower-case letters and hyphens", why)
	}
	return nil
}
