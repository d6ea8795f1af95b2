package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// copySpare is the space that stays free beside a copy of the data, for the member, which goes on writing.
const copySpare = 256 << 20

// CopyAside copies a data directory to where data is moved aside to, and returns where the copy lies. The copy gets its
// name only once it is complete and synced.
func (d Dir) CopyAside(why string) (string, error) {
	names, err := d.Contents()
	if err != nil {
		return "", err
	}
	to, err := d.PathAside(why)
	if err != nil {
		return "", err
	}
	bytes, err := d.roomForCopy(why)
	if err != nil {
		return "", err
	}
	next, err := d.PathUnfinished(why)
	if err != nil {
		return "", err
	}
	reserved, err := d.disks().ReserveIn(filepath.Dir(next), bytes)
	if err != nil {
		return "", err
	}
	err = reserved.GiveWay(next, func() error { return d.copyNames(d.Path, next, names) })
	if err = errors.Join(err, reserved.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("copy %s to %s: %w", d.Path, next, err), files.RemoveAll(d.Files.Path(next)))
	}
	if err := d.Files.Move(next, to); err != nil {
		return "", err
	}
	return to, files.SyncDir(d.Files.Path(filepath.Dir(to)))
}

// MustHoldCopy refuses a copy of a data directory for which there is no space.
func (d Dir) MustHoldCopy(why string) error {
	_, err := d.roomForCopy(why)
	return err
}

// roomForCopy returns how many bytes a copy takes, for which there is space. It removes what an interrupted CopyAside
// has left, which takes the room of the next one.
func (d Dir) roomForCopy(why string) (bytes int64, err error) {
	next, err := d.PathUnfinished(why)
	if err != nil {
		return 0, err
	}
	if err := files.RemoveAll(d.Files.Path(next)); err != nil {
		return 0, err
	}
	names, err := d.Contents()
	if err != nil {
		return 0, err
	}
	var number int64
	for _, name := range names {
		size, files, err := d.size(filepath.Join(d.Path, name))
		if err != nil {
			return 0, err
		}
		bytes, number = bytes+size, number+files
	}
	return bytes, d.disks().MustHoldFiles(filepath.Dir(next), bytes+copySpare, number+disks.FewFiles, "a copy of the data in "+d.Path)
}

// size returns the size of a tree, with what lies behind links that a copy follows, and how many files these are. It
// returns an error for a link that a copy does not follow.
func (d Dir) size(path string) (bytes, number int64, err error) {
	around, name, err := inside.Around(d.Files.Path(path))
	if err != nil {
		return 0, 0, err
	}
	defer around.Close()
	var walk func(*inside.Dir, string) error
	walk = func(in *inside.Dir, name string) error {
		below, err := in.Root()
		if err != nil {
			return err
		}
		defer below.Close()
		return fs.WalkDir(below.FS(), name, func(at string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a running member has removed it meanwhile
			}
			if err != nil {
				return err
			}
			number++
			if entry.Type() == fs.ModeSymlink && in == around {
				return behind(in, at, func(target *inside.Dir) error { return walk(target, ".") })
			}
			info, err := entry.Info()
			if err != nil {
				return nil // likewise
			}
			if !info.IsDir() && !info.Mode().IsRegular() {
				return strange(filepath.Join(in.Name(), at))
			}
			if !info.IsDir() {
				bytes += info.Size()
			}
			return nil
		})
	}
	if info, err := around.Lstat(name); err == nil && info.Mode().Type() == fs.ModeSymlink {
		return bytes, number, behind(around, name, func(target *inside.Dir) error { return walk(target, ".") })
	}
	return bytes, number, walk(around, name)
}

// strange is the error of what is in a data directory and is not copied.
func strange(path string) error {
	return fmt.Errorf("%s is neither a file nor a directory, nor root's link to one: a member does not make that; move it elsewhere", path)
}

// behind calls do for the directory behind a link in another one, which root must have made.
func behind(in *inside.Dir, link string, do func(*inside.Dir) error) error {
	target, err := inside.Open(filepath.Join(in.Name(), link))
	if err != nil {
		return err
	}
	return errors.Join(do(target), target.Close())
}

// copyNames copies the entries with these names into a new directory, which belongs to root until all is in it, and
// syncs it.
func (d Dir) copyNames(from, to string, names []string) error {
	source, err := inside.Open(d.Files.Path(from))
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := d.Files.NewDir(to)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := copyBetween(source, target, names); err != nil {
		return err
	}
	info, err := source.Stat()
	if err != nil {
		return err
	}
	owner := files.OwnerOf(info)
	return errors.Join(target.Own(owner.UID, owner.GID, info.Mode().Perm()), target.Sync())
}

func copyBetween(source, target *inside.Dir, names []string) error {
	in, err := source.Root()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := target.Root()
	if err != nil {
		return err
	}
	defer out.Close()
	for _, name := range names {
		if err := copyTree(source, in, out, name); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies a file, or a directory and all that is in it, with owners and modes, and syncs the copy. A copied
// directory gets its owner once all is in it. A directory behind a link of root's, such as one that gives the log a
// disk of its own, is a directory of the copy. source is what in is; nil: links are not followed.
func copyTree(source *inside.Dir, in, out *os.Root, name string) error {
	info, err := in.Lstat(name)
	if err != nil {
		return err
	}
	switch {
	case info.Mode().IsRegular():
		return copyFile(in, out, name, info)
	case info.Mode().Type() == fs.ModeSymlink && source != nil:
		return behind(source, name, func(target *inside.Dir) error { return copyTarget(target, out, name) })
	case !info.IsDir():
		return strange(name)
	}
	if err := out.Mkdir(name, files.DataMode); err != nil {
		return err
	}
	entries, err := fs.ReadDir(in.FS(), name)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := copyTree(source, in, out, filepath.Join(name, entry.Name())); err != nil {
			return err
		}
	}
	return finish(out, name, info)
}

// finish gives a copied directory the owner and mode of the one that it was copied from, and syncs it.
func finish(out *os.Root, name string, from fs.FileInfo) error {
	owner := files.OwnerOf(from)
	return errors.Join(out.Lchown(name, owner.UID, owner.GID), out.Chmod(name, from.Mode().Perm()), inside.SyncIn(out, name))
}

// copyTarget copies a directory that was opened.
func copyTarget(target *inside.Dir, out *os.Root, name string) error {
	if err := out.Mkdir(name, files.DataMode); err != nil {
		return err
	}
	into, err := out.OpenRoot(name)
	if err != nil {
		return err
	}
	defer into.Close()
	in, err := target.Root()
	if err != nil {
		return err
	}
	defer in.Close()
	entries, err := target.ReadDir()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := copyTree(nil, in, into, entry.Name()); err != nil {
			return err
		}
	}
	info, err := target.Stat()
	if err != nil {
		return err
	}
	return finish(out, name, info)
}

// copyFile copies a file, sharing its blocks where the file system can.
func copyFile(from, to *os.Root, name string, info fs.FileInfo) error {
	in, err := inside.OpenIn(from, name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, files.KeyFile)
	if err != nil {
		return err
	}
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) != nil {
		_, err = io.Copy(out, in)
	}
	owner := files.OwnerOf(info)
	return errors.Join(err, out.Chown(owner.UID, owner.GID), out.Chmod(info.Mode().Perm()), out.Sync(), out.Close())
}

// purgeLog deletes the files of a log, which may lie behind a link of root's that gives it a disk of its own.
func (d Dir) purgeLog() error {
	log, err := inside.Open(d.Files.Path(etcdfs.LogDir(d.Path)))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, inside.ErrLink) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	entries, err := log.ReadDir()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if kind := filepath.Ext(entry.Name()); kind == ".wal" || kind == ".tmp" || kind == ".broken" {
			err = errors.Join(err, log.Remove(entry.Name()))
		}
	}
	return errors.Join(err, log.Sync())
}
