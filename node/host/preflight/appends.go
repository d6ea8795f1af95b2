package preflight

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// How many appends are timed: as many as a second allows, so that a preflight takes no longer on a slow disk, and no
// more than are needed for a percentile.
const (
	mostAppends    = 1000
	longestAppends = time.Second
)

// timeAppends appends to a file on the file system of a directory, which need not be there yet, as etcd appends to its
// log: in a file whose space is reserved, with an fdatasync after each append.
func (h Host) timeAppends(ctx context.Context, dir string) (api.Appends, error) {
	nearest, err := h.Files.Nearest(dir)
	if err != nil {
		return api.Appends{}, err
	}
	file, err := nameless(nearest)
	if err != nil {
		return api.Appends{}, fmt.Errorf("append to a file in %s: %w", nearest, err)
	}
	defer file.Close()
	// As in etcd, the appends do not change the file's size. A file system that reserves nothing is timed as it is.
	if err := unix.Fallocate(int(file.Fd()), 0, 0, mostAppends*api.AppendBytes); errors.Is(err, unix.ENOSPC) {
		return api.Appends{}, fmt.Errorf("reserve space for a file in %s: %w", nearest, err)
	}
	entry := make([]byte, api.AppendBytes)
	if _, err := rand.Read(entry); err != nil { // zeros would cost some disks nothing
		return api.Appends{}, err
	}
	var took []time.Duration
	for begun := time.Now(); len(took) < mostAppends && ctx.Err() == nil && (len(took) == 0 || time.Since(begun) < longestAppends); {
		start := time.Now()
		if _, err := file.Write(entry); err != nil {
			return api.Appends{}, fmt.Errorf("append to a file in %s: %w", nearest, err)
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return api.Appends{}, fmt.Errorf("sync a file in %s: %w", nearest, err)
		}
		took = append(took, time.Since(start))
	}
	if err := ctx.Err(); err != nil {
		return api.Appends{}, err
	}
	slices.Sort(took)
	return api.Appends{Count: len(took), P50: percentile(took, 50), P99: percentile(took, 99), Max: took[len(took)-1]}, nil
}

// percentile returns the value that p percent of the sorted values do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}

// namePrefix begins the names of files for the moment that they have one.
const namePrefix = ".etcd-store-preflight-"

// nameless returns a new file in a directory that is gone once this process ends, however it ends. Some file systems
// make no file without a name: there a kill in the moment that the file has one leaves it, empty, and the next
// preflight removes it.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EINVAL) {
		return nil, err
	}
	return unlinked(dir)
}

// unlinked is nameless for file systems that make no file without a name.
func unlinked(dir string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), namePrefix) && entry.Type().IsRegular() {
			if err := root.Remove(entry.Name()); err != nil {
				return nil, err
			}
		}
	}
	name := namePrefix + rand.Text()
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := root.Remove(name); err != nil {
		return nil, errors.Join(fmt.Errorf("remove %s: %w", filepath.Join(dir, name), err), file.Close())
	}
	return file, nil
}
