package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Stage is a new file for a snapshot of a cluster, where its backups lie. It has no name, and is gone once it is closed
// unless a backup was made of it: so nothing is left of a run that was killed, and nothing is written twice. It is an
// error where there is no space for it, and where the file system has no files without names, as NFS.
func (d *Directory) Stage(cluster string, size int64) (*os.File, error) {
	if err := errors.Join(d.mustBeThere(), d.mustHold(size)); err != nil {
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

// adopt gives a staged file, all of which is on the disk, the name of a key.
func (d *Directory) adopt(key string, staged *os.File) error {
	path, err := d.path(key)
	if err != nil {
		return err
	}
	// A link takes no name that is taken, a rename does.
	dir := filepath.Dir(path)
	next := filepath.Join(dir, partial+filepath.Base(path))
	if err := ifThere(os.Remove(next)); err != nil {
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
