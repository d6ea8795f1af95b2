package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dir is a directory that is held by a handle. Its methods act on that very directory, even if somebody moves it away
// or puts something else in its place. They take names of its direct entries, and follow no links.
type Dir struct {
	file *os.File
	path string
}

// Open opens the directory at a path of this process.
func Open(path string) (*Dir, error) { return open(path, false) }

// Ensure opens the directory at a path, and makes missing directories on the way, owned by root.
func Ensure(path string) (*Dir, error) { return open(path, true) }

// Around opens the directory that a path lies in, and returns the path's name there.
func Around(path string) (*Dir, string, error) {
	dir, err := Open(filepath.Dir(path))
	return dir, filepath.Base(path), err
}

func open(path string, ensure bool) (*Dir, error) {
	handle, err := walk(path, ensure)
	if err != nil {
		return nil, err
	}
	dir, err := openAt(handle, ".", path)
	if errors.Is(err, unix.EACCES) { // a user who may enter the directory but not list it can still open entries
		return &Dir{os.NewFile(uintptr(handle), path), path}, nil
	}
	return dir, errors.Join(err, unix.Close(handle))
}

func openAt(handle int, name, path string) (*Dir, error) {
	opened, err := unix.Openat(handle, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{os.NewFile(uintptr(opened), path), path}, nil
}

// Close closes the handle.
func (d *Dir) Close() error { return d.file.Close() }

// Name returns the path that the directory was opened by.
func (d *Dir) Name() string { return d.path }

// File returns the handle itself.
func (d *Dir) File() *os.File { return d.file }

// Path returns a path by which code that knows only paths reaches an entry, as long as the directory is open.
func (d *Dir) Path(name string) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(d.file.Fd())), name)
}

// In opens a directory that lies in this one.
func (d *Dir) In(name string) (*Dir, error) {
	return openAt(int(d.file.Fd()), name, filepath.Join(d.path, name))
}

// Mkdir makes a directory and opens it. It fails if somebody has put another directory in its place meanwhile, or
// something into it.
func (d *Dir) Mkdir(name string, mode fs.FileMode) (*Dir, error) {
	if err := unix.Mkdirat(int(d.file.Fd()), name, uint32(mode.Perm())); err != nil {
		return nil, d.failed("mkdir", name, err)
	}
	made, err := d.In(name)
	if err != nil {
		return nil, err
	}
	info, err := made.Stat()
	if err == nil && info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		err = d.failed("mkdir", name, errors.New("somebody has put another directory in its place: find out who writes there"))
	}
	entries, failed := made.ReadDir()
	if err = errors.Join(err, failed); err == nil && len(entries) > 0 {
		err = d.failed("mkdir", name, errors.New("somebody has put something into it: find out who writes there"))
	}
	if err != nil {
		return nil, errors.Join(err, made.Close())
	}
	return made, nil
}

// Stat describes the directory itself.
func (d *Dir) Stat() (fs.FileInfo, error) { return d.file.Stat() }

// Lstat describes an entry, and follows no link.
func (d *Dir) Lstat(name string) (fs.FileInfo, error) {
	handle, err := unix.Openat(int(d.file.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, d.failed("look at", name, err)
	}
	is := os.NewFile(uintptr(handle), filepath.Join(d.path, name))
	info, err := is.Stat()
	return info, errors.Join(err, is.Close())
}

// ReadDir lists the entries, sorted by name.
func (d *Dir) ReadDir() ([]fs.DirEntry, error) {
	again, err := d.In(".") // a handle lists a directory only once
	if err != nil {
		return nil, err
	}
	defer again.Close()
	entries, err := again.file.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// OpenFile opens a regular file, and refuses anything else. It never blocks on a pipe. For writing it also refuses a
// file with a second name: another user may have linked a file of root's.
func (d *Dir) OpenFile(name string, flags int, mode fs.FileMode) (*os.File, error) {
	opened, err := unix.Openat(int(d.file.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, uint32(mode.Perm()))
	if errors.Is(err, unix.ELOOP) {
		err = ErrLink
	}
	if err != nil {
		return nil, d.failed("open", name, err)
	}
	file := os.NewFile(uintptr(opened), filepath.Join(d.path, name))
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = d.failed("open", name, fmt.Errorf("%w, but a %s, which a member does not make: remove it", errNoFile, info.Mode().Type()))
	case flags&(unix.O_WRONLY|unix.O_RDWR) != 0 && info.Sys().(*syscall.Stat_t).Nlink > 1:
		err = d.failed("open", name, errors.New("it has other names beside this one: remove it"))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Remove removes a file, a link or an empty directory.
func (d *Dir) Remove(name string) error {
	err := unix.Unlinkat(int(d.file.Fd()), name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(int(d.file.Fd()), name, unix.AT_REMOVEDIR)
	}
	return d.failed("remove", name, err)
}

// RemoveAll removes an entry with everything in it, if it exists.
func (d *Dir) RemoveAll(name string) error {
	root, err := d.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	err = root.RemoveAll(name)
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		return d.failed("remove", of.Path, of.Err)
	}
	return err
}

// Rename gives an entry another name, and replaces what has that name.
func (d *Dir) Rename(from, to string) error {
	return d.failed("rename", from, unix.Renameat(int(d.file.Fd()), from, int(d.file.Fd()), to))
}

// Move moves an entry into another directory, and replaces nothing there.
func (d *Dir) Move(from string, to *Dir, name string) error {
	if err := unix.Renameat2(int(d.file.Fd()), from, int(to.file.Fd()), name, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("move %s to %s: %w", filepath.Join(d.path, from), filepath.Join(to.path, name), err)
	}
	return nil
}

// Own sets the directory's owner and mode, if they differ.
func (d *Dir) Own(uid, gid int, mode fs.FileMode) error {
	info, err := d.Stat()
	if err != nil {
		return err
	}
	is := info.Sys().(*syscall.Stat_t)
	if int(is.Uid) != uid || int(is.Gid) != gid {
		if err := d.file.Chown(uid, gid); err != nil {
			return err
		}
	}
	if info.Mode().Perm() != mode {
		return d.file.Chmod(mode)
	}
	return nil
}

// Sync writes the directory's entries to the disk.
func (d *Dir) Sync() error { return d.file.Sync() }

// Root opens the directory as an os.Root, for work on all that lies below it.
func (d *Dir) Root() (*os.Root, error) {
	root, err := os.OpenRoot(d.Path(""))
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: errors.Unwrap(err)}
	}
	return root, nil
}

// failed wraps an error with the operation and the path that it is about.
func (d *Dir) failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: what, Path: filepath.Join(d.path, name), Err: err}
}
