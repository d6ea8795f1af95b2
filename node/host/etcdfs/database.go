package etcdfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// ErrInUse is what a database says that a process has open.
var ErrInUse = errors.New("a process has it open")

// viewDatabase reads a database that lies at a path of this process, of whatever content.
func viewDatabase(path string, view func(*pages) error) error {
	return viewOpened(func() (*os.File, error) { return os.Open(path) }, view)
}

// view reads the database.
func (d Data) view(view func(*pages) error) error { return viewOpened(d.openDatabase, view) }

func (d Data) openDatabase() (*os.File, error) {
	return inside.OpenFile(d.path(Database(d.Dir)), os.O_RDONLY, 0)
}

func viewOpened(open func() (*os.File, error), view func(*pages) error) (err error) {
	file, err := open()
	if err != nil {
		return err
	}
	defer file.Close()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil { // the file was cut off meanwhile, or its disk fails
			err = fmt.Errorf("it is damaged: %v", r)
		}
	}()
	mapped, unmap, err := mapDatabase(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmap()) }()
	found, err := pagesOf(mapped)
	if err == nil {
		err = view(found)
	}
	if errors.As(err, new(malformed)) {
		return fmt.Errorf("it is damaged: %w", err)
	}
	return err
}

// mapDatabase locks a database against whoever writes to it, for as long as the file is open, and maps it until unmap
// is called. A running etcd has locked its own.
func mapDatabase(file *os.File) (mapped []byte, unmap func() error, err error) {
	for end := time.Now().Add(databaseWait); ; time.Sleep(databaseWait / 10) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil, fmt.Errorf("lock %s: %w", file.Name(), err)
		}
		if time.Now().After(end) {
			return nil, nil, ErrInUse
		}
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case info.Size() == 0: // which cannot be mapped
		return nil, func() error { return nil }, nil
	case info.Size() > math.MaxInt:
		return nil, nil, fmt.Errorf("%s has %d bytes, too many for this machine", file.Name(), info.Size())
	}
	mapped, err = unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map %s: %w", file.Name(), err)
	}
	return mapped, func() error { return unix.Munmap(mapped) }, nil
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
	return revisionsBy(func(read func(*pages) error) error { return viewDatabase(path, read) })
}

// Revisions reads those of the database.
func (d Data) Revisions() (Revisions, error) { return revisionsBy(d.view) }

func revisionsBy(view func(read func(*pages) error) error) (Revisions, error) {
	found := Revisions{Newest: 1, Compact: -1} // a database in which nothing was written is at 1
	err := view(func(p *pages) error {
		keys, err := p.bucket("key")
		if err != nil {
			return err
		}
		if keys != nil {
			last, err := keys.last()
			if err != nil {
				return err
			}
			// Each record is called by its revision, which begins with the main one.
			if len(last) >= 8 {
				found.Stored = int64(binary.BigEndian.Uint64(last)) //nolint:gosec // etcd's own are no greater
			}
		}
		for _, name := range []string{"scheduledCompactRev", "finishedCompactRev"} {
			value, err := p.valueOf("meta", name)
			if err != nil {
				return err
			}
			if len(value) >= 8 {
				found.Compact = max(found.Compact, int64(binary.BigEndian.Uint64(value))) //nolint:gosec // likewise
			}
		}
		return nil
	})
	found.Newest = max(found.Newest, found.Stored, found.Compact)
	return found, err
}

// valueOf is the value of a key in a bucket; nil: there is none.
func (p *pages) valueOf(bucket, key string) ([]byte, error) {
	in, err := p.bucket(bucket)
	if err != nil || in == nil {
		return nil, err
	}
	value, _, err := in.find([]byte(key))
	return value, err
}

// eachIn does something with each record of a bucket, if it is there.
func (p *pages) eachIn(bucket string, do func(key, value []byte) error) error {
	in, err := p.bucket(bucket)
	if err != nil || in == nil {
		return err
	}
	return in.each(nil, func(key, value []byte, _ bool) error { return do(key, value) })
}

// examine wants a database, at a path of this process, of which etcd's own code can read all: it is not made for what
// pages of any content lead to. It tells whether a restore has raised the revisions in it: that left an empty record,
// which etcd's own tools count as a key, and no client can see.
func examine(path string) (raised bool, err error) {
	err = viewDatabase(path, func(p *pages) error {
		err := p.eachRecord(Position{}, func(bucket string, key, value []byte) error {
			raised = raised || bucket == "key" && len(value) == 0
			return mayBe(bucket, key, value)
		})
		if err != nil {
			return err
		}
		return p.mustBeFree()
	})
	return raised, err
}

// holdsCorrupt tells whether a database holds the CORRUPT alarm. Each key of the bucket is an alarm, as
// etcdserverpb.AlarmMember.
func holdsCorrupt(p *pages) (bool, error) {
	found := false
	err := p.eachIn("alarm", func(key, _ []byte) error {
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

// agreedVersion is the version that the cluster of a database had agreed on: 3.7.0. Empty: none yet. etcd of an older
// minor version does not start from it.
func agreedVersion(p *pages) (string, error) {
	version, err := p.valueOf("cluster", "clusterVersion")
	return string(version), err
}

// Members are the IDs of the members that the database of a member that does not run knows of, hexadecimal and sorted.
func (d Data) Members() (ids []string, err error) {
	err = d.view(func(p *pages) error {
		return p.eachIn("members", func(id, _ []byte) error {
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
