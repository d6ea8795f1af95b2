package etcdfs

import (
	"errors"
	"io"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// Agree marks all entries of a log as committed. path is the log's directory, as a path of this process.
func Agree(path string) error {
	err := agree(path)
	if errors.Is(err, io.ErrUnexpectedEOF) && wal.Repair(zap.NewNop(), path) {
		// The last record is incomplete. etcd itself truncates it at a start.
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
