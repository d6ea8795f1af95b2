package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// crashPause is for how long a look waits for the process of a member that crashes over and over to end: its
	// files can be read in between alone.
	crashPause = 6 * time.Second
	// crashAge is the age from which on a process is none that crashes at its start.
	crashAge = 15 * time.Second
)

// crashes tells whether systemd has started a member in vain again and again. One or two starts in vain are a port
// that is still taken, or a peer that was not there yet.
func crashes(o api.Observation) bool {
	return o.Unit.Restarts >= lostRestarts && o.Unit.ActiveState != "active"
}

// maySoonCrash tells whether a member that crashes over and over runs at this moment.
func (m *Machine) maySoonCrash(o api.Observation) bool {
	if !crashes(o) || o.Unit.MainPID == 0 || !o.Data.HasMember {
		return false
	}
	age, known := m.age(o.Unit.MainPID)
	return known && age < crashAge
}

// damage says what in a member's files keeps etcd from starting on them; empty: nothing that can be seen. It reads
// all of the log and of the database, as etcd does when it starts. What cannot be read because the disk fails, or
// because a process has it open, is not known to be damaged.
func (m *Machine) damage(dir string) string {
	if !m.areFiles(dir) {
		return "" // what lies there is none of etcd's making, and may keep whoever reads it for ever
	}
	for _, check := range []func(string) error{m.damagedLog, m.damagedDatabase, m.shortLog} {
		var found damaged
		if errors.As(check(dir), &found) {
			return string(found)
		}
	}
	return ""
}

// areFiles tells whether the files of a member's log and its database are files.
func (m *Machine) areFiles(dir string) bool {
	names := []string{database("")}
	for _, file := range m.walFiles(dir) {
		names = append(names, filepath.Join(walDir(""), filepath.Base(file)))
	}
	for _, name := range names {
		file, err := openInside(m.path(dir), name)
		if err == nil {
			err = file.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// damaged is what is wrong with the content of a file.
type damaged string

func (d damaged) Error() string { return string(d) }

// damagedLog wants a log that etcd can read from its first file to its last record. A last record that was not
// written to its end is none: etcd cuts it off.
func (m *Machine) damagedLog(dir string) error {
	files := m.walFiles(dir)
	for _, file := range files[:max(0, len(files)-1)] {
		torn, err := m.isTorn(file)
		if err != nil {
			return err
		}
		if torn {
			return damaged(fmt.Sprintf("its log ends in the middle of a record of %s, and goes on in another file", file))
		}
	}
	commit, err := readLog(m.path(walDir(dir)))
	if err != nil {
		return err
	}
	_, last, err := m.lastEntry(dir)
	if err == nil && last < commit {
		return damaged(fmt.Sprintf("its log in %s ends with entry %d, and says that entry %d was agreed on", walDir(dir), last, commit))
	}
	return err
}

// shortLog wants a log that goes as far as the database. etcd cuts a log off at a record whose length makes no sense, as
// if that had not been written to its end, and ends once its leader tells it of what was agreed on.
func (m *Machine) shortLog(dir string) error {
	_, last, err := m.lastEntry(dir)
	if err != nil {
		return err
	}
	applied, err := m.consistentIndex(dir)
	if err == nil && last < applied {
		return damaged(fmt.Sprintf("its log in %s ends with entry %d, and its database has come to entry %d", walDir(dir), last, applied))
	}
	return err
}

// readLog reads a log, which lies at a path of this process, in the way that etcd does, and returns up to which entry it
// was agreed on.
func readLog(path string) (commit uint64, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged(fmt.Sprintf("a record of its log cannot be read: %v", r))
		}
	}()
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), path)
	if err != nil {
		return 0, ofContent(err)
	}
	if len(snapshots) == 0 {
		return 0, damaged("its log does not say where it begins")
	}
	state, err := wal.Verify(zap.NewNop(), path, snapshots[len(snapshots)-1])
	if err != nil {
		return 0, ofContent(err)
	}
	return commitIn(state), nil
}

// ofContent tells what the files of a log hold from what kept them from being read.
func ofContent(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return err
	}
	return damaged("its log cannot be read: " + err.Error())
}

// isTorn tells whether a file of a log ends within a record.
func (m *Machine) isTorn(file string) (bool, error) {
	in, err := os.Open(m.path(file))
	if err != nil {
		return false, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return false, err
	}
	for {
		switch _, _, err := readFrame(in, info.Size()); {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return true, nil
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		}
	}
}

// damagedDatabase wants a database of which all pages can be read, and in which each key is one. One that is missing
// etcd makes anew from the log, unless that begins with a snapshot.
func (m *Machine) damagedDatabase(dir string) (err error) {
	path := m.path(database(dir))
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if snapshots, _ := filepath.Glob(m.path(filepath.Join(filepath.Dir(database(dir)), "*.snap*"))); len(snapshots) > 0 {
			return damaged(fmt.Sprintf("its database %s is missing", database(dir)))
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damaged(fmt.Sprintf("its database %s is damaged: %v", database(dir), r))
		}
	}()
	// bbolt's own check of a database, as etcd has it made, is of no use here: it panics in a goroutine of its own.
	db, err := bbolt.Open(path, keyFile, &bbolt.Options{ReadOnly: true, Timeout: databaseWait})
	switch {
	case isBoltContent(err):
		return damaged(fmt.Sprintf("its database %s is damaged: %v", database(dir), err))
	case err != nil:
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return damaged(fmt.Sprintf("its database %s has %d bytes, and was %d long", database(dir), info.Size(), tx.Size()))
		}
		return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
			return bucket.ForEach(func(key, value []byte) error { return mayBe(string(name), key, value) })
		})
	})
}

// isBoltContent tells whether a database cannot be opened for what it holds.
func isBoltContent(err error) bool {
	for _, content := range []error{bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum} {
		if errors.Is(err, content) {
			return true
		}
	}
	return err != nil && strings.Contains(err.Error(), "file size too small") // which bbolt has no value for
}

// mayBe wants a record that etcd can read.
func mayBe(bucket string, key, value []byte) error {
	if bucket != "key" {
		_ = slices.Max(append([]byte{0}, value...)) // all of it is touched
		return nil
	}
	if _, err := parseFields(value); err != nil || len(key) < 17 {
		return damaged(fmt.Sprintf("the record %x of its database cannot be read", key))
	}
	return nil
}
