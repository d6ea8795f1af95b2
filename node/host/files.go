package host

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

// file is a file as it is to be.
type file struct {
	path  string // of the host
	text  []byte
	owner Owner
	mode  fs.FileMode
}

// put makes a file as it is to be, and tells whether its text changed. Who reads it sees the old text
// or the new one, whole, also after a power cut. A file that is as it is to be is left alone, and
// its name brought to the disk: a call that was killed may have given it that. Whatever else is called so, a
// pipe say, a file takes its place.
func (m *Machine) put(f file) (changed bool, err error) {
	path := m.path(f.path)
	around, name, err := inside.Around(path)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", f.path, err)
	}
	defer around.Close()
	there, err := isThere(around, name, f)
	if err == nil && there {
		err = around.Sync()
	}
	if err != nil || there {
		return false, err
	}
	next := nextName(name)
	if err := writeSynced(around, next, f); err != nil {
		return false, errors.Join(fmt.Errorf("write %s: %w", f.path, err), removeFrom(around, next))
	}
	m.aboutToRename(path)
	if err := around.Rename(next, name); err != nil {
		return false, errors.Join(err, removeFrom(around, next))
	}
	return true, around.Sync()
}

// isThere tells whether there is a file with the text that it is to have, and gives it its owner and mode. It waits for
// nobody: others may write to a directory that root puts files into, that of metrics say.
func isThere(around *inside.Dir, name string, f file) (bool, error) {
	info, err := around.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || hasOtherNames(info)) { // a link, a socket
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
	if info, err = old.Stat(); err != nil || hasOtherNames(info) || info.Size() != int64(len(f.text)) {
		return false, err
	}
	text, err := io.ReadAll(io.LimitReader(old, info.Size()+1))
	if err != nil || !bytes.Equal(text, f.text) {
		return false, err
	}
	if err := give(old, f.owner); err != nil || info.Mode().Perm() == f.mode {
		return true, err
	}
	return true, old.Chmod(f.mode)
}

// hasOtherNames tells whether a file may be one of root's that another user has linked.
func hasOtherNames(info fs.FileInfo) bool { return info.Sys().(*syscall.Stat_t).Nlink > 1 }

// nextName is where a file is written before it takes its name. One, since calls wait for each other: what a killed one
// left is written over.
func nextName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
}

// writeSynced writes a new file, which nobody else can read before it has its owner and mode, and
// brings it to the disk.
func writeSynced(around *inside.Dir, name string, f file) error {
	if err := around.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := around.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyFile)
	if err != nil {
		return err
	}
	_, err = out.Write(f.text)
	return errors.Join(err, give(out, f.owner), out.Chmod(f.mode), out.Sync(), out.Close())
}

// give gives a file to its owner, where it is another's: the units of runs may change no owner, not even to the same.
func give(file *os.File, owner Owner) error {
	info, err := file.Stat()
	if err != nil || ownerOf(info) == owner {
		return err
	}
	return file.Chown(owner.UID, owner.GID)
}

// ensureDir makes a directory with this owner and mode, and its parents as root's own. Those that are
// there keep their contents. Nobody can use it before it has its owner and mode.
func (m *Machine) ensureDir(dir string, owner Owner, mode fs.FileMode) error {
	path := m.path(dir)
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

func ownerOf(info fs.FileInfo) Owner {
	stat := info.Sys().(*syscall.Stat_t)
	return Owner{int(stat.Uid), int(stat.Gid)}
}

func inodeOf(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// link makes a symbolic link, in place of one that points elsewhere.
func (m *Machine) link(path, target string) error {
	path = m.path(path)
	if old, err := os.Readlink(path); err == nil && old == target {
		return syncDir(filepath.Dir(path))
	}
	next := nextName(path)
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, remove(next))
	}
	return syncDir(filepath.Dir(path))
}

// remove removes a file, a link or an empty directory, if it is there, for good: a power cut does not bring it back. Where it is not
// there, a call may have removed it that was killed before that was on the disk.
func remove(path string) error {
	around, name, err := inside.Around(path)
	if errors.Is(err, fs.ErrNotExist) {
		return syncAround(path)
	}
	if err != nil {
		return err
	}
	return errors.Join(removeFrom(around, name), around.Close())
}

// removeFrom removes what lies in a directory, as remove does.
func removeFrom(around *inside.Dir, name string) error {
	if err := around.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return around.Sync()
}

// removeAll removes what lies at a path and all that is in it, if it is there, for good.
func removeAll(path string) error {
	around, name, err := inside.Around(path)
	if errors.Is(err, fs.ErrNotExist) {
		return syncAround(path)
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

// removeEmpty removes a directory of the host, unless something is in it or mounted on it.
func (m *Machine) removeEmpty(dir string) error {
	if err := remove(m.path(dir)); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EBUSY) {
		return err
	}
	return nil
}

// syncAround brings to the disk what is around a path, and that the path itself is not there: the entries of its directory, or of the
// nearest one around that is there.
func syncAround(path string) error {
	for {
		above := filepath.Dir(path)
		if err := syncDir(above); !errors.Is(err, fs.ErrNotExist) || above == path {
			return err
		}
		path = above
	}
}

// syncDir brings a directory's entries to the disk.
func syncDir(dir string) error {
	d, err := inside.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
