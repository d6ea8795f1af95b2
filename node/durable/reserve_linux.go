package durable

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Reserve reserves this many bytes for a file that is about to be written, so that others that check the free space of
// the file system find them taken. It returns ENOSPC if there are not as many, and reserves nothing then. On a file
// system that cannot reserve space, it does nothing.
func Reserve(file *os.File, bytes int64) error {
	if bytes <= 0 {
		return nil
	}
	if err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bytes); errors.Is(err, unix.ENOSPC) {
		return errors.Join(&os.PathError{Op: "reserve", Path: file.Name(), Err: err}, Release(file))
	}
	return nil
}

// flush waits until a part of a file is written to its storage, which is less than a sync. Where that cannot be asked
// for, it does nothing.
func flush(file *os.File, from, bytes int64) error {
	err := unix.SyncFileRange(int(file.Fd()), from, bytes, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err // which no sync reports once more
}

// Release frees what was reserved for a file and is not part of it. A file without a reservation keeps its times, and
// never has another length.
func Release(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	block := int64(stat.Blksize)
	if stat.Blocks*512 <= (info.Size()+block-1)/block*block {
		return nil
	}
	// Some file systems keep what lies beyond the end of a file that is truncated to its own length.
	return errors.Join(file.Truncate(info.Size()+1), file.Truncate(info.Size()))
}
