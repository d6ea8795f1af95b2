package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// What lies in a data directory is the system user's, who may put there what he likes at any time: a link to a file of
// root's, or a pipe that nobody writes to. Root goes in there by a handle on the directory, from which no link leads out,
// and opens nothing but files and directories.

// throughRoots is where a name below a directory leads by links that are root's, such as one by which somebody has given the
// log a disk of its own. The system user can make none of those.
func throughRoots(dir, name string) (string, string) {
	parts := strings.Split(filepath.ToSlash(filepath.Clean(name)), "/")
	for i := range parts {
		path := filepath.Join(dir, filepath.Join(parts[:i+1]...))
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Type() != fs.ModeSymlink || ownerOf(info) != root {
			continue
		}
		if target, err := filepath.EvalSymlinks(path); err == nil {
			if info, err := os.Stat(target); err == nil && info.IsDir() {
				return throughRoots(target, filepath.Join(append([]string{"."}, parts[i+1:]...)...))
			}
		}
	}
	return dir, name
}

// openInside opens a file for reading below a directory at a path of this process.
func openInside(dir, name string) (*os.File, error) {
	dir, name = throughRoots(dir, name)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return openIn(root, name)
}

// openIn opens a file for reading. It waits for nobody, and refuses what is no regular file, a link too.
func openIn(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err == nil && (!opened.Mode().IsRegular() || !os.SameFile(info, opened)) {
		err = fmt.Errorf("%s is no file, but a %s, which a member does not make: remove it", filepath.Join(root.Name(), name), info.Mode().Type())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// openDirInside opens a directory below a directory at a path of this process.
func openDirInside(dir, name string) (*os.File, error) {
	dir, name = throughRoots(dir, name)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// readDirInside lists a directory below a directory at a path of this process.
func readDirInside(dir, name string) ([]fs.DirEntry, error) {
	dir, name = throughRoots(dir, name)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return fs.ReadDir(root.FS(), name)
}

// eachInside visits all that lies in a directory at a path of this process, and it itself as ".", last. What goes away
// meanwhile is an error. Links are visited, and not followed.
func eachInside(dir string, visit func(root *os.Root, name string, info fs.FileInfo) error) error {
	root, err := os.OpenRoot(dir)
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

// syncIn brings a file, or the entries of a directory, to the disk.
func syncIn(root *os.Root, name string) error {
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
