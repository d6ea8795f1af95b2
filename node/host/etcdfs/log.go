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

// databaseWait bounds the wait for a database that a running etcd has locked for itself.
const databaseWait = 100 * time.Millisecond

// A record that a running etcd is in the middle of writing reads as a damaged one for a moment.
const (
	logTries = 3
	logPause = 50 * time.Millisecond
)

// Log is what a member has written, read in the same way whether it runs or not: the log is read beside a running etcd,
// whose database alone is closed to readers. Its last entry is near the end of its last file, or, where that was begun
// just before the end, of the one before: no more than 128 MiB are read.
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
	l.Applied, l.Version, l.Corrupt = read.index, read.version, read.corrupt
	if err != nil && !(runs && errors.Is(err, ErrInUse)) {
		l.DatabaseError = err.Error()
	}
	return &l
}

// ReadLog is what a member's log says, its database aside.
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

// Identity is whose log a data directory holds: every file of it says so in its second record.
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

// LastEntry is where a log ends. An entry that was written later takes the place of all from its index on; a snapshot
// from the leader, that of all up to its. A file may have no entry of its own yet, and say of a snapshot that was taken
// before its time.
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

// Database is the file of a member's database.
func Database(dir string) string { return filepath.Join(dir, "member", "snap", "db") }

// ConsistentIndex is how far a database has applied the log, as it is in its file. 0: there is none.
func (d Data) ConsistentIndex() (uint64, error) {
	read, err := d.applied()
	return read.index, err
}

// databaseState is what a database has of its cluster, as it is in its file.
type databaseState struct {
	index   uint64 // of the last entry of the log that it has applied; 0: none
	version string // that the cluster had agreed on by then
	corrupt bool   // the CORRUPT alarm was raised by then
}

// applied reads how far a database has come. The zero value: there is none.
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
		return err
	})
	if err != nil {
		return databaseState{}, fmt.Errorf("open the database %s: %w", Database(d.Dir), err)
	}
	return read, nil
}
