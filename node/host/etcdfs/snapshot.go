package etcdfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// VerifySnapshot verifies a snapshot at a path of this process. Errors call the snapshot by name.
func VerifySnapshot(name, path string) (api.Snapshot, error) {
	file, err := inside.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return api.Snapshot{}, fmt.Errorf("verify snapshot %s: %w", name, err)
	}
	defer file.Close()
	s := api.NewChecksum()
	if _, err := io.Copy(s, file); err != nil {
		return api.Snapshot{}, fmt.Errorf("verify snapshot %s: %w", name, err)
	}
	return Verify(name, inside.PathOf(file), s)
}

// Verify verifies a snapshot at a path of this process, whose checksum was taken while the snapshot was written there.
// It compares the sum at the end of the file, which etcd's own status ignores, and reads key by key. The sum comes
// first, since etcd's code for reading keys may crash on a truncated file.
func Verify(name, path string, s *api.Checksum) (api.Snapshot, error) {
	whole, err := s.Sum()
	if err != nil {
		return api.Snapshot{}, fmt.Errorf("verify snapshot %s: %w", name, err)
	}
	read, err := statusOf(path)
	if err != nil {
		return api.Snapshot{}, fmt.Errorf("verify snapshot %s: read its keys: %w", name, err)
	}
	return api.Snapshot{SHA256: whole, SizeBytes: s.Size, Revision: read.Revision, Keys: read.TotalKey, Version: read.Version}, nil
}

// statusOf reads all keys of a snapshot at a path of this process, and counts the keys that clients can see.
func statusOf(path string) (read snapshot.Status, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it is damaged: %v", r)
		}
	}()
	file, err := os.Open(path)
	if err != nil {
		return read, err
	}
	release, err := Prefault(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return read, err
	}
	defer func() { err = errors.Join(err, release()) }()
	raised, err := examine(path)
	if err != nil {
		return read, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // the file is truncated meanwhile, or its disk fails
	if read, err = snapshot.NewV3(zap.NewNop()).Status(path); err != nil {
		return read, err
	}
	if raised {
		read.TotalKey--
	}
	read.Version, err = neededVersion(path, read.Version)
	return read, err
}

// neededVersion returns the version of the oldest etcd that starts from a snapshot: the newer of the snapshot's storage
// version and the version that its cluster had agreed on. etcd writes the storage version some time after the other,
// and before 3.6 not at all.
func neededVersion(path, storage string) (string, error) {
	needed := storage
	err := viewDatabase(path, func(p *pages) error {
		agreed, err := agreedVersion(p)
		if err != nil {
			return err
		}
		// An invalid storage version counts as the oldest.
		if api.IsVersion(agreed) && (!api.IsVersion(storage) || api.CompareVersions(api.Minor(agreed), api.Minor(storage)) > 0) {
			needed = agreed
		}
		return nil
	})
	return needed, err
}
