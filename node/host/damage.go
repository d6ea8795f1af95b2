package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

const (
	// crashPause is for how long any look waits for the process of a member that crashes over and over to end: its
	// database can be read in between alone.
	crashPause = 6 * time.Second
	// crashAge is the age from which on a process is none that crashes at its start, as far as such a look waits.
	crashAge = 15 * time.Second
)

// crashes tells whether systemd has started a member in vain again and again. One or two starts in vain are a port
// that is still taken, or a peer that was not there yet.
func crashes(o api.Observation) bool {
	return o.Unit.Restarts >= lostRestarts && o.Unit.ActiveState != "active"
}

// maySoonCrash tells whether a member that crashes over and over runs at this moment, and is worth to be waited for by who
// has waited so long. Who has patience waits for as long as the start before has taken, and half of that on top: else the
// two seconds between two starts would hardly ever be met. A process that reads and computes is waited for however long that is;
// one that does neither is given up after idle has lasted for api.LongestWait.
func (m *Machine) maySoonCrash(o api.Observation, patience, waited, idle time.Duration) bool {
	if !crashes(o) || o.Unit.MainPID == 0 || !o.Data.HasMember {
		return false
	}
	age, known := m.proc().Age(o.Unit.MainPID)
	switch {
	case !known:
		return false
	case age < crashAge && waited < crashPause:
		return true
	case patience <= 0 || o.Unit.Vain == 0:
		return false
	}
	return max(age, waited) < mayEndBy(o.Unit) && idle < api.LongestWait
}

// idleness is since when a process does nothing that can be seen.
type idleness struct {
	did   procfs.Work
	since time.Time
}

// of is for how long the process has done nothing, as far as this has been asked; another process begins anew.
func (i *idleness) of(did procfs.Work, now time.Time) time.Duration {
	if i.since.IsZero() || did.Process != i.did.Process || did.Read-i.did.Read >= leastRead || did.Busy-i.did.Busy >= api.LongestWait/busyShare {
		i.did, i.since = did, now
	}
	return now.Sub(i.since)
}

// checks are what is looked at in a member's files, in this order.
func (m *Machine) checks(dir string) []check {
	return []check{
		{"log", m.walFiles(dir), atOnce(m.damagedLog)},
		{checkDatabase, []string{database(dir)}, m.damagedDatabase},
		{"length", append(m.walFiles(dir), database(dir)), atOnce(m.shortLog)},
	}
}

// checkDatabase is the check that takes minutes where there is much data.
const checkDatabase = "database"

type check struct {
	name  string
	files []string
	do    func(context.Context, string, *position) error
}

// atOnce is a check that is not gone on with where it was cut short.
func atOnce(do func(context.Context, string) error) func(context.Context, string, *position) error {
	return func(ctx context.Context, dir string, _ *position) error { return do(ctx, dir) }
}

// seenDamage says what is known of a member's files while a process has them open that may soon end over them: what the
// log shows, which anybody may read, and what was found before in files that have not changed since. The second value says
// whether that is all there is to know.
func (m *Machine) seenDamage(ctx context.Context, dir string, restarts int) (string, bool) {
	if !m.areFiles(dir) {
		return "", true
	}
	known, all := m.examined(dir, restarts), true
	for i, check := range m.checks(dir) {
		if i == 0 {
			// What it says counts once it is kept: nobody has written to the log meanwhile.
			_ = known.once(check.name, check.files, func(at *position) error { return check.do(ctx, dir, at) })
		}
		says, kept := known.kept(check.name, check.files)
		if says != "" {
			return says, true
		}
		all = all && kept
	}
	return "", all
}

// damage says what in a member's files keeps etcd from starting on them; empty: nothing that can be seen. It reads
// all of the log and of the database, as etcd does when it starts. What cannot be read because the disk fails, because
// a process has it open, or because ctx ends, is not known to be damaged. A database of which ctx ended the reading is gone on with by
// the next look: it may take longer than any look lasts.
// restarts is how often systemd has started the member in vain.
func (m *Machine) damage(ctx context.Context, dir string, restarts int) string {
	if !m.areFiles(dir) {
		return "" // what lies there is none of etcd's making, and may keep whoever reads it for ever
	}
	known := m.examined(dir, restarts)
	for _, check := range m.checks(dir) {
		err := known.once(check.name, check.files, func(at *position) error { return check.do(ctx, dir, at) })
		var found damaged
		if errors.As(err, &found) {
			return string(found)
		}
		if ctx.Err() != nil {
			return ""
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
		file, err := inside.OpenFile(filepath.Join(m.path(dir), name), os.O_RDONLY, 0)
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
func (m *Machine) damagedLog(ctx context.Context, dir string) error {
	files := m.walFiles(dir)
	for _, file := range files[:max(0, len(files)-1)] {
		if err := ctx.Err(); err != nil {
			return err
		}
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
func (m *Machine) shortLog(_ context.Context, dir string) error {
	// The database first: the log of a member that is started meanwhile is ahead of what its database was.
	applied, err := m.consistentIndex(dir)
	if err != nil {
		return err
	}
	_, last, err := m.lastEntry(dir)
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
	in, err := m.openLogFile(file)
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
