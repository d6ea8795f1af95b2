package etcdfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// ErrInUse is what a database says that a process has open.
var ErrInUse = errors.New("a process has it open")

// viewDatabase reads a database that lies at a path of this process. What is damaged in it may lead a reader
// anywhere, also behind the end of the file: that is an error too.
func viewDatabase(path string, view func(*bbolt.Tx) error) error {
	return viewOpened(path, nil, view)
}

// view reads the database.
func (d Data) view(view func(*bbolt.Tx) error) error {
	path := d.path(Database(d.Dir))
	open := func(string, int, os.FileMode) (*os.File, error) { return inside.OpenFile(path, os.O_RDONLY, 0) }
	return viewOpened(path, open, view)
}

// viewOpened reads a database that is opened by a function; nil: as files are.
func viewOpened(path string, open func(string, int, os.FileMode) (*os.File, error), view func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it is damaged: %v", r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: databaseWait, OpenFile: open})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return ErrInUse
	}
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(view)
}

// Revisions are those that a database knows of.
type Revisions struct {
	Newest  int64 // that clients were served
	Stored  int64 // the newest that is still in it: what it is raised from
	Compact int64 // up to which it is compacted, or about to be; -1: it was never
}

// RevisionsIn reads a database of etcd's at a path of this process. A compaction may have dropped the newest
// revision, where it had deleted a key.
func RevisionsIn(path string) (Revisions, error) {
	return revisionsBy(func(read func(*bbolt.Tx) error) error { return viewDatabase(path, read) })
}

// Revisions reads those of the database.
func (d Data) Revisions() (Revisions, error) { return revisionsBy(d.view) }

func revisionsBy(view func(read func(*bbolt.Tx) error) error) (Revisions, error) {
	found := Revisions{Newest: 1, Compact: -1} // a database in which nothing was written is at 1
	err := view(func(tx *bbolt.Tx) error {
		if keys := tx.Bucket([]byte("key")); keys != nil {
			// Each record is called by its revision, which begins with the main one.
			if last, _ := keys.Cursor().Last(); len(last) >= 8 {
				found.Stored = int64(binary.BigEndian.Uint64(last))
			}
		}
		if meta := tx.Bucket([]byte("meta")); meta != nil {
			for _, name := range []string{"scheduledCompactRev", "finishedCompactRev"} {
				if value := meta.Get([]byte(name)); len(value) >= 8 {
					found.Compact = max(found.Compact, int64(binary.BigEndian.Uint64(value)))
				}
			}
		}
		return nil
	})
	found.Newest = max(found.Newest, found.Stored, found.Compact)
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

// TakeAlarmsOut takes the alarms out of a restored database, at a path of this process. They tell of members that there
// are no more, and would have the new ones take no writes.
func TakeAlarmsOut(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: databaseWait})
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

// Members are the IDs of the members that the database of a member that does not run knows of, hexadecimal and sorted.
func (d Data) Members() (ids []string, err error) {
	err = d.view(func(tx *bbolt.Tx) error {
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

// HighestRevision is one that no client can have seen a higher one than, of a member that does not run: each entry
// of its log that its database has not applied yet, or had not written yet when it was killed, raised the revision by
// one at most. 0: there is no data that can be read.
func (d Data) HighestRevision() (int64, error) {
	if !d.HasMember() {
		return 0, nil
	}
	found := Revisions{Newest: 1}
	if _, err := os.Lstat(d.path(Database(d.Dir))); err == nil {
		found, err = d.Revisions()
		if errors.Is(err, ErrInUse) {
			return 0, fmt.Errorf("database %s: %w: it was not started by its unit; end it", Database(d.Dir), err)
		}
		if err != nil {
			return 0, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	l := d.Log(false)
	if l.Error != "" || l.DatabaseError != "" {
		return 0, nil
	}
	return found.Newest + int64(l.Index-min(l.Applied, l.Index)), nil
}
