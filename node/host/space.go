package host

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
)

// restoreSpare is what a restored member wants beside its database: its log begins with two files of 64 MiB.
const restoreSpare = 192 << 20

// fewFiles is how many files and directories any work makes at most that is told from others by its bytes: a restored
// member has a dozen.
const fewFiles = 64

// mustHold refuses what a file system has no space for.
func (m *Machine) mustHold(dir string, bytes int64, what string) error {
	return m.mustHoldFiles(dir, bytes, fewFiles, what)
}

// mustHoldFiles refuses what a file system has no space for, or so many files of which it has no inodes.
func (m *Machine) mustHoldFiles(dir string, bytes, files int64, what string) error {
	free, err := roomAt(m.path(dir))
	switch {
	case err != nil:
		return err
	case free.bytes < bytes:
		return refuse("%s has %d MiB free, and %s wants %d MiB: free some space", dir, free.bytes>>20, what, mebibytes(bytes))
	case free.files < files:
		return refuse("%s has %d inodes free, and %s wants %d: remove some files", dir, free.files, what, files)
	}
	return nil
}

// mustHoldSnapshot refuses a snapshot of so many bytes that would not leave the member room to live on its disk.
func (m *Machine) mustHoldSnapshot(dir string, bytes int64) error {
	return m.mustLeaveRoom(dir, bytes, "a snapshot of the member's database")
}

// mustLeaveRoom refuses big files of so many bytes beside a member's data that would not leave the member room to live on
// its disk. Those bytes are what is to be set aside, and never what has to stay free.
func (m *Machine) mustLeaveRoom(dir string, bytes int64, what string) error {
	live, err := roomToLive(m.path(dir))
	if err != nil {
		return err
	}
	return m.mustHold(dir, bytes+live, fmt.Sprintf("%s, of %d MiB, which has to leave room to the member,", what, mebibytes(bytes)))
}

// roomToLive is what a big file leaves free where a path of this process lies: a twentieth of the file system, at most
// 4 GiB, and never less than a file of the log.
func roomToLive(path string) (int64, error) {
	var space unix.Statfs_t
	if err := unix.Statfs(path, &space); err != nil {
		return 0, fmt.Errorf("size of the file system of %s: %w", path, err)
	}
	return max(snapshotSpare, min(int64(space.Blocks)*space.Frsize/20, 4<<30)), nil
}

// leftToMembers is what big files leave free where a path of this process lies, in favour of the members of this host that
// have their data or their log on that file system. 0: none has.
func (m *Machine) leftToMembers(path string) int64 {
	members, err := m.neighbours("")
	if err != nil {
		return 0 // what is wrong with a marker is said where it is gone by
	}
	for _, member := range members {
		for _, dir := range []string{m.path(member.DataDir), m.path(etcdfs.LogDir(member.DataDir))} {
			if shared, err := sameFilesystem(path, dir); err == nil && shared {
				live, _ := roomToLive(path)
				return live
			}
		}
	}
	return 0
}

// isCramped tells whether there is no room for a snapshot of a member that answers.
func (m *Machine) isCramped(dir string, view api.Member) (bool, error) {
	if !view.Responding || view.Learner {
		return false, nil
	}
	nearest, err := m.files().Nearest(api.SnapshotDir(dir))
	if err != nil {
		return false, err
	}
	free, err := roomAt(nearest)
	if err != nil {
		return false, err
	}
	live, err := roomToLive(nearest)
	return free.bytes < view.DBSizeBytes+live || free.files < fewFiles, err
}

// mustHoldRestore refuses a snapshot that there is no space to fetch, so many bytes of it, and to restore. What lies
// in the data directory now stays on the same file system.
func (m *Machine) mustHoldRestore(dataDir string, fetched, restored int64) error {
	snapshots, err := m.files().Nearest(api.SnapshotDir(dataDir))
	if err != nil {
		return err
	}
	data, err := m.files().Nearest(dataDir)
	if err != nil {
		return err
	}
	shared, err := sameFilesystem(snapshots, data)
	if err != nil {
		return err
	}
	if fetched > 0 {
		fetched += snapshotSpare
	}
	restored += restoreSpare
	if shared {
		return mustHoldAt(data, fetched+restored, fmt.Sprintf("to fetch a snapshot into %s and to restore it into %s", api.SnapshotDir(dataDir), dataDir))
	}
	if err := mustHoldAt(snapshots, fetched, "to fetch a snapshot into "+api.SnapshotDir(dataDir)); err != nil {
		return err
	}
	return mustHoldAt(data, restored, "to restore a snapshot into "+dataDir)
}

// mustHoldAt refuses what there is no space for where a path of this process lies.
func mustHoldAt(path string, bytes int64, why string) error {
	mount, err := mountOf(path)
	if err != nil {
		return err
	}
	free, err := roomAt(path)
	switch {
	case err != nil:
		return err
	case free.bytes < bytes:
		return refuse("the file system on %s has %d MiB free, and %d MiB are wanted %s: free some space", mount.point, free.bytes>>20, mebibytes(bytes), why)
	case free.files < fewFiles:
		return refuse("the file system on %s has %d inodes free, and %d are wanted %s: remove some files", mount.point, free.files, fewFiles, why)
	}
	return nil
}

// reserve sets so many bytes aside for a file that is written now. Others on the same file system, a run of the backup
// beside a call, say, or a call for another cluster, find them taken when they look for room.
func reserve(file *os.File, bytes int64) error {
	if err := durable.Reserve(file, bytes); err != nil {
		return refuse("there is no room for the %d MiB that %s wants: another call or run has taken it meanwhile; free some space, or wait for its end", mebibytes(bytes), file.Name())
	}
	return nil
}

// setAside is room for a directory that is filled by who sets nothing aside himself.
type setAside struct {
	file  *os.File // without a name
	bytes int64
}

// giveWayAhead is how much of what is set aside is let go before it is written.
const giveWayAhead = 64 << 20

// setAsideIn sets so many bytes aside, beside what is to lie in a directory of the host.
func (m *Machine) setAsideIn(dir string, bytes int64) (*setAside, error) {
	file, err := m.files().Nameless(dir)
	if err != nil {
		return nil, err
	}
	s := &setAside{file, bytes}
	if err = reserve(file, bytes); err == nil {
		err = file.Truncate(bytes) // it is let go of from its end
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// giveWay lets go of what is set aside as do fills a directory of the host with it.
func (s *setAside) giveWay(m *Machine, dir string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		written, _, err := m.files().Size(dir)
		if err == nil { // else it is not there yet, or changes: the next look tells
			// What could not be let go of leaves do without room, which do says.
			_ = s.file.Truncate(max(0, min(s.bytes, s.bytes-written-giveWayAhead)))
		}
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
	}
}

// room is what is free of a file system.
type room struct {
	bytes int64
	files int64 // inodes; as many as there can be where the file system makes them as it needs them
}

// roomAt is what is free where a path of this process lies.
func roomAt(path string) (room, error) {
	var space unix.Statfs_t
	if err := unix.Statfs(path, &space); err != nil {
		return room{}, fmt.Errorf("free space of %s: %w", path, err)
	}
	free := room{int64(space.Bavail) * space.Frsize, math.MaxInt64}
	if space.Files > 0 { // btrfs, and others, count none
		free.files = int64(min(space.Ffree, math.MaxInt64))
	}
	return free, nil
}

// mebibytes rounds up.
func mebibytes(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// sameFilesystem tells whether two paths of this process share their space.
func sameFilesystem(a, b string) (bool, error) {
	var ofA, ofB unix.Stat_t
	if err := unix.Stat(a, &ofA); err != nil {
		return false, fmt.Errorf("look at %s: %w", a, err)
	}
	if err := unix.Stat(b, &ofB); err != nil {
		return false, fmt.Errorf("look at %s: %w", b, err)
	}
	return ofA.Dev == ofB.Dev, nil
}
