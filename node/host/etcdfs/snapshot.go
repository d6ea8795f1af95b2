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

// VerifySnapshot verifies a snapshot at a path of this process. Errors call it by its name.
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

// Verify verifies a snapshot whose checksum was taken on its way to a path of this process: by the sum that it
// ends in, which etcd's own status does not look at, and key by key. The sum comes first, since the other does not
// survive a file that was cut off.
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

// statusOf reads all keys of a snapshot at a path of this process, and counts those that clients can see.
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
	letGo, err := Prefault(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return read, err
	}
	defer func() { err = errors.Join(err, letGo()) }()
	raised, err := examine(path)
	if err != nil {
		return read, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // the file is cut off meanwhile, or its disk fails
	if read, err = snapshot.NewV3(zap.NewNop()).Status(path); err != nil {
		return read, err
	}
	if raised {
		read.TotalKey--
	}
	read.Version, err = neededVersion(path, read.Version)
	return read, err
}

// neededVersion is that of the oldest etcd that starts from a snapshot: the newer of its storage version and the one
// that its cluster had agreed on. etcd writes the first some time after the second, and before 3.6 not at all.
func neededVersion(path, storage string) (string, error) {
	needed := storage
	err := viewDatabase(path, func(p *pages) error {
		agreed, err := agreedVersion(p)
		if err != nil {
			return err
		}
		// A storage version that is none is the smallest.
		if api.IsVersion(agreed) && (!api.IsVersion(storage) || api.CompareVersions(api.Minor(agreed), api.Minor(storage)) > 0) {
			needed = agreed
		}
		return nil
	})
	return needed, err
}
