package etcdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"

	"golang.org/x/sys/unix"
)

// lockedShare is how many bytes of a database are read while its lock is held: an etcd that starts meanwhile waits for
// the lock, and for no longer than that takes.
const lockedShare = 16 << 20

// damagedDatabase wants a database of which all pages can be read, and in which each key is one. One that is missing
// etcd makes anew from the log, unless that begins with a snapshot. It is read on from where an earlier look has come
// to.
func (d Data) damagedDatabase(ctx context.Context, at *Position) error {
	switch _, err := os.Stat(d.path(Database(d.Dir))); {
	case errors.Is(err, fs.ErrNotExist):
		if snapshots, _ := filepath.Glob(d.path(filepath.Join(filepath.Dir(Database(d.Dir)), "*.snap*"))); len(snapshots) > 0 {
			return Damaged(fmt.Sprintf("its database %s is missing", Database(d.Dir)))
		}
		return nil
	case err != nil:
		return err
	}
	return d.ReadAll(ctx, at, mayBe)
}

// Position is how far a database has been read.
type Position struct {
	Bucket []byte `json:"bucket,omitempty"` // nil: nothing of it
	Key    []byte `json:"key,omitempty"`
}

// ReadAll has all records of a database looked at.
//
// The member may be started at any time, and must not wait until all is read: the lock is held for the first records
// alone. What is read after that may be torn by what etcd writes meanwhile, so whatever is wrong with it is read anew
// from there on, under the lock: wrong is what is wrong then.
func (d Data) ReadAll(ctx context.Context, at *Position, look func(bucket string, key, value []byte) error) error {
	for {
		locked, err := d.readFrom(ctx, at, look)
		if locked || err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// readFrom reads a database on from where an earlier reading has come to. It says whether it held the lock when it
// ended.
func (d Data) readFrom(ctx context.Context, at *Position, look func(bucket string, key, value []byte) error) (locked bool, err error) {
	locked = true
	runtime.LockOSThread() // whose disk priority it is
	defer runtime.UnlockOSThread()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = d.panicked(ctx, r)
		}
	}()
	file, err := d.openDatabase()
	if err != nil {
		return locked, err
	}
	defer file.Close()
	mapped, unmap, err := mapDatabase(file)
	if err != nil {
		return locked, err
	}
	defer func() { err = errors.Join(err, unmap()) }()
	share, yielded := lockedShare, func() {}
	defer func() { yielded() }()
	all, err := pagesOf(mapped)
	if err == nil {
		err = all.eachRecord(*at, func(bucket string, key, value []byte) error {
			if bucket != string(at.Bucket) {
				*at = Position{Bucket: []byte(bucket)}
			}
			err := ctx.Err()
			if err == nil {
				err = look(bucket, key, value)
			}
			if err != nil {
				return err
			}
			at.Key = append(at.Key[:0], key...)
			if share -= len(key) + len(value); share < 0 && locked {
				if err := unix.Flock(int(file.Fd()), unix.LOCK_UN); err != nil {
					return err
				}
				locked = false
				// Whoever serves, here too, goes first. Not while the lock is held: who waits for that would wait for
				// them as well.
				yielded = diskPriority(ioIdle)
			}
			return nil
		})
	}
	if wrong := malformed(""); errors.As(err, &wrong) {
		err = Damaged(fmt.Sprintf("its database %s is damaged: %s", Database(d.Dir), wrong))
	}
	return locked, err
}

// ioIdle is the class of disk access that goes after all others.
const ioIdle = 3

// diskPriority gives this thread a class of disk access, and returns what undoes that. It is a favour to others: where
// the kernel has none of this, nothing is lost.
func diskPriority(class uintptr) func() {
	const thisThread, classAt = 1, 13
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, thisThread, 0, class<<classAt)
	return func() { _, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, thisThread, 0, 0) }
}

// panicked is what is wrong with a database that could not be read. It is memory that the file is mapped to, where a
// disk that fails looks as a file that is too short does: only reading it tells the two apart.
func (d Data) panicked(ctx context.Context, r any) error {
	if _, fault := r.(interface{ Addr() uintptr }); fault {
		file, err := d.openDatabase()
		if err != nil {
			return err
		}
		defer file.Close()
		if err := readThrough(ctx, file); err != nil {
			return fmt.Errorf("read the database %s: %w", Database(d.Dir), err)
		}
	}
	return Damaged(fmt.Sprintf("its database %s is damaged: %v", Database(d.Dir), r))
}

// readThrough reads all there is.
func readThrough(ctx context.Context, from io.Reader) error {
	for piece := make([]byte, 1<<20); ; {
		_, err := from.Read(piece)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// mayBe wants a record that etcd can read.
func mayBe(bucket string, key, value []byte) error {
	if bucket != "key" {
		_ = slices.Max(append([]byte{0}, value...)) // all of it is touched
		return nil
	}
	if _, err := parseFields(value); err != nil || len(key) < 17 {
		return Damaged(fmt.Sprintf("the record %x of its database cannot be read", key))
	}
	return nil
}
