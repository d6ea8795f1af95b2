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

// lockedShare is how many bytes of a database are read while it is locked. An etcd that is started meanwhile waits for
// the lock, and no longer than it takes to read these bytes.
const lockedShare = 16 << 20

// damagedDatabase returns an error if a page or a record of the database cannot be read. It resumes from where an
// earlier check has stopped. If the database is missing, etcd makes a new one from the log, unless the log begins with
// a snapshot.
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
	return d.ReadAll(ctx, at, checkRecord)
}

// Position is how far a database has been read.
type Position struct {
	Bucket []byte `json:"bucket,omitempty"` // nil: nothing was read
	Key    []byte `json:"key,omitempty"`
}

// ReadAll calls look for all records of a database, from a position on.
//
// The member may be started at any time and must not wait until all is read, so only the first records are read under
// the database's lock. What is read afterwards may be torn by etcd's own writes, so ReadAll reads from the first bad
// record on again, under the lock, and only reports what is wrong then.
func (d Data) ReadAll(ctx context.Context, at *Position, look func(bucket string, key, value []byte) error) error {
	for {
		locked, err := d.readFrom(ctx, at, look)
		if locked || err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// readFrom reads a database from a position on, once. locked says whether readFrom held the database's lock when it
// ended.
func (d Data) readFrom(ctx context.Context, at *Position, look func(bucket string, key, value []byte) error) (locked bool, err error) {
	locked = true
	runtime.LockOSThread() // diskPriority is of this thread
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
				// From here on, all other users of the disk go first. Under the lock they would not: an etcd that waits
				// for the lock would wait for them too.
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

// ioIdle is the scheduling class of disk access that goes after all others.
const ioIdle = 3

// diskPriority sets the class of disk access of this thread, and returns a function that resets it. It ignores errors:
// a kernel without these classes only treats the access as any other.
func diskPriority(class uintptr) func() {
	const thisThread, classAt = 1, 13
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, thisThread, 0, class<<classAt)
	return func() { _, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, thisThread, 0, 0) }
}

// panicked returns the error that a panic during a reading stands for. A failing disk and a truncated file both fault
// in mapped memory. panicked reads the file to tell the two apart.
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

// readThrough reads to the end, and returns the first error.
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

// checkRecord returns an error if etcd cannot read a record.
func checkRecord(bucket string, key, value []byte) error {
	if bucket != "key" {
		_ = slices.Max(append([]byte{0}, value...)) // reads every byte
		return nil
	}
	if _, err := nameIn(value); err != nil || len(key) < 17 {
		return Damaged(fmt.Sprintf("the record %x of its database cannot be read", key))
	}
	return nil
}
