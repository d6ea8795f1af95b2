//go:build etcd3.6

package host

import (
	"errors"

	"go.etcd.io/etcd/server/v3/storage/wal"
)

// raiseCommit has a log that was opened count its last entry as agreed on.
func raiseCommit(log *wal.WAL) error {
	_, state, entries, err := log.ReadAll()
	if err != nil || len(entries) == 0 {
		return err
	}
	last := entries[len(entries)-1].Index
	if state.Commit >= last {
		return nil
	}
	state.Commit = last
	return errors.Join(log.Save(state, nil), log.Sync())
}
