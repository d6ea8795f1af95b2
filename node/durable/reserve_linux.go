package durable

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Reserve sets so many bytes aside for a file that is to be written, so that others who look for room on its file system
// find them taken. An error is ENOSPC: there are not so many. Where the file system can set nothing aside, it is first
// come, first served. What could be set aside of too much is given back: others live on the same disk.
func Reserve(file *os.File, bytes int64) error {
	if bytes <= 0 {
		return nil
	}
	if err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bytes); errors.Is(err, unix.ENOSPC) {
		return errors.Join(&os.PathError{Op: "reserve", Path: file.Name(), Err: err}, Release(file))
	}
	return nil
}

// Release gives back what was set aside for a file, and is not in it. A file for which nothing was set aside keeps its
// times, and is at no moment of another length.
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
	// Not all file systems let go of what lies behind the end of a file that is given the length that it has.
	return errors.Join(file.Truncate(info.Size()+1), file.Truncate(info.Size()))
}
