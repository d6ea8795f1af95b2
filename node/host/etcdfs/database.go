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

// ErrInUse is returned for a database that a process has open.
var ErrInUse = errors.New("a process has it open")

// viewDatabase calls view with the pages of a database, whatever its content. path is a path of this process.
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
		if r := recover(); r != nil { // the file was truncated meanwhile, or its disk fails
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

// mapDatabase locks a database against writers for as long as the file is open, and maps it into memory until unmap is
// called. It returns ErrInUse if a running etcd holds the lock.
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
	case info.Size() == 0: // an empty file cannot be mapped
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

// Revisions are the revisions in a database.
type Revisions struct {
	Newest  int64 // the newest that clients can have seen
	Stored  int64 // the newest that still has a record, from which a restore raises the revision
	Compact int64 // up to which the database is compacted, or about to be; -1: it never was
}

// RevisionsIn reads the revisions in a database of etcd's at a path of this process. Stored can be less than Newest,
// since a compaction drops the record of the newest revision if that revision deleted a key.
func RevisionsIn(path string) (found Revisions, err error) {
	err = viewDatabase(path, func(p *pages) error {
		found, err = revisionsOf(p)
		return err
	})
	return found, err
}

// Revisions reads the revisions in the database.
func (d Data) Revisions() (found Revisions, err error) {
	err = d.view(func(p *pages) error {
		found, err = revisionsOf(p)
		return err
	})
	return found, err
}

func revisionsOf(p *pages) (Revisions, error) {
	found := Revisions{Newest: 1, Compact: -1} // a database without any records is at revision 1
	keys, err := p.bucket("key")
	if err != nil {
		return found, err
	}
	if keys != nil {
		last, err := keys.last()
		if err != nil {
			return found, err
		}
		// The key of a record is its revision, which begins with the main revision.
		if len(last) >= 8 {
			found.Stored = int64(binary.BigEndian.Uint64(last)) //nolint:gosec // etcd's own are no greater
		}
	}
	for _, name := range []string{"scheduledCompactRev", "finishedCompactRev"} {
		value, err := p.valueOf("meta", name)
		if err != nil {
			return found, err
		}
		if len(value) >= 8 {
			found.Compact = max(found.Compact, int64(binary.BigEndian.Uint64(value))) //nolint:gosec // likewise
		}
	}
	found.Newest = max(found.Newest, found.Stored, found.Compact)
	return found, nil
}

// valueOf returns the value of a key in a bucket, or nil if there is none.
func (p *pages) valueOf(bucket, key string) ([]byte, error) {
	in, err := p.bucket(bucket)
	if err != nil || in == nil {
		return nil, err
	}
	value, _, err := in.find([]byte(key))
	return value, err
}

// eachIn calls do for each record of a bucket, if the bucket exists.
func (p *pages) eachIn(bucket string, do func(key, value []byte) error) error {
	in, err := p.bucket(bucket)
	if err != nil || in == nil {
		return err
	}
	return in.each(nil, func(key, value []byte, _ bool) error { return do(key, value) })
}

// holdsCorrupt tells whether a database holds a CORRUPT alarm. Each key of the bucket is an encoded
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

// TakeAlarmsOut removes the alarms from a restored database, at a path of this process. They are about members that no
// longer exist, and would keep the new members from accepting writes.
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

// agreedVersion returns the version that the cluster of a database had agreed on (3.7.0), or "" if there was none yet.
// etcd of an older minor version does not start from the database.
func agreedVersion(p *pages) (string, error) {
	version, err := p.valueOf("cluster", "clusterVersion")
	return string(version), err
}

// Members returns the IDs of the members in the database, hexadecimal and sorted. The local member must be stopped.
func (d Data) Members() (ids []string, err error) {
	err = d.view(func(p *pages) error {
		return p.eachIn("members", func(id, _ []byte) error {
			ids = append(ids, string(id))
			return nil
		})
	})
	return ids, err
}

// HighestRevision returns a revision that no client can have seen a higher one than, or 0 if there is no data that can
// be read. The local member must be stopped. Each log entry that its database has not applied, or not written before
// the member was killed, has raised the revision by one at most.
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
