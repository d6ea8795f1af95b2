package etcdfs

import (
	"errors"
	"io"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// Agree has all that a log holds, in a directory at a path of this process, count as agreed on.
func Agree(path string) error {
	err := agree(path)
	if errors.Is(err, io.ErrUnexpectedEOF) && wal.Repair(zap.NewNop(), path) {
		// The last record was not written to its end. etcd itself cuts it off when it starts.
		err = agree(path)
	}
	return err
}

func agree(path string) error {
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), path)
	if err != nil {
		return err
	}
	if len(snapshots) == 0 {
		return errors.New("it does not say where it begins")
	}
	log, err := wal.Open(zap.NewNop(), path, snapshots[len(snapshots)-1])
	if err != nil {
		return err
	}
	return errors.Join(raiseCommit(log), log.Close())
}
