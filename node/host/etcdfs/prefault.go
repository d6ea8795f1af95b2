package etcdfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Prefault has the kernel read a database that is open, and may be closed then, from its first byte to its last, and
// keep it at hand until it is let go, as far as there is memory: etcd maps its own in the same way. bbolt has each page
// read on its own, when it is desired (MADV_RANDOM), which took 5 s more for 2 GB of which a sixth had left the cache.
func Prefault(file *os.File) (letGo func() error, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map %s into memory: %w", file.Name(), err)
	}
	return func() error { return unix.Munmap(data) }, nil
}
