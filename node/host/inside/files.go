package inside

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OpenFile opens the regular file at a path of this process. It never blocks on a pipe, and refuses links.
func OpenFile(path string, flags int, mode fs.FileMode) (*os.File, error) {
	around, name, err := Around(path)
	if err != nil {
		return nil, err
	}
	defer around.Close()
	return around.OpenFile(name, flags, mode)
}

// errNoFile is OpenFile's error for a pipe, a directory or a device.
var errNoFile = errors.New("it is no file")

// IsNoFile tells whether OpenFile has refused what lies at a path because it is no regular file.
func IsNoFile(err error) bool {
	return errors.Is(err, errNoFile) || errors.Is(err, ErrLink) || errors.Is(err, unix.ENXIO) // a socket
}

// ReadFile reads the regular file at a path of this process, which it opens by OpenFile.
func ReadFile(path string) ([]byte, error) {
	file, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// OpenIn opens a file for reading, as Dir.OpenFile does.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	around, err := root.OpenFile(filepath.Dir(name), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	dir := &Dir{around, around.Name()}
	defer dir.Close()
	return dir.OpenFile(filepath.Base(name), os.O_RDONLY, 0)
}

// ReadDir lists a directory at a path of this process.
func ReadDir(path string) ([]fs.DirEntry, error) {
	dir, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.ReadDir()
}

// Each visits everything in a directory, and the directory itself last, as ".". It visits links and does not follow
// them. An entry that disappears meanwhile is an error.
func Each(dir *Dir, visit func(root *os.Root, name string, info fs.FileInfo) error) error {
	root, err := dir.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	return eachIn(root, ".", visit)
}

func eachIn(root *os.Root, name string, visit func(root *os.Root, name string, info fs.FileInfo) error) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := fs.ReadDir(root.FS(), filepath.ToSlash(name))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := eachIn(root, filepath.Join(name, entry.Name()), visit); err != nil {
				return err
			}
		}
	}
	return visit(root, name, info)
}

// SyncIn syncs a file, or the entries of a directory.
func SyncIn(root *os.Root, name string) error {
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// PathOf returns a path by which this process finds an open file, even if the file no longer has a name.
func PathOf(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }
