package disks

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// RestoreSpare is what a restored member wants beside its database: its log begins with two files of 64 MiB.
const RestoreSpare = 192 << 20

// SnapshotSpare is what stays free beside a snapshot: its file system may be that of the log, which has
// 64 MiB to a file.
const SnapshotSpare = 64 << 20

// FewFiles is how many files and directories any work makes at most that is told from others by its bytes: a restored
// member has a dozen.
const FewFiles = 64

// MustHold refuses what a file system has no space for.
func (d Disks) MustHold(dir string, bytes int64, what string) error {
	return d.MustHoldFiles(dir, bytes, FewFiles, what)
}

// MustHoldFiles refuses what a file system has no space for, or so many files of which it has no inodes.
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

// MustHoldSnapshot refuses a snapshot of so many bytes that would not leave the member room to live on its disk.
func (d Disks) MustHoldSnapshot(dir string, bytes int64) error {
	return d.MustLeaveRoom(dir, bytes, "a snapshot of the member's database")
}

// MustLeaveRoom refuses big files of so many bytes beside a member's data that would not leave the member room to live on
// its disk. Those bytes are what is to be set aside, and never what has to stay free.
func (d Disks) MustLeaveRoom(dir string, bytes int64, what string) error {
	live, err := RoomToLive(d.Files.Path(dir))
	if err != nil {
		return err
	}
	return d.MustHold(dir, bytes+live, fmt.Sprintf("%s, of %d MiB, which has to leave room to the member,", what, Mebibytes(bytes)))
}

// RoomToLive is what a big file leaves free where a path of this process lies: a twentieth of the file system, at most
// 4 GiB, and never less than a file of the log.
func RoomToLive(path string) (int64, error) {
	var space unix.Statfs_t
	if err := unix.Statfs(path, &space); err != nil {
		return 0, fmt.Errorf("size of the file system of %s: %w", path, err)
	}
	return max(SnapshotSpare, min(int64(space.Blocks)*space.Frsize/20, 4<<30)), nil
}

// MustHoldRestore refuses a snapshot that there is no space to fetch, so many bytes of it, and to restore. What lies
// in the data directory now stays on the same file system.
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

// mustHoldAt refuses what there is no space for where a path of this process lies.
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

// Room is what is free of a file system.
type Room struct {
	Bytes int64
	Files int64 // inodes; as many as there can be where the file system makes them as it needs them
}

// RoomAt is what is free where a path of this process lies.
func RoomAt(path string) (Room, error) {
	var space unix.Statfs_t
	if err := unix.Statfs(path, &space); err != nil {
		return Room{}, fmt.Errorf("free space of %s: %w", path, err)
	}
	free := Room{int64(space.Bavail) * space.Frsize, math.MaxInt64}
	if space.Files > 0 { // btrfs, and others, count none
		free.Files = int64(min(space.Ffree, math.MaxInt64))
	}
	return free, nil
}

// Mebibytes rounds up.
func Mebibytes(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// SameFilesystem tells whether two paths of this process share their space.
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
