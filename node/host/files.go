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
	there, err := isThere(path, f)
	if err == nil && there {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil || there {
		return false, err
	}
	next := nextName(path)
	if err := writeSynced(next, f); err != nil {
		return false, errors.Join(fmt.Errorf("write %s: %w", f.path, err), remove(next))
	}
	m.aboutToRename(path)
	if err := os.Rename(next, path); err != nil {
		return false, errors.Join(err, remove(next))
	}
	return true, syncDir(filepath.Dir(path))
}

// isThere tells whether there is a file with the text that it is to have, and gives it its owner and mode. It waits for
// nobody: others may write to a directory that root puts files into, that of metrics say.
func isThere(path string, f file) (bool, error) {
	old, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a link, a socket
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer old.Close()
	info, err := old.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(f.text)) {
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

// nextName is where a file is written before it takes its name. One, since calls wait for each other: what a killed one
// left is written over.
func nextName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
}

// writeSynced writes a new file, which nobody else can read before it has its owner and mode, and
// brings it to the disk.
func writeSynced(path string, f file) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
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
// there keep their contents.
func (m *Machine) ensureDir(dir string, owner Owner, mode fs.FileMode) error {
	path := m.path(dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !isDir(path) {
		return fmt.Errorf("%s is there, and is no directory", dir)
	}
	return errors.Join(own(path, owner, mode), syncDir(filepath.Dir(path)))
}

// own gives what lies at path its owner and mode, where they differ.
func own(path string, owner Owner, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if ownerOf(info) != owner {
		if err := os.Chown(path, owner.UID, owner.GID); err != nil {
			return err
		}
	}
	if info.Mode().Perm() != mode {
		return os.Chmod(path, mode)
	}
	return nil
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
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncAround(path)
}

// removeAll removes what lies at a path and all that is in it, if it is there, for good.
func removeAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return syncAround(path)
}

// removeEmpty removes a directory of the host, unless something is in it.
func (m *Machine) removeEmpty(dir string) error {
	if err := remove(m.path(dir)); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
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
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
