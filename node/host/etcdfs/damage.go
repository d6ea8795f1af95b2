package etcdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Checks returns the checks of a member's files, in the order in which they are made.
func (d Data) Checks() []Check {
	return []Check{
		{"log", d.LogFiles(), unresumed(d.damagedLog)},
		{CheckDatabase, []string{Database(d.Dir)}, d.damagedDatabase},
		{"length", append(d.LogFiles(), Database(d.Dir)), unresumed(d.shortLog)},
	}
}

// CheckDatabase is the name of the check that takes minutes if there is much data.
const CheckDatabase = "database"

// Check is a check of some of a member's files. Do returns a Damaged error if their content is damaged, and resumes a
// check at a position.
type Check struct {
	Name  string
	Files []string
	Do    func(context.Context, *Position) error
}

// unresumed makes a Check.Do of a check that starts anew each time.
func unresumed(do func(context.Context) error) func(context.Context, *Position) error {
	return func(ctx context.Context, _ *Position) error { return do(ctx) }
}

// AreFiles tells whether the files of a member's log and its database are regular files, if they exist.
func (d Data) AreFiles() bool {
	names := []string{Database("")}
	for _, file := range d.LogFiles() {
		names = append(names, filepath.Join(LogDir(""), filepath.Base(file)))
	}
	for _, name := range names {
		file, err := inside.OpenFile(filepath.Join(d.path(d.Dir), name), os.O_RDONLY, 0)
		if err == nil {
			err = file.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// Damaged is an error that says what is wrong with the content of a file.
type Damaged string

func (d Damaged) Error() string { return string(d) }

// damagedLog returns an error if etcd cannot read a log from its first file to its last record. An incomplete last
// record is no damage: etcd truncates it.
func (d Data) damagedLog(ctx context.Context) error {
	files := d.LogFiles()
	for _, file := range files[:max(0, len(files)-1)] {
		if err := ctx.Err(); err != nil {
			return err
		}
		torn, err := d.isTorn(file)
		if err != nil {
			return err
		}
		if torn {
			return Damaged(fmt.Sprintf("its log ends in the middle of a record of %s, and goes on in another file", file))
		}
	}
	commit, err := AgreedIndex(d.path(LogDir(d.Dir)))
	if err != nil {
		return err
	}
	_, last, err := d.LastEntry()
	if err == nil && last < commit {
		return Damaged(fmt.Sprintf("its log in %s ends with entry %d, and says that entry %d was agreed on", LogDir(d.Dir), last, commit))
	}
	return err
}

// shortLog returns an error if a log ends before what the database has applied. etcd takes a record whose length makes
// no sense for an incomplete one and truncates the log there. It then exits once its leader tells it what is committed.
func (d Data) shortLog(context.Context) error {
	// The database is read first: if the member is started meanwhile, its log only gets further ahead of what was read.
	applied, err := d.ConsistentIndex()
	if err != nil {
		return err
	}
	_, last, err := d.LastEntry()
	if err == nil && last < applied {
		return Damaged(fmt.Sprintf("its log in %s ends with entry %d, and its database has come to entry %d", LogDir(d.Dir), last, applied))
	}
	return err
}

// AgreedIndex reads a log in the way that etcd does, and returns the index of the last committed entry. path is the
// log's directory, as a path of this process.
func AgreedIndex(path string) (commit uint64, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = Damaged(fmt.Sprintf("a record of its log cannot be read: %v", r))
		}
	}()
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), path)
	if err != nil {
		return 0, ofContent(err)
	}
	if len(snapshots) == 0 {
		return 0, Damaged("its log does not say where it begins")
	}
	state, err := wal.Verify(zap.NewNop(), path, snapshots[len(snapshots)-1])
	if err != nil {
		return 0, ofContent(err)
	}
	return commitIn(state), nil
}

// ofContent returns an error of the file system as it is, and makes any other one Damaged: the content is at fault
// then.
func ofContent(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return err
	}
	return Damaged("its log cannot be read: " + err.Error())
}

// isTorn tells whether a file of a log ends within a record.
func (d Data) isTorn(file string) (bool, error) {
	in, err := d.openLogFile(file)
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
