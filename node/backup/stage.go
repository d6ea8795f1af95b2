package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Stage creates a file for a snapshot where a cluster's backups lie. The file has no name, and is gone once it is
// closed unless it becomes a backup: so a killed run leaves nothing, and nothing is written twice. Stage fails without
// enough space, and on file systems without unnamed files, such as NFS.
func (d *Directory) Stage(cluster string, size int64) (*os.File, error) {
	if err := errors.Join(d.mustBeThere(), d.mustHaveSpace(size)); err != nil {
		return nil, err
	}
	dir, err := d.path(cluster)
	if err != nil {
		return nil, err
	}
	if err := d.makeDirs(dir); err != nil {
		return nil, err
	}
	return os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
}

// adopt gives a staged file, which is on disk already, the name of a key.
func (d *Directory) adopt(key string, staged *os.File) error {
	path, err := d.path(key)
	if err != nil {
		return err
	}
	// A link does not replace an existing name; a rename does.
	dir := filepath.Dir(path)
	next := filepath.Join(dir, partial+filepath.Base(path))
	if err := ignoreNotExist(os.Remove(next)); err != nil {
		return err
	}
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", staged.Fd()), unix.AT_FDCWD, next, unix.AT_SYMLINK_FOLLOW); err != nil {
		return fmt.Errorf("name %s: %w", path, err)
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return syncDir(dir)
}
