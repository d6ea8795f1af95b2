package arrivals

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Fetching is the name of a snapshot's file until the snapshot is verified.
const Fetching = "fetching"

// fetchedName matches the names of fetched snapshots.
var fetchedName = regexp.MustCompile(`^restore-[0-9a-f]{64}\.db$`)

// Fetch brings a snapshot onto the host, decrypts it if it is encrypted, and verifies it.
func (h Host) Fetch(ctx context.Context, cluster string, r api.FetchRequest, input io.Reader) (api.Snapshot, error) {
	if err := h.mayFetch(cluster, r); err != nil {
		return api.Snapshot{}, err
	}
	dir := api.SnapshotDir(r.DataDir)
	under, err := h.Records.Restoration(cluster)
	if err != nil {
		return api.Snapshot{}, err
	}
	if err := h.removeOtherFetches(under, r); err != nil {
		return api.Snapshot{}, err
	}
	if err := h.Files.EnsureDir(dir, files.RootUser, files.DataMode); err != nil {
		return api.Snapshot{}, err
	}
	here, err := h.fetchedBefore(under, r)
	if here != nil || err != nil {
		if here == nil {
			here = &api.Snapshot{}
		}
		return *here, err
	}
	fetched, anew, err := h.fetchOnce(ctx, cluster, r, input)
	if err != nil && anew && ctx.Err() == nil {
		fetched, _, err = h.fetchOnce(ctx, cluster, r, input)
	}
	return fetched, err
}

// fetchOnce opens the source and brings what the host does not have yet. If that fails, anew says whether another try
// may succeed: the part from an earlier call was of another object, or of no snapshot, and is deleted, so that the next
// try brings the whole snapshot.
func (h Host) fetchOnce(ctx context.Context, cluster string, r api.FetchRequest, input io.Reader) (fetched api.Snapshot, anew bool, err error) {
	from, err := h.Open(ctx, cluster, r.Owner, r.Source, input)
	if err != nil {
		return api.Snapshot{}, false, err
	}
	defer from.Close()
	unfinished := filepath.Join(api.SnapshotDir(r.DataDir), Fetching)
	before, part, err := h.begun(from, r)
	if err == nil {
		err = h.removeOtherParts(r.DataDir, part)
	}
	if err != nil {
		return api.Snapshot{}, false, err
	}
	fetched, err = h.fetch(ctx, from, r, before, part, unfinished)
	if err != nil {
		err = errors.Join(err, files.Remove(h.Files.Path(unfinished)))
		stays := ctx.Err() != nil || errors.Is(err, errStays)
		if part == "" || stays && !errors.Is(err, backup.ErrChanged) {
			return api.Snapshot{}, false, err
		}
		err = errors.Join(err, files.Remove(h.Files.Path(part)))
		return api.Snapshot{}, r.Source.Upload == nil && (before > 0 || errors.Is(err, backup.ErrChanged)), err
	}
	fetched.TakenAt = from.TakenAt
	return fetched, false, h.removeOtherParts(r.DataDir, "")
}

// mayFetch refuses a request that makes no sense, or comes from somebody who does not own the cluster.
func (h Host) mayFetch(cluster string, r api.FetchRequest) error {
	if err := systemd.CheckDataDir(r.DataDir); err != nil {
		return api.Refuse("data directory %q: %s", r.DataDir, err)
	}
	if r.From < 0 || r.From > 0 && (r.Source.Upload == nil || r.From > r.Source.Upload.SizeBytes) {
		return api.Refuse("an upload cannot be resumed after byte %d", r.From)
	}
	if r.SHA256 != "" {
		if err := api.CheckSHA256(r.SHA256, "a snapshot"); err != nil {
			return err
		}
	}
	if !api.IsVersion(r.MinorVersion) {
		return api.Refuse("%q is no minor version of etcd, like 3.7", r.MinorVersion)
	}
	marker, err := h.Records.Marker(cluster)
	if err == nil && marker != nil {
		_, err = h.Records.Owned(cluster, r.Owner)
	}
	return err
}

// removeOtherFetches removes what fetches have left that were cut short or were for another restore.
func (h Host) removeOtherFetches(under *records.Restoration, r api.FetchRequest) error {
	keep := r.SHA256
	if keep == "" && r.Source.Upload != nil {
		keep = r.Source.Upload.SHA256 // the upload's hash is the snapshot's, unless the upload is encrypted
	}
	if under != nil && under.Stage != api.StageFenced {
		keep = under.Snapshot
	}
	return h.RemoveFetched(r.DataDir, keep, true)
}

// RemoveFetched removes the fetched snapshots, except the one with the SHA-256 keep. parts says whether parts of
// snapshots stay; if they do not and keep is empty, an empty directory is removed too.
func (h Host) RemoveFetched(dataDir, keep string, parts bool) error {
	dir := api.SnapshotDir(dataDir)
	kept := filepath.Base(api.FetchedSnapshot(dataDir, keep))
	if err := h.Files.RemoveIn(dir, func(entry fs.DirEntry) bool {
		name := entry.Name()
		return name == Fetching || fetchedName.MatchString(name) && name != kept || ArrivingName.MatchString(name) && !parts
	}); err != nil || keep != "" || parts {
		return err
	}
	return h.Files.RemoveEmpty(dir)
}

// removeOtherParts removes all parts of snapshots except keep, or all if keep is empty.
func (h Host) removeOtherParts(dataDir, keep string) error {
	return h.Files.RemoveIn(api.SnapshotDir(dataDir), func(entry fs.DirEntry) bool {
		return ArrivingName.MatchString(entry.Name()) && entry.Name() != filepath.Base(keep)
	})
}

// fetchedBefore returns the snapshot if an earlier call has fetched it and it is still whole, or nil if it has to be
// fetched. It removes a snapshot that is no longer whole.
func (h Host) fetchedBefore(under *records.Restoration, r api.FetchRequest) (*api.Snapshot, error) {
	known := r.SHA256
	if known == "" && r.Source.Upload != nil {
		known = r.Source.Upload.SHA256
	}
	path := api.FetchedSnapshot(r.DataDir, known)
	info, err := os.Lstat(h.Files.Path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	here, err := etcdfs.VerifySnapshot(path, h.Files.Path(path))
	if err != nil || here.SHA256 != known {
		return nil, files.Remove(h.Files.Path(path))
	}
	here.Path = path
	if err := snapshots.MustSuit(path, here, r.MinorVersion); err != nil {
		return nil, err
	}
	if err := errors.Join(h.removeOtherParts(r.DataDir, ""), h.NoteSinceBoot(path)); err != nil {
		return nil, err
	}
	if under != nil && (under.Stage == api.StageFenced || under.Snapshot == known) {
		return &here, nil // the restore may have taken the room already: it asks for what it lacks
	}
	return &here, h.disks().MustHoldRestore(r.DataDir, 0, info.Size())
}

// fetch brings a snapshot, verifies it, and renames it to its final name. A transfer that can be resumed is written to
// part, which holds the first before bytes already; part is empty if the transfer cannot be resumed. The decrypted
// snapshot is written to unfinished, and so is one that cannot be resumed.
func (h Host) fetch(ctx context.Context, from *snapshots.Source, r api.FetchRequest, before int64, part, unfinished string) (api.Snapshot, error) {
	if from.Size == 0 {
		return api.Snapshot{}, api.Refuse("%s is empty: a snapshot is what etcdctl snapshot save makes", from.What)
	}
	if err := h.disks().MustHoldRestore(r.DataDir, from.Size-before, from.Size); err != nil {
		return api.Snapshot{}, fmt.Errorf("%w%w", errStays, err)
	}
	var s *api.Checksum
	var err error
	clear := unfinished
	if part == "" {
		s, err = h.download(ctx, from, r.Identity.Reveal(), unfinished)
	} else {
		clear, s, err = h.receive(ctx, from, r, before, part, unfinished)
	}
	if err != nil {
		return api.Snapshot{}, err
	}
	fetched, err := h.verifyFetched(from.What, clear, s)
	if err != nil {
		return api.Snapshot{}, err
	}
	if r.SHA256 != "" && fetched.SHA256 != r.SHA256 {
		return api.Snapshot{}, api.Refuse("%s has the SHA-256 %s, and %s was asked for: it is another snapshot; correct one of the two", from.What, fetched.SHA256, r.SHA256)
	}
	if err := errors.Join(snapshots.MustSuit(from.What, fetched, r.MinorVersion), h.Snapshots.MustHoldInMemory(from.What, fetched.Keys)); err != nil {
		return api.Snapshot{}, err
	}
	fetched.Path = api.FetchedSnapshot(r.DataDir, fetched.SHA256)
	return fetched, errors.Join(h.Files.Rename(clear, fetched.Path), h.NoteSinceBoot(fetched.Path))
}

// download decrypts what arrives if it is encrypted, writes it to a new file, and syncs that. It compares what arrives
// with the announced size and SHA-256.
func (h Host) download(ctx context.Context, from *snapshots.Source, identities, path string) (*api.Checksum, error) {
	arrived, s := &snapshots.Counted{From: snapshots.Until(ctx, from), Hash: sha256.New()}, api.NewChecksum()
	content, failed := inTheClear(arrived, identities)
	if failed == nil {
		failed = h.disks().WriteNew(path, from.Size, io.TeeReader(content, s))
	}
	// Content that does not decrypt may be damaged, so all of it is read before the identities are blamed.
	_, broken := io.Copy(io.Discard, arrived)
	switch sum := hex.EncodeToString(arrived.Hash.Sum(nil)); {
	case broken != nil:
		return nil, fmt.Errorf("fetch %s: %w", from.What, broken)
	case arrived.Bytes < from.Size:
		return nil, fmt.Errorf("%d bytes of %s have arrived, of %d: it was cut off on its way; apply again", arrived.Bytes, from.What, from.Size)
	case from.SHA256 != "" && sum != from.SHA256:
		return nil, fmt.Errorf("%s has arrived with the SHA-256 %s, and was sent with %s: it was damaged on its way, or has changed meanwhile; apply again", from.What, sum, from.SHA256)
	case errors.Is(failed, errEncrypted):
		return nil, api.Refuse("%s cannot be decrypted: %s", from.What, failed)
	case failed != nil:
		return nil, fmt.Errorf("fetch %s: %w", from.What, failed)
	}
	return s, nil
}

// verifyFetched verifies a snapshot. If the file is no snapshot, the error says what it may be.
func (h Host) verifyFetched(what, path string, s *api.Checksum) (api.Snapshot, error) {
	file, err := inside.OpenFile(h.Files.Path(path), os.O_RDONLY, 0)
	if err != nil {
		return api.Snapshot{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return api.Snapshot{}, err
	}
	// The magic number of a database follows the 16 bytes at the head of its first page.
	var head [20]byte
	_, err = file.ReadAt(head[:], 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return api.Snapshot{}, err
	case binary.LittleEndian.Uint32(head[16:]) != databaseMagic:
		return api.Snapshot{}, api.Refuse("%s is no snapshot of etcd's: it does not begin as a database does; a snapshot is what etcdctl snapshot save makes, not packed", what)
	case info.Size()%512 != sha256.Size:
		return api.Snapshot{}, api.Refuse("%s has %d bytes, which is no database with a SHA-256 behind it: it was cut off, or is a copy of a member's own database, which nobody can verify; give a whole file that etcdctl snapshot save has made", what, info.Size())
	}
	// Keys that a member could not hold are not counted to the last one beside the old member.
	mayHold := func(keys int) error { return h.Snapshots.MustHoldInMemory(what, keys) }
	fetched, err := etcdfs.Verify(path, inside.PathOf(file), s, mayHold)
	if refused := (*api.Error)(nil); errors.As(err, &refused) {
		return api.Snapshot{}, refused
	}
	if err != nil {
		return api.Snapshot{}, api.Refuse("%s is damaged: %s; give another copy of it, or another snapshot", what, err)
	}
	return fetched, nil
}

// databaseMagic begins the meta pages of bbolt's databases.
const databaseMagic = 0xED0CDAED
