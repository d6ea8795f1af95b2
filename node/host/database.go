package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// errInUse is what a database says that a process has open.
var errInUse = errors.New("a process has it open")

// viewDatabase reads a database that lies at a path of this process. What is damaged in it may lead a reader
// anywhere, also behind the end of the file: that is an error too.
func viewDatabase(path string, view func(*bbolt.Tx) error) error {
	return viewOpened(path, nil, view)
}

// viewData reads the database in a data directory at a path of this process.
func viewData(dir string, view func(*bbolt.Tx) error) error {
	open := func(string, int, os.FileMode) (*os.File, error) {
		return inside.OpenFile(database(dir), os.O_RDONLY, 0)
	}
	return viewOpened(database(dir), open, view)
}

// viewOpened reads a database that is opened by a function; nil: as files are.
func viewOpened(path string, open func(string, int, os.FileMode) (*os.File, error), view func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it is damaged: %v", r)
		}
	}()
	db, err := bbolt.Open(path, keyFile, &bbolt.Options{ReadOnly: true, Timeout: databaseWait, OpenFile: open})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return errInUse
	}
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(view)
}

// revisions are those that a database knows of.
type revisions struct {
	newest  int64 // that clients were served
	stored  int64 // the newest that is still in it: what it is raised from
	compact int64 // up to which it is compacted, or about to be; -1: it was never
}

// revisionsIn reads a database of etcd's at a path of this process. A compaction may have dropped the newest
// revision, where it had deleted a key.
func revisionsIn(path string) (revisions, error) {
	return revisionsBy(func(read func(*bbolt.Tx) error) error { return viewDatabase(path, read) })
}

// revisionsInData reads the database in a data directory at a path of this process.
func revisionsInData(dir string) (revisions, error) {
	return revisionsBy(func(read func(*bbolt.Tx) error) error { return viewData(dir, read) })
}

func revisionsBy(view func(read func(*bbolt.Tx) error) error) (revisions, error) {
	found := revisions{newest: 1, compact: -1} // a database in which nothing was written is at 1
	err := view(func(tx *bbolt.Tx) error {
		if keys := tx.Bucket([]byte("key")); keys != nil {
			// Each record is called by its revision, which begins with the main one.
			if last, _ := keys.Cursor().Last(); len(last) >= 8 {
				found.stored = int64(binary.BigEndian.Uint64(last))
			}
		}
		if meta := tx.Bucket([]byte("meta")); meta != nil {
			for _, name := range []string{"scheduledCompactRev", "finishedCompactRev"} {
				if value := meta.Get([]byte(name)); len(value) >= 8 {
					found.compact = max(found.compact, int64(binary.BigEndian.Uint64(value)))
				}
			}
		}
		return nil
	})
	found.newest = max(found.newest, found.stored, found.compact)
	return found, err
}

// wasRaised tells whether a restore has raised the revisions in a database: it left an empty record, which etcd's
// own tools count as a key, and no client can see.
func wasRaised(path string) (bool, error) {
	raised := false
	err := viewDatabase(path, func(tx *bbolt.Tx) error {
		keys := tx.Bucket([]byte("key"))
		if keys == nil {
			return nil
		}
		return keys.ForEach(func(_, value []byte) error {
			raised = raised || len(value) == 0
			return nil
		})
	})
	return raised, err
}

// holdsCorrupt tells whether a database holds the CORRUPT alarm. Each key of the bucket is an alarm, as
// etcdserverpb.AlarmMember.
func holdsCorrupt(tx *bbolt.Tx) (bool, error) {
	alarms := tx.Bucket([]byte("alarm"))
	if alarms == nil {
		return false, nil
	}
	found := false
	err := alarms.ForEach(func(key, _ []byte) error {
		alarm, err := parseFields(key)
		found = found || alarm.numbers[2] == uint64(etcdserverpb.AlarmType_CORRUPT)
		return err
	})
	return found, err
}

// takeAlarmsOut takes the alarms out of a restored database, at a path of this process. They tell of members that there
// are no more, and would have the new ones take no writes.
func takeAlarmsOut(path string) error {
	db, err := bbolt.Open(path, keyFile, &bbolt.Options{Timeout: databaseWait})
	if err != nil {
		return fmt.Errorf("take the alarms out of its database: %w", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		alarms := tx.Bucket([]byte("alarm"))
		if alarms == nil {
			return nil
		}
		var raised [][]byte
		err := alarms.ForEach(func(alarm, _ []byte) error {
			raised = append(raised, bytes.Clone(alarm))
			return nil
		})
		for _, alarm := range raised {
			err = errors.Join(err, alarms.Delete(alarm))
		}
		return err
	})
	return errors.Join(err, db.Close())
}

// agreedVersion is the version that the cluster of a database had agreed on: 3.7.0. Empty: none yet. etcd of an older line
// does not start from it.
func agreedVersion(tx *bbolt.Tx) string {
	cluster := tx.Bucket([]byte("cluster"))
	if cluster == nil {
		return ""
	}
	return string(cluster.Get([]byte("clusterVersion")))
}

// membersIn are the IDs of the members that the database of a member that does not run knows of, hexadecimal and sorted.
func (m *Machine) membersIn(dir string) (ids []string, err error) {
	err = viewData(m.path(dir), func(tx *bbolt.Tx) error {
		members := tx.Bucket([]byte("members"))
		if members == nil {
			return nil
		}
		return members.ForEach(func(id, _ []byte) error {
			ids = append(ids, string(id))
			return nil
		})
	})
	return ids, err
}

// highestRevision is one that no client can have seen a higher one than, of a member that does not run: each entry
// of its log that its database has not applied yet, or had not written yet when it was killed, raised the revision by
// one at most. 0: there is no data that can be read.
func (m *Machine) highestRevision(dir string) (int64, error) {
	if !m.hasMember(dir) {
		return 0, nil
	}
	found := revisions{newest: 1}
	if _, err := os.Lstat(m.path(database(dir))); err == nil {
		found, err = revisionsInData(m.path(dir))
		if errors.Is(err, errInUse) {
			return 0, fmt.Errorf("database %s: %w: it was not started by its unit; end it", database(dir), err)
		}
		if err != nil {
			return 0, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	l := m.log(dir, false)
	if l.Error != "" || l.DatabaseError != "" {
		return 0, nil
	}
	return found.newest + int64(l.Index-min(l.Applied, l.Index)), nil
}
