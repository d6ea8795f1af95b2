// Package snapshots takes snapshots of the local member, verifies them, and says whether etcd can be started from one
// on this host: by its version, and by the host's memory.
package snapshots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

// Unfinished is the name of a snapshot until it is verified. A call that is cut short leaves such a file, and the next
// one overwrites it.
const Unfinished = "unfinished"

// Host is a host whose members' snapshots are taken, and whose members are started from snapshots.
type Host struct {
	Files files.Tree
	Paces pace.Host // tells whether a member that is asked for a hash makes progress
	Now   func() time.Time
	Keeps time.Duration // for how long a snapshot stays for a caller that is cut off; 0: KeptFor
}

func (h Host) proc() procfs.FS { return procfs.FS{Root: h.Files.Root} }

// Save streams a snapshot to a file, and brings it to the disk.
func (h Host) Save(ctx context.Context, member etcdclient.Voter, path string) (*api.Checksum, error) {
	out, err := inside.OpenFile(h.Files.Path(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, files.KeyFile)
	if err != nil {
		return nil, err
	}
	if err := disks.Reserve(out, member.State.DbSize); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	disk := durable.NewWriter(out)
	s, err := Send(ctx, member, disk)
	return s, errors.Join(err, durable.Release(out), disk.Sync(), out.Close())
}

// VerifySaved verifies a snapshot at a path of the host. Its checksum was computed while it was written.
func (h Host) VerifySaved(path string, s *api.Checksum) (api.Snapshot, error) {
	file, err := inside.OpenFile(h.Files.Path(path), os.O_RDONLY, 0)
	if err != nil {
		return api.Snapshot{}, err
	}
	defer file.Close()
	return etcdfs.Verify(path, inside.PathOf(file), s, nil)
}

// Send streams a snapshot of the local member.
func Send(ctx context.Context, member etcdclient.Voter, to io.Writer) (*api.Checksum, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	stream, err := member.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the local member for a snapshot: %w", err)
	}
	defer stream.Close()
	s := api.NewChecksum()
	silent := func() { giveUp(fmt.Errorf("it has sent nothing for %s", pace.StallTimeout)) }
	if _, err := io.Copy(io.MultiWriter(to, s), pace.Flowing(stream, pace.StallTimeout, silent)); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("save a snapshot of the local member: %w", err)
	}
	return s, nil
}

// Name returns the file name of a verified snapshot: its revision, and when it was taken.
var Name = regexp.MustCompile(`^\d+-(\d{8}T\d{6}Z)\.db$`)

// KeepNewest removes the oldest snapshots of a cluster until this many are left in the directory of the one that was
// just taken, which it never removes, whatever the clock says. Those of former clusters neither count nor go.
func (h Host) KeepNewest(taken string, former []string, keep int) error {
	others, err := h.Kept(filepath.Dir(taken))
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(other string) bool { return other == taken || slices.Contains(former, other) })
	slices.SortFunc(others, func(a, b string) int { return cmp.Compare(takenAt(a), takenAt(b)) })
	for _, other := range others[:max(0, len(others)-keep+1)] {
		if err := files.Remove(h.Files.Path(other)); err != nil {
			return err
		}
	}
	return nil
}

// Kept returns the paths of the verified snapshots in a directory, if there is one.
func (h Host) Kept(dir string) ([]string, error) {
	entries, err := inside.ReadDir(h.Files.Path(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var kept []string
	for _, entry := range entries {
		if Name.MatchString(entry.Name()) {
			kept = append(kept, filepath.Join(dir, entry.Name()))
		}
	}
	return kept, nil
}

// takenAt returns when a snapshot was taken, by its name.
func takenAt(path string) string { return Name.FindStringSubmatch(filepath.Base(path))[1] }
