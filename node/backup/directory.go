package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
)

// partial is the prefix of files that are being written. No object has it.
const partial = ".partial-"

// Directory is a destination on a file system. It has to exist: if it is the mount point of a disk that is not
// mounted, nothing may be written below it. Files in it have mode 0600, directories that it creates 0700.
type Directory struct {
	root   string
	leaves int64  // bytes that big files have to leave free
	mine   string // begins the names of files that its own writer is writing; empty: nobody tells whose they are
}

// NewDirectory returns the destination at an absolute path.
func NewDirectory(root string) (*Directory, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("backup directory %q: give an absolute path", root)
	}
	return &Directory{root: root}, nil
}

// Leave makes every big file leave so many bytes of the file system free for others.
func (d *Directory) Leave(bytes int64) { d.leaves = bytes }

// WriteAs says who writes. What an earlier run of the same writer has left is swept at once: the name has to be this
// writer's alone among all that write to the directory, and only one of its runs may write at a time.
func (d *Directory) WriteAs(writer string) { d.mine = partial + writer + "-" }

// String names the destination in messages.
func (d *Directory) String() string { return d.root }

// List implements Source.
func (d *Directory) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := d.mustBeThere(); err != nil {
		return nil, err
	}
	var found []Object
	err := d.walk(ctx, prefix, func(key string, info fs.FileInfo) error {
		if !strings.HasPrefix(info.Name(), partial) {
			found = append(found, Object{key, info.Size(), info.ModTime()})
		}
		return nil
	})
	slices.SortFunc(found, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return found, err
}

// Open implements Source.
func (d *Directory) Open(_ context.Context, key string) (io.ReadCloser, error) {
	path, err := d.path(key)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrNoObject)
	}
	return file, err
}

// Put implements Destination. The file gets its name only once its content is on disk.
func (d *Directory) Put(ctx context.Context, key string, size int64, content io.Reader) error {
	path, err := d.path(key)
	if err != nil {
		return err
	}
	if err := errors.Join(d.mustBeThere(), d.mustHaveSpace(size)); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := d.makeDirs(dir); err != nil {
		return err
	}
	next, err := os.CreateTemp(dir, cmp.Or(d.mine, partial)) // 0600
	if err != nil {
		return err
	}
	lockFile(next)
	if err = durable.Reserve(next, size); err == nil {
		disk := durable.NewWriter(next)
		disk.Synced = func() { beat(ctx) }
		_, err = io.Copy(disk, withContext(ctx, content))
		// Release asks for the file's size, for which a network file system writes all of it: that is on disk by then.
		err = errors.Join(err, disk.Sync(), durable.Release(next), next.Sync())
	}
	if err = errors.Join(err, next.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(next.Name()))
	}
	return publish(ctx, next.Name(), path)
}

// publish gives a file that is on disk its name. A call that was given up while the disk did not answer is not to
// change what others have read since, and leaves nothing new: also if it was the renaming that did not come back.
func publish(ctx context.Context, next, path string) error {
	_, err := os.Lstat(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	ours, err := os.Lstat(next)
	if late := context.Cause(ctx); late != nil {
		err = late
	}
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(next))
	}
	err = syncDir(filepath.Dir(path))
	if late := context.Cause(ctx); late != nil && isNew {
		err = fmt.Errorf("write %s: %w", path, late)
		if there, gone := os.Lstat(path); gone == nil && os.SameFile(there, ours) { // else somebody has written it anew
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// Remove implements Destination.
func (d *Directory) Remove(_ context.Context, key string) error {
	path, err := d.path(key)
	if err != nil {
		return err
	}
	switch err := os.Remove(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return syncDir(filepath.Dir(path)) // the manifest is durably gone before its backup goes
}

// Clock implements Destination. A network file system uses its server's clock, which shows in the time of a touched
// directory. Touching takes no space.
func (d *Directory) Clock(context.Context) (time.Time, error) {
	if err := d.mustBeThere(); err != nil {
		return time.Time{}, err
	}
	now := unix.Timespec{Nsec: unix.UTIME_NOW}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, d.root, []unix.Timespec{now, now}, 0); err != nil {
		return time.Time{}, fmt.Errorf("touch %s to read its clock: %w", d.root, err)
	}
	info, err := os.Stat(d.root)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Sweep implements Destination. A file that somebody is writing stays, however old it looks. One that this writer's
// earlier run has left goes, however new it is.
func (d *Directory) Sweep(ctx context.Context, prefix string, before time.Time) error {
	return d.walk(ctx, prefix, func(key string, info fs.FileInfo) error {
		path := filepath.Join(d.root, key)
		isLeft := info.ModTime().Before(before) || d.mine != "" && strings.HasPrefix(info.Name(), d.mine)
		if strings.HasPrefix(info.Name(), partial) && isLeft && !beingWritten(path) {
			return ignoreNotExist(os.Remove(path))
		}
		return nil
	})
}

// lockFile keeps a file that is being written from being swept, until it is closed. Some network file systems have no
// locks: there only the file's time protects it.
func lockFile(file *os.File) { _ = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// beingWritten tells whether somebody holds a file's lock.
func beingWritten(path string) bool {
	// On network file systems only a writable file can be locked.
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// walk visits all files whose keys begin with a prefix, and nothing else: other directories may belong to other
// programs, or be unreadable for root, as lost+found is on a network file system that maps root to nobody. It skips a
// file that disappears meanwhile.
func (d *Directory) walk(ctx context.Context, prefix string, visit func(key string, info fs.FileInfo) error) error {
	below := filepath.Join(d.root, filepath.FromSlash(prefix[:strings.LastIndex(prefix, "/")+1]))
	return filepath.WalkDir(below, func(path string, entry fs.DirEntry, err error) error {
		beat(ctx)
		if err == nil {
			err = ctx.Err()
		}
		if path != below && errors.Is(err, fs.ErrPermission) && below != d.root {
			// This may be lost+found, if the cluster's directory is a mount point. No key of ours lies deeper.
			return fs.SkipDir
		}
		if err != nil || !entry.Type().IsRegular() {
			return ignoreNotExist(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreNotExist(err)
		}
		key, err := filepath.Rel(d.root, path)
		if err != nil {
			return err
		}
		if key = filepath.ToSlash(key); !strings.HasPrefix(key, prefix) {
			return nil
		}
		return visit(key, info)
	})
}

// ignoreNotExist returns the error, unless it says that something is gone already.
func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// path returns the path of a key.
func (d *Directory) path(key string) (string, error) {
	if !filepath.IsLocal(key) || strings.HasPrefix(filepath.Base(key), partial) {
		return "", fmt.Errorf("%q is no key of an object", key)
	}
	return filepath.Join(d.root, filepath.FromSlash(key)), nil
}

// mustBeThere refuses a directory that does not exist.
func (d *Directory) mustBeThere() error {
	info, err := os.Stat(d.root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("backup directory %s is not there: make it, or mount what belongs there: %w", d.root, ErrRefused)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("backup directory %s is no directory: %w", d.root, ErrRefused)
	}
	return nil
}

// minInodes is how many files and directories a backup needs, including temporary ones.
const minInodes = 8

// bigFile is the size from which a file has to leave room for others. Manifests and results of rehearsals are smaller,
// and describe files that exist already.
const bigFile = 1 << 20

// mustHaveSpace refuses a file without enough free space, before any of it is written.
func (d *Directory) mustHaveSpace(size int64) error {
	var space unix.Statfs_t
	if err := unix.Statfs(d.root, &space); err != nil {
		return fmt.Errorf("free space of %s: %w", d.root, err)
	}
	wants, leaving := size, ""
	if size >= bigFile && d.leaves > 0 {
		wants, leaving = size+d.leaves, fmt.Sprintf(", of which it leaves %d MiB to the member on that file system", mebibytes(d.leaves))
	}
	if free := int64(space.Bavail) * space.Frsize; free < wants {
		return fmt.Errorf("%s has %d MiB free, and the backup wants %d MiB%s: free some space, keep fewer backups, or give them a disk of their own: %w",
			d.root, free>>20, mebibytes(wants), leaving, ErrRefused)
	}
	if space.Files > 0 && space.Ffree < minInodes { // btrfs, and others, count none
		return fmt.Errorf("%s has %d inodes free, and the backup wants %d: remove some files: %w", d.root, space.Ffree, minInodes, ErrRefused)
	}
	return nil
}

// mebibytes converts bytes to MiB, rounded up.
func mebibytes(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// makeDirs creates a directory below the root, and syncs its name to disk.
func (d *Directory) makeDirs(dir string) error {
	if dir == d.root {
		return nil
	}
	if err := d.makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		return nil
	default:
		return err
	}
}

// syncDir syncs a directory's entries to disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	// Some network file systems cannot sync directories, and say so.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return errors.Join(err, d.Close())
	}
	return d.Close()
}

// withContext returns a reader that fails between two pieces once ctx has ended.
func withContext(ctx context.Context, from io.Reader) io.Reader { return contextReader{ctx, from} }

// contextReader is the reader that withContext returns.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(p)
}
