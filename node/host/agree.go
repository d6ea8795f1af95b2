package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// agree has all that a member has logged count as agreed on. A member that is started alone by force drops
// what it does not know to be agreed on, and it learns that late: what its leader has acknowledged just
// before it died would be among that.
func (m *Machine) agree(dir string) error {
	path := m.path(walDir(dir))
	err := openForAgreement(path)
	if errors.Is(err, io.ErrUnexpectedEOF) && wal.Repair(zap.NewNop(), path) {
		// The last record was not written to its end. etcd itself cuts it off when it starts.
		err = openForAgreement(path)
	}
	if err != nil {
		return fmt.Errorf("have what %s holds count as agreed on: %w", walDir(dir), err)
	}
	return ownLike(path)
}

func openForAgreement(path string) error {
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

// ownLike gives what lies in a directory to the owner of the directory: a log that is opened by root may
// have got files of root's.
func ownLike(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner := ownerOf(info)
	return eachInside(dir, func(root *os.Root, name string, _ fs.FileInfo) error {
		return root.Lchown(name, owner.UID, owner.GID)
	})
}
