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

// File is a file as it is to be.
type File struct {
	Path  string // of the host
	Text  []byte
	Owner Owner
	Mode  fs.FileMode
}

// Put writes a file, and tells whether its text changed. Readers see the old text or the new one, whole, also after a
// power cut. If the file is there already as it is to be, Put leaves it alone and syncs its directory: a call that was
// killed may have renamed it. A pipe, or anything else that is no file, is replaced, but for a directory with something
// in it.
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

// isThere tells whether there is a file with the text that it is to have, and gives it its owner and mode. It waits for
// nobody: others may write to a directory that root puts files into, that of metrics say.
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

// makeWay removes an empty directory that lies where a file is to be, since no file that is renamed replaces one.
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

// NextName is where a file is written before it takes its name. One, since calls wait for each other: what a killed one
// left is written over.
func NextName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
}

// writeSynced writes a new file, which nobody else can read before it has its owner and mode, and
// brings it to the disk.
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

// give gives a file to its owner, where it is another's: the units of runs may change no owner, not even to the same.
func give(file *os.File, owner Owner) error {
	info, err := file.Stat()
	if err != nil || OwnerOf(info) == owner {
		return err
	}
	return file.Chown(owner.UID, owner.GID)
}

// EnsureDir makes a directory with this owner and mode, and its parents as root's own. Those that are
// there keep their contents. Nobody can use it before it has its owner and mode.
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

// InodeOf is the number that a file has on its file system, under whatever name.
func InodeOf(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// Link makes a symbolic link, in place of one that points elsewhere.
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

// Remove removes a file, a link or an empty directory, if it is there, for good: a power cut does not bring it back. It
// syncs the directory also if there is nothing to remove: a call that was killed may have removed it, and not synced.
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

// removeFrom removes what lies in a directory, as Remove does.
func removeFrom(around *inside.Dir, name string) error {
	if err := around.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return around.Sync()
}

// RemoveAll removes what lies at a path and all that is in it, if it is there, for good.
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

// SyncAround brings to the disk what is around a path, and that the path itself is not there: the entries of its
// directory, or of the nearest one around that is there.
func SyncAround(path string) error {
	for {
		above := filepath.Dir(path)
		if err := SyncDir(above); !errors.Is(err, fs.ErrNotExist) || above == path {
			return err
		}
		path = above
	}
}

// SyncDir brings a directory's entries to the disk.
func SyncDir(dir string) error {
	d, err := inside.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Renaming is another name for a file.
type Renaming struct{ From, To string }

// RenameBoth gives two files of one directory of the host other names there, one right behind the other, for good. A
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

// Rename gives a file of the host another name in its directory, for good.
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
