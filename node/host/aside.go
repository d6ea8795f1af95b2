package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// aside lists what was moved aside from a data directory: beside it, or, where it is a mount point,
// in it.
func (m *Machine) aside(dir string) ([]string, error) {
	var found []string
	for where, prefix := range map[string]string{
		filepath.Dir(dir): filepath.Base(dir) + "." + api.AsidePrefix,
		dir:               api.AsidePrefix,
	} {
		entries, err := inside.ReadDir(m.path(where))
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

// setAside moves a data directory to where nothing takes it for data, on the same file system, and
// says where; empty: it held nothing, and is gone.
//
// It goes in one rename. A mount point cannot be moved, so there the contents go, one by one, into a
// directory in it: what a cut-short call has moved counts as data no more, and the next one moves the
// rest to a place of its own.
func (m *Machine) setAside(dir, why string) (string, error) {
	names, err := m.contents(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", files.SyncAround(m.path(dir)) // a call that was killed may have moved it
	}
	if err != nil {
		return "", err
	}
	mounted, err := m.disks().IsMountPoint(dir)
	if err != nil {
		return "", err
	}
	to, err := m.asidePath(dir, m.label(why))
	if err != nil {
		return "", err
	}
	switch {
	case len(names) == 0 && mounted:
		return "", m.syncMoved(dir)
	case len(names) == 0:
		return "", m.files().RemoveEmpty(dir)
	case mounted:
		return to, m.setContentsAside(dir, names, to)
	}
	if err := m.files().Move(dir, to); err != nil {
		return "", err
	}
	return to, files.SyncDir(m.path(filepath.Dir(dir)))
}

// moveAside moves a member's data aside, and says where it lies: also where a call that was killed has moved it before it
// could tell anybody.
func (m *Machine) moveAside(marker api.Marker, why string) (string, error) {
	to, err := m.setAside(marker.DataDir, why)
	if err != nil || to != "" {
		return to, err
	}
	aside, err := m.aside(marker.DataDir)
	if err != nil {
		return "", err
	}
	for _, moved := range slices.Backward(aside) {
		if !strings.Contains(filepath.Base(moved), api.AsidePrefix+why+"-") {
			continue
		}
		cluster, member, err := m.etcd(moved).Identity()
		if marker.ClusterID == "" || err == nil && api.FormatID(cluster) == marker.ClusterID && api.FormatID(member) == marker.MemberID {
			return moved, nil
		}
	}
	return "", nil
}

// syncMoved brings to the disk that what lay in a directory lies in those that were moved aside from it.
func (m *Machine) syncMoved(dir string) error {
	aside, err := m.aside(dir)
	if err != nil {
		return err
	}
	for _, to := range aside {
		if info, err := os.Lstat(m.path(to)); err == nil && !info.IsDir() {
			continue // somebody's, under such a name
		}
		if err := files.SyncDir(m.path(to)); err != nil {
			return err
		}
	}
	return errors.Join(files.SyncAround(m.path(dir)), files.SyncAround(m.path(filepath.Join(dir, api.AsidePrefix))))
}

// label names what is put aside now.
func (m *Machine) label(why string) string {
	return api.AsidePrefix + why + "-" + m.Now().UTC().Format(files.Stamp)
}

// unfinished names what is being put aside and is not all there yet.
func (m *Machine) unfinished(why string) string { return api.AsidePrefix + why + "-unfinished" }

// asidePath is where something that is put aside from a data directory lies: beside it, or, where it is a
// mount point, in it.
func (m *Machine) asidePath(dir, label string) (string, error) {
	mounted, err := m.disks().IsMountPoint(dir)
	if err != nil || !mounted {
		return dir + "." + label, err
	}
	return filepath.Join(dir, label), nil
}

// setContentsAside moves what lies in a mount point into a directory in it, which is root's.
func (m *Machine) setContentsAside(dir string, names []string, to string) error {
	if err := m.files().MakeInside(filepath.Dir(to), to); err != nil {
		return err
	}
	return m.files().MoveNames(dir, to, names)
}

// purge deletes a data directory, the snapshots of it, and all that was moved aside from it. Mount points stay, empty.
func (m *Machine) purge(dir string) error {
	if err := m.purgeSnapshots(api.SnapshotDir(dir)); err != nil {
		return err
	}
	aside, err := m.aside(dir)
	if err != nil {
		return err
	}
	for _, path := range aside {
		if err := files.RemoveAll(m.path(path)); err != nil {
			return err
		}
	}
	names, err := m.contents(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return files.SyncAround(m.path(dir)) // a call that was killed may have removed it
	}
	if err != nil {
		return err
	}
	if err := m.syncMoved(dir); err != nil {
		return err
	}
	for _, name := range names {
		if err := files.RemoveAll(m.path(filepath.Join(dir, name))); err != nil {
			return err
		}
	}
	if mounted, err := m.disks().IsMountPoint(dir); err != nil || mounted {
		return err
	}
	return m.files().RemoveEmpty(dir)
}

// purgeSnapshots deletes the snapshots of a member. Where somebody has mounted a disk for them, it has nothing on it then.
func (m *Machine) purgeSnapshots(dir string) error {
	if mounted, err := m.disks().IsMountPoint(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if info, err := os.Lstat(m.path(dir)); err != nil || !info.IsDir() || !mounted {
		return files.RemoveAll(m.path(dir))
	}
	names, err := m.contents(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := files.RemoveAll(m.path(filepath.Join(dir, name))); err != nil {
			return err
		}
	}
	return nil
}

// checkWhy checks a reason that becomes a part of a name.
func checkWhy(why string) error {
	if why == "" || len(why) > 32 || strings.ContainsFunc(why, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }) {
		return refuse("%q cannot be a part of a directory's name: give at most 32 lower-case letters and hyphens", why)
	}
	return nil
}
