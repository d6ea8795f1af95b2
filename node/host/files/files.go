package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// File is the desired state of a file.
type File struct {
	Path  string // on the host
	Text  []byte
	Owner Owner
	Mode  fs.FileMode
}

// Put writes a file, and tells whether its text changed. Readers see either the old or the new text, whole, also after
// a power cut. If the file is as desired, Put leaves it alone and syncs its directory, since a killed call may have
// renamed it. Put replaces a pipe, or anything else that is no file, except for a directory that is not empty.
func (t Tree) Put(f File) (changed bool, err error) {
	path := t.Path(f.Path)
	around, name, err := inside.Around(path)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", f.Path, err)
	}
	defer around.Close()
	there, err := isThere(around, name, f)
	if err == nil && there {
		err = around.Sync()
	}
	if err != nil || there {
		return false, err
	}
	if err := makeWay(around, name); err != nil {
		return false, err
	}
	next := NextName(name)
	if err := writeSynced(around, next, f); err != nil {
		return false, errors.Join(fmt.Errorf("write %s: %w", f.Path, err), removeFrom(around, next))
	}
	t.aboutToRename(path)
	if err := around.Rename(next, name); err != nil {
		return false, errors.Join(err, removeFrom(around, next))
	}
	return true, around.Sync()
}

// isThere tells whether the file has the desired text, and sets its owner and mode. It never blocks: other users can
// write to some directories that root writes files to, such as that of metrics.
func isThere(around *inside.Dir, name string, f File) (bool, error) {
	info, err := around.Lstat(name)
	// A link or a socket is replaced, too.
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || hasOtherNames(info)) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	old, err := around.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer old.Close()
	if info, err = old.Stat(); err != nil || hasOtherNames(info) || info.Size() != int64(len(f.Text)) {
		return false, err
	}
	text, err := io.ReadAll(io.LimitReader(old, info.Size()+1))
	if err != nil || !bytes.Equal(text, f.Text) {
		return false, err
	}
	if err := give(old, f.Owner); err != nil || info.Mode().Perm() == f.Mode {
		return true, err
	}
	return true, old.Chmod(f.Mode)
}

// makeWay removes an empty directory in the place of a file, since no rename of a file replaces a directory.
func makeWay(around *inside.Dir, name string) error {
	info, err := around.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err == nil {
		err = around.Remove(name)
	}
	if errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("write %s: a directory with something in it lies there: remove it", filepath.Join(around.Name(), name))
	}
	return err
}

// hasOtherNames tells whether a file may be one of root's that another user has linked.
func hasOtherNames(info fs.FileInfo) bool { return info.Sys().(*syscall.Stat_t).Nlink > 1 }

// NextName returns the path at which a file is written before it is renamed. There is one such path, since calls wait
// for each other: what a killed call has left is overwritten.
func NextName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
}

// writeSynced writes a new file and syncs it. Nobody else can read the file before it has its owner and mode.
func writeSynced(around *inside.Dir, name string, f File) error {
	if err := around.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := around.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, KeyFile)
	if err != nil {
		return err
	}
	_, err = out.Write(f.Text)
	return errors.Join(err, give(out, f.Owner), out.Chmod(f.Mode), out.Sync(), out.Close())
}

// give makes owner the owner of a file, if it is not yet: the units of runs may not change owners, not even to the same
// one.
func give(file *os.File, owner Owner) error {
	info, err := file.Stat()
	if err != nil || OwnerOf(info) == owner {
		return err
	}
	return file.Chown(owner.UID, owner.GID)
}

// EnsureDir makes a directory with this owner and mode, and its parents owned by root. Existing directories keep their
// contents. Nobody can use the directory before it has its owner and mode.
func (t Tree) EnsureDir(dir string, owner Owner, mode fs.FileMode) error {
	path := t.Path(dir)
	around, err := inside.Ensure(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer around.Close()
	made, err := around.Mkdir(filepath.Base(path), 0o700)
	if errors.Is(err, fs.ErrExist) {
		made, err = inside.Open(path)
	}
	if errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%s is there, and is no directory", dir)
	}
	if err != nil {
		return err
	}
	defer made.Close()
	return errors.Join(made.Own(owner.UID, owner.GID, mode), around.Sync())
}

// OwnerOf returns the owner of a file.
func OwnerOf(info fs.FileInfo) Owner {
	stat := info.Sys().(*syscall.Stat_t)
	return Owner{int(stat.Uid), int(stat.Gid)}
}

// InodeOf returns the number of a file on its file system, which does not depend on the file's name.
func InodeOf(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// Link makes a symbolic link, and replaces one that points elsewhere.
func (t Tree) Link(path, target string) error {
	path = t.Path(path)
	if old, err := os.Readlink(path); err == nil && old == target {
		return SyncDir(filepath.Dir(path))
	}
	next := NextName(path)
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, Remove(next))
	}
	return SyncDir(filepath.Dir(path))
}

// Remove removes a file, a link or an empty directory, if it exists, so that no power cut undoes this. It syncs the
// directory even if there is nothing to remove: a killed call may have removed it without a sync.
func Remove(path string) error {
	around, name, err := inside.Around(path)
	if errors.Is(err, fs.ErrNotExist) {
		return SyncAround(path)
	}
	if err != nil {
		return err
	}
	return errors.Join(removeFrom(around, name), around.Close())
}

// removeFrom removes an entry of a directory as Remove does.
func removeFrom(around *inside.Dir, name string) error {
	if err := around.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return around.Sync()
}

// RemoveAll removes a path and everything below it, if it exists, so that no power cut undoes this.
func RemoveAll(path string) error {
	around, name, err := inside.Around(path)
	if errors.Is(err, fs.ErrNotExist) {
		return SyncAround(path)
	}
	if err != nil {
		return err
	}
	defer around.Close()
	if err := around.RemoveAll(name); err != nil {
		return err
	}
	return around.Sync()
}

// RemoveEmpty removes a directory of the host, unless something is in it or mounted on it.
func (t Tree) RemoveEmpty(dir string) error {
	if err := Remove(t.Path(dir)); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EBUSY) {
		return err
	}
	return nil
}

// SyncAround syncs the directory that a path is in, or its nearest parent that exists, so that the path is missing
// after a power cut too.
func SyncAround(path string) error {
	for {
		above := filepath.Dir(path)
		if err := SyncDir(above); !errors.Is(err, fs.ErrNotExist) || above == path {
			return err
		}
		path = above
	}
}

// SyncDir syncs a directory's entries.
func SyncDir(dir string) error {
	d, err := inside.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Renaming is a new name for a file.
type Renaming struct{ From, To string }

// RenameBoth renames two files of one directory of the host, one right after the other, and syncs the directory. A
// power cut may come between the two.
func (t Tree) RenameBoth(first, second Renaming) error {
	around, _, err := inside.Around(t.Path(first.To))
	if err != nil {
		return err
	}
	defer around.Close()
	if err := errors.Join(makeWay(around, filepath.Base(first.To)), makeWay(around, filepath.Base(second.To))); err != nil {
		return err
	}
	for _, r := range []Renaming{first, second} {
		t.aboutToRename(t.Path(r.To))
		if err := around.Rename(filepath.Base(r.From), filepath.Base(r.To)); err != nil {
			return errors.Join(err, around.Sync())
		}
	}
	return around.Sync()
}

// Rename renames a file of the host within its directory, and syncs that.
func (t Tree) Rename(from, to string) error {
	t.aboutToRename(t.Path(to))
	around, name, err := inside.Around(t.Path(to))
	if err != nil {
		return err
	}
	defer around.Close()
	if err := around.Rename(filepath.Base(from), name); err != nil {
		return err
	}
	return around.Sync()
}
