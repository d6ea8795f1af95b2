package etcdfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// databaseWait bounds the wait for the lock of a database, which a running etcd holds.
const databaseWait = 100 * time.Millisecond

// logTries and logPause repeat a reading: a record that a running etcd is writing looks damaged for a moment.
const (
	logTries = 3
	logPause = 50 * time.Millisecond
)

// Log reads what a member has written, whether the member runs or not: a running etcd only locks its database. The last
// entry is near the end of the last file, or, if that file has none yet, of the file before. So Log reads at most 128
// MiB.
func (d Data) Log(runs bool) *api.Log {
	var l api.Log
	for try := range logTries {
		l = d.ReadLog()
		if l.Error == "" || !runs || try == logTries-1 {
			break
		}
		time.Sleep(logPause)
	}
	var err error
	var read databaseState
	read, err = d.applied()
	l.Applied, l.Version, l.Corrupt, l.Revision = read.index, read.version, read.corrupt, read.revision
	if err != nil && !(runs && errors.Is(err, ErrInUse)) {
		l.DatabaseError = err.Error()
	}
	return &l
}

// ReadLog reads what a member's log says, without its database.
func (d Data) ReadLog() (l api.Log) {
	cluster, member, err := d.Identity()
	if err == nil {
		l.ClusterID, l.MemberID = api.FormatID(cluster), api.FormatID(member)
		l.Term, l.Index, err = d.LastEntry()
	}
	if err != nil {
		l.Error = err.Error()
	}
	return l
}

// Identity returns the IDs of the cluster and the member whose log a data directory holds. Every file of the log has
// them in its second record.
func (d Data) Identity() (cluster, member uint64, err error) {
	files := d.LogFiles()
	if len(files) == 0 {
		return 0, 0, fmt.Errorf("%s holds no log", LogDir(d.Dir))
	}
	last := files[len(files)-1]
	err = d.eachRecord(last, true, func(kind int64, data []byte) error {
		if kind != recordMetadata {
			return nil
		}
		f, err := parseFields(data)
		if err != nil {
			return err
		}
		member, cluster = f.numbers[1], f.numbers[2]
		return errEnough
	})
	if err == nil && (cluster == 0 || member == 0) {
		err = fmt.Errorf("%s does not say whose it is", last)
	}
	return cluster, member, err
}

// LastEntry returns the term and index at which a log ends. A later entry replaces all entries from its index on. A
// snapshot from the leader replaces all entries up to the snapshot's. The last file may have no entry of its own yet,
// and may have the record of a snapshot that is older than the entries in the file before.
func (d Data) LastEntry() (term, index uint64, err error) {
	var snapshotTerm, snapshotIndex uint64
	files := d.LogFiles()
	for i, file := range slices.Backward(files) {
		err := d.eachRecord(file, i == len(files)-1, func(kind int64, data []byte) error {
			if kind != recordEntry && kind != recordSnapshot {
				return nil
			}
			f, err := parseFields(data)
			if err != nil {
				return err
			}
			if kind == recordEntry {
				term, index = f.numbers[2], f.numbers[3]
			} else if f.numbers[1] > snapshotIndex {
				snapshotIndex, snapshotTerm = f.numbers[1], f.numbers[2]
			}
			return nil
		})
		if err != nil {
			return 0, 0, err
		}
		if index > 0 {
			break
		}
	}
	if snapshotIndex > index {
		return snapshotTerm, snapshotIndex, nil
	}
	return term, index, nil
}

// Database returns the path of a member's database.
func Database(dir string) string { return filepath.Join(dir, "member", "snap", "db") }

// ConsistentIndex returns the index of the last log entry that the database's file has applied, or 0 if there is no
// database.
func (d Data) ConsistentIndex() (uint64, error) {
	read, err := d.applied()
	return read.index, err
}

// databaseState is what a database's file says of its cluster.
type databaseState struct {
	index   uint64 // of the last log entry that was applied; 0: none
	version string // that the cluster had agreed on by then
	corrupt bool   // the CORRUPT alarm was raised by then
	// revision is the newest that clients can have seen; 0: not known
	revision int64
}

// applied reads the state of a database, or returns the zero value if there is no database.
func (d Data) applied() (databaseState, error) {
	var read databaseState
	if _, err := os.Lstat(d.path(Database(d.Dir))); errors.Is(err, fs.ErrNotExist) {
		return read, nil
	}
	err := d.view(func(p *pages) error {
		index, err := p.valueOf("meta", "consistent_index")
		if len(index) == 8 {
			read.index = binary.BigEndian.Uint64(index)
		}
		if err == nil {
			read.version, err = agreedVersion(p)
		}
		if err == nil {
			read.corrupt, err = holdsCorrupt(p)
		}
		if err == nil {
			var found Revisions
			found, err = revisionsOf(p)
			read.revision = found.Newest
		}
		return err
	})
	if err != nil {
		return databaseState{}, fmt.Errorf("open the database %s: %w", Database(d.Dir), err)
	}
	return read, nil
}
