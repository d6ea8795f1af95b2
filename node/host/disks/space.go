package disks

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// RestoreSpare is the space that a restored member needs beside its database: its log begins with two files of 64 MiB.
const RestoreSpare = 192 << 20

// SnapshotSpare is the space that stays free beside a snapshot: the log may lie on the same file system, and each of
// its files has 64 MiB.
const SnapshotSpare = 64 << 20

// FewFiles is more files and directories than any work makes whose need for space is given in bytes: a restored member
// has a dozen.
const FewFiles = 64

// MustHold refuses this many bytes if the file system has no space for them.
func (d Disks) MustHold(dir string, bytes int64, what string) error {
	return d.MustHoldFiles(dir, bytes, FewFiles, what)
}

// MustHoldFiles does the same, and refuses this many files if the file system has no inodes for them.
func (d Disks) MustHoldFiles(dir string, bytes, files int64, what string) error {
	free, err := RoomAt(d.Files.Path(dir))
	switch {
	case err != nil:
		return err
	case free.Bytes < bytes:
		return api.Refuse("%s has %d MiB free, and %s wants %d MiB: free some space", dir, free.Bytes>>20, what, Mebibytes(bytes))
	case free.Files < files:
		return api.Refuse("%s has %d inodes free, and %s wants %d: remove some files", dir, free.Files, what, files)
	}
	return nil
}

// MustHoldSnapshot refuses a snapshot of this size, in bytes, that would leave the member too little space on its disk.
func (d Disks) MustHoldSnapshot(dir string, bytes int64) error {
	return d.MustLeaveRoom(dir, bytes, "a snapshot of the member's database")
}

// MustLeaveRoom refuses big files beside a member's data, of this many bytes, that would leave the member too little
// space on its disk. The number is only what the files take, without what has to stay free.
func (d Disks) MustLeaveRoom(dir string, bytes int64, what string) error {
	live, err := RoomToLive(d.Files.Path(dir))
	if err != nil {
		return err
	}
	return d.MustHold(dir, bytes+live, fmt.Sprintf("%s, of %d MiB, which has to leave room to the member,", what, Mebibytes(bytes)))
}

// RoomToLive returns how much a big file has to leave free on the file system of a path of this process: a twentieth,
// at most 4 GiB, and never less than a file of the log.
func RoomToLive(path string) (int64, error) {
	var space unix.Statfs_t
	if err := unix.Statfs(path, &space); err != nil {
		return 0, fmt.Errorf("size of the file system of %s: %w", path, err)
	}
	return max(SnapshotSpare, min(int64(space.Blocks)*space.Frsize/20, 4<<30)), nil
}

// MustHoldRestore refuses a snapshot if there is no space to fetch this many bytes of it, and to restore it. The old
// data stays on the same file system.
func (d Disks) MustHoldRestore(dataDir string, fetched, restored int64) error {
	snapshots, err := d.Files.Nearest(api.SnapshotDir(dataDir))
	if err != nil {
		return err
	}
	data, err := d.Files.Nearest(dataDir)
	if err != nil {
		return err
	}
	shared, err := SameFilesystem(snapshots, data)
	if err != nil {
		return err
	}
	if fetched > 0 {
		fetched += SnapshotSpare
	}
	restored += RestoreSpare
	if shared {
		return mustHoldAt(data, fetched+restored, fmt.Sprintf("to fetch a snapshot into %s and to restore it into %s", api.SnapshotDir(dataDir), dataDir))
	}
	if err := mustHoldAt(snapshots, fetched, "to fetch a snapshot into "+api.SnapshotDir(dataDir)); err != nil {
		return err
	}
	return mustHoldAt(data, restored, "to restore a snapshot into "+dataDir)
}

// mustHoldAt does what MustHoldFiles does for a path of this process.
func mustHoldAt(path string, bytes int64, why string) error {
	mount, err := MountOf(path)
	if err != nil {
		return err
	}
	free, err := RoomAt(path)
	switch {
	case err != nil:
		return err
	case free.Bytes < bytes:
		return api.Refuse("the file system on %s has %d MiB free, and %d MiB are wanted %s: free some space", mount.Point, free.Bytes>>20, Mebibytes(bytes), why)
	case free.Files < FewFiles:
		return api.Refuse("the file system on %s has %d inodes free, and %d are wanted %s: remove some files", mount.Point, free.Files, FewFiles, why)
	}
	return nil
}

// Room is what is free on a file system.
type Room struct {
	Bytes int64
	Files int64 // inodes; the greatest number if the file system makes inodes as it needs them
}

// RoomAt returns what is free on the file system of a path of this process.
func RoomAt(path string) (Room, error) {
	var space unix.Statfs_t
	if err := unix.Statfs(path, &space); err != nil {
		return Room{}, fmt.Errorf("free space of %s: %w", path, err)
	}
	free := Room{int64(space.Bavail) * space.Frsize, math.MaxInt64}
	if space.Files > 0 { // btrfs and others count no inodes
		free.Files = int64(min(space.Ffree, math.MaxInt64))
	}
	return free, nil
}

// Mebibytes returns a number of bytes in MiB, rounded up.
func Mebibytes(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// SameFilesystem tells whether two paths of this process lie on one file system.
func SameFilesystem(a, b string) (bool, error) {
	var ofA, ofB unix.Stat_t
	if err := unix.Stat(a, &ofA); err != nil {
		return false, fmt.Errorf("look at %s: %w", a, err)
	}
	if err := unix.Stat(b, &ofB); err != nil {
		return false, fmt.Errorf("look at %s: %w", b, err)
	}
	return ofA.Dev == ofB.Dev, nil
}
