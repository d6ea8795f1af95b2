package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// MakeInside makes a directory owned by root in another one, which may be the system user's, unless it exists.
func (t Tree) MakeInside(dir, made string) error {
	in, err := inside.Open(t.Path(dir))
	if err != nil {
		return err
	}
	defer in.Close()
	name := filepath.Base(made)
	there, err := in.Mkdir(name, DataMode)
	if errors.Is(err, fs.ErrExist) {
		there, err = in.In(name)
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("%s is there, and is no directory", made)
	}
	if err != nil {
		return err
	}
	return errors.Join(there.Close(), in.Sync())
}

// MoveNames moves entries of a directory into another one, and never over an existing entry. It holds handles on both
// directories, so that nobody puts links in their places meanwhile.
func (t Tree) MoveNames(from, to string, names []string) error {
	source, err := inside.Open(t.Path(from))
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := inside.Open(t.Path(to))
	if err != nil {
		return err
	}
	defer target.Close()
	for _, name := range names {
		t.aboutToRename(filepath.Join(to, name))
		if err := source.Move(name, target, name); err != nil {
			return err
		}
	}
	return errors.Join(target.Sync(), source.Sync())
}

// Move renames, and never over an existing entry.
func (t Tree) Move(from, to string) error {
	t.aboutToRename(to)
	source, name, err := inside.Around(t.Path(from))
	if err != nil {
		return err
	}
	defer source.Close()
	target, called, err := inside.Around(t.Path(to))
	if err != nil {
		return err
	}
	defer target.Close()
	return source.Move(name, target, called)
}

// Size returns how many bytes the files below a path hold, and how many files and directories there are.
func (t Tree) Size(path string) (bytes, files int64, err error) {
	around, name, err := inside.Around(t.Path(path))
	if err != nil {
		return 0, 0, ifThere(err)
	}
	defer around.Close()
	below, err := around.Root()
	if err != nil {
		return 0, 0, err
	}
	defer below.Close()
	err = fs.WalkDir(below.FS(), name, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return ifThere(err) // a running member has removed it meanwhile
		}
		info, err := entry.Info()
		if err != nil {
			return ifThere(err)
		}
		files++
		if info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes, files, err
}

// ifThere returns an error as it is, or nil if it says that a file does not exist.
func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// NewDir makes a directory owned by root that nobody else can use, with its parents, and opens it.
func (t Tree) NewDir(path string) (*inside.Dir, error) {
	around, err := inside.Ensure(filepath.Dir(t.Path(path)))
	if err != nil {
		return nil, err
	}
	made, err := around.Mkdir(filepath.Base(path), DataMode)
	return made, errors.Join(err, around.Sync(), around.Close())
}

// Nearest returns a directory, or its nearest parent that exists, as a path of this process with links resolved.
func (t Tree) Nearest(dir string) (string, error) {
	path := t.Path(dir)
	for !IsDir(path) {
		path = filepath.Dir(path)
	}
	return filepath.EvalSymlinks(path)
}

// IsDir tells whether there is a directory at a path of this process, or a link to one.
func IsDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// RemoveIn removes the files of a directory that goes selects. The directory may be missing.
func (t Tree) RemoveIn(dir string, goes func(fs.DirEntry) bool) error {
	entries, err := inside.ReadDir(t.Path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	failed := []error{err}
	for _, entry := range entries {
		if goes(entry) {
			failed = append(failed, Remove(t.Path(filepath.Join(dir, entry.Name()))))
		}
	}
	return errors.Join(append(failed, SyncDir(t.Path(dir)))...) // sync what a killed call has removed too
}
