//go:build !etcd3.6

package etcdfs

import (
	"errors"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
)

// raiseCommit marks all entries of an opened log as committed.
func raiseCommit(log *wal.WAL) error {
	_, state, entries, err := log.ReadAll()
	if err != nil || len(entries) == 0 {
		return err
	}
	last := entries[len(entries)-1].GetIndex()
	if state.GetCommit() >= last {
		return nil
	}
	state.Commit = &last
	return errors.Join(log.Save(state, nil), log.Sync())
}

// commitIn returns the index of the last committed entry.
func commitIn(state *raftpb.HardState) uint64 { return state.GetCommit() }
