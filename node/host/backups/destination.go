package backups

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// destination is one of the places where the host keeps backups.
type destination struct {
	backup.Destination
	kind      string                   // as api.StoredBackup has it
	away      error                    // why it cannot be used now; nil: it can be tried
	directory *backup.BoundedDirectory // nil: it is no directory
}

// String names the destination in messages.
func (d destination) String() string { return fmt.Sprint(d.Destination) }

// distance is greater for a destination that is further away.
func (d destination) distance() int {
	if d.directory != nil {
		return 0
	}
	return 1
}

// resume opens an object. Reading one that is far away resumes after an interruption.
func (d destination) resume(ctx context.Context, key string) (io.ReadCloser, error) {
	if far, ok := d.Destination.(backup.Far); ok {
		return far.Resume(ctx, key)
	}
	return d.Open(ctx, key)
}

// destinations returns where a backup goes, with the best place to fetch it from first: a bucket outlives this host.
func (h Host) destinations(ctx context.Context, b api.Backup) ([]destination, error) {
	var all []destination
	if b.S3 != nil {
		storage, err := backup.NewS3(backup.S3Config{
			Endpoint: b.S3.Endpoint, Region: b.S3.Region, Bucket: b.S3.Bucket, Prefix: strings.Trim(b.S3.Key, "/"), PathStyle: b.S3.PathStyle, CA: b.S3.CA, Patience: backup.StoragePatience, UploadPatience: h.stall(storeStall),
			Credentials: backup.Credentials{AccessKeyID: b.S3.AccessKeyID, SecretAccessKey: b.S3.SecretAccessKey},
		})
		if err != nil {
			return nil, err
		}
		all = append(all, destination{Destination: storage, kind: "s3"})
	}
	if b.Directory != "" {
		directory, err := h.directory(ctx, b.Directory)
		if err != nil {
			return nil, err
		}
		all = append(all, directory)
	}
	if len(all) == 0 {
		return nil, errors.New("a backup wants a destination: a directory, S3, or both")
	}
	return all, nil
}

// hangPatience is how long a call to a directory of backups may make no progress before the directory counts as away. A
// disk that has to spin up, or a server that restarts, takes less.
const hangPatience = 2 * time.Minute

// HangsAfter is hangPatience, but in tests.
func (h Host) HangsAfter() time.Duration { return cmp.Or(h.Hangs, hangPatience) }

// directory returns a destination on a file system. A file system that does not answer is away, and does not keep other
// destinations from being used.
func (h Host) directory(ctx context.Context, dir string) (destination, error) {
	type place struct {
		path   string
		leaves int64
	}
	at, away := backup.UnlessItHangs(h.HangsAfter(), func(func()) (place, error) {
		path := realPath(h.Files.Path(dir))
		if opened, err := os.Open(path); err == nil { // this mounts a file system that is mounted on demand
			_, _ = opened.Stat()
			_ = opened.Close() // nothing was written
		}
		return place{path, h.leftToMembers(path)}, nil
	})
	if away != nil {
		at, away = place{path: h.Files.Path(dir)}, fmt.Errorf("backup directory %s: %w: see whether the server of its file system is there, or unmount it (umount -l)", dir, away)
	} else {
		away = h.mustBeMounted(ctx, dir, strings.TrimPrefix(at.path, filepath.Clean(h.Files.Root)))
	}
	directory, err := backup.NewDirectory(at.path)
	if err != nil {
		return destination{}, err
	}
	directory.Leave(at.leaves)
	bounded := backup.BoundDirectory(directory, h.HangsAfter())
	return destination{bounded, "directory", away, bounded}, nil
}

// realPath returns where a path leads behind links, also if only the first part of it is there.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil || filepath.Dir(path) == path {
		return cmp.Or(real, path)
	}
	return filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path))
}

// mustBeMounted refuses a directory on a file system that systemd knows how to mount, and that is not mounted: what
// lies under the mount point belongs to another file system. systemd knows mount points by their real paths alone.
func (h Host) mustBeMounted(ctx context.Context, dir, real string) error {
	ask := func(unit string) (api.UnitState, error) {
		ctx, cancel := context.WithTimeout(ctx, units.Timeout)
		defer cancel()
		return h.Units.State(ctx, unit)
	}
	all := systemd.MountUnits(dir)
	if real != dir {
		all = append(all, systemd.MountUnits(real)...)
	}
	for _, unit := range all {
		state, err := ask(unit)
		switch {
		case err != nil:
			return fmt.Errorf("whether what belongs to backup directory %s is mounted is not known: %w", dir, err)
		case state.LoadState == "loaded" && state.ActiveState != "active":
			return fmt.Errorf("backup directory %s lies on a file system that is not mounted (%s is %s): mount it", dir, unit, state.ActiveState)
		}
	}
	return nil
}

// keys are the recipients that backups are encrypted to, and the identities that read them.
type keys struct {
	recipients backup.Recipients
	identities backup.Identities
}

// backupKeys reads the keys of a backup. Its errors quote no key.
func backupKeys(b api.Backup) (k keys, err error) {
	if k.recipients, err = backup.ParseRecipients(b.Recipients...); err != nil {
		return k, err
	}
	if b.Rehearsal != nil && !b.Rehearsal.Identity.IsBlank() {
		k.identities, err = backup.ParseIdentities(b.Rehearsal.Identity.Reveal())
	}
	return k, err
}

// listStall is how long listing a destination may make no progress. There may be thousands of backups.
const listStall = 2 * time.Minute

// List lists the backups at all destinations that this host knows of.
func (h Host) List(ctx context.Context, cluster string) (api.Backups, error) {
	all, err := h.knownDestinations(ctx, cluster)
	if err != nil {
		return api.Backups{}, err
	}
	owner, err := h.backupOwner(cluster)
	if err != nil {
		return api.Backups{}, err
	}
	found := api.Backups{Backups: []api.StoredBackup{}, Problems: []string{}}
	lists, proofs := listAll(ctx, all, cluster, owner)
	for _, l := range lists {
		if l.err != nil {
			found.Problems = append(found.Problems, l.err.Error())
		}
	}
	for i, d := range all {
		catalog := lists[i].Catalog
		for _, entry := range proofs.Apply(catalog.Backups) {
			found.Backups = append(found.Backups, stored(entry, d.kind))
		}
		for _, entry := range catalog.Others {
			others := stored(entry, d.kind)
			others.Foreign = true
			found.Backups = append(found.Backups, others)
		}
		for _, problem := range catalog.Problems {
			found.Problems = append(found.Problems, fmt.Sprintf("%s: %s: %s", d.kind, problem.Key, problem.Why))
		}
	}
	api.SortNewestFirst(found.Backups, api.StoredBackup.Taken)
	return found, nil
}

// knownDestinations returns the destinations of a cluster that this host backs up.
func (h Host) knownDestinations(ctx context.Context, cluster string) ([]destination, error) {
	b, err := h.backup(cluster)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, api.Refuse("this host does not back up cluster %s, and knows no backups of it", cluster)
	}
	return h.destinations(ctx, *b)
}

// backupOwner returns the name in manifests for the owner of a cluster on this host.
func (h Host) backupOwner(cluster string) (string, error) {
	marker, err := h.Records.Marker(cluster)
	if err != nil || marker == nil {
		return "", err
	}
	return backup.Owner(marker.Owner), nil
}

// list lists a cluster's backups at a destination, as its owner sees them.
func list(ctx context.Context, at destination, cluster, owner string) (backup.Catalog, error) {
	var catalog backup.Catalog
	err := backup.WhileItMoves(ctx, listStall, fmt.Sprintf("the list of what is in %s", at), func(ctx context.Context, moved func()) (err error) {
		catalog, err = listIn(ctx, at, at.tracked(moved).Destination, cluster, owner)
		return err
	})
	return catalog, err
}

// listIn lists a cluster's backups at a destination through a source, which shows all of the destination or a part. It
// has no deadline.
func listIn(ctx context.Context, at destination, from backup.Source, cluster, owner string) (backup.Catalog, error) {
	err := at.away
	if err == nil {
		var catalog backup.Catalog
		if catalog, err = backup.List(ctx, from, cluster, owner); err == nil {
			return catalog, nil
		}
	}
	return backup.Catalog{}, fmt.Errorf("%s: %w", at.kind, err)
}

// listing is a cluster's backups at a destination, or why they are not known.
type listing struct {
	backup.Catalog
	err error
}

// listAll lists a cluster's backups at each destination, and the proofs of rehearsals at any of them. A proof counts
// for all destinations, since a rehearsal fetches from one.
func listAll(ctx context.Context, all []destination, cluster, owner string) ([]listing, backup.Proofs) {
	lists, proofs := make([]listing, len(all)), backup.Proofs{}
	for i, d := range all {
		if lists[i].Catalog, lists[i].err = list(ctx, d, cluster, owner); lists[i].err == nil {
			proofs.Add(lists[i].Catalog)
		}
	}
	return lists, proofs
}

func stored(e backup.Entry, at string) api.StoredBackup {
	s := api.StoredBackup{
		Name: e.Name, Destination: at, TakenAt: e.TakenAt, Revision: e.Revision, Keys: e.Keys, Hash: e.Hash, SHA256: e.SHA256,
		SizeBytes: e.SizeBytes, StoredBytes: e.StoredSizeBytes, EtcdVersion: e.EtcdVersion, ClusterID: e.ClusterID, Member: e.Member, Encrypted: e.Encrypted(),
	}
	if e.Verified() {
		s.VerifiedAt = e.Rehearsal.At
	}
	return s
}

// Open opens an owner's backup by its name, or the newest one, in a bucket or wherever this host stores its own. If
// there is a marker, the owner is the marker's.
func (h Host) Open(ctx context.Context, cluster, owner, name string, in *api.S3) (*snapshots.Source, error) {
	fresh, err := h.isFresh(cluster)
	if err != nil {
		return nil, err
	}
	var all []destination
	where := "the destinations of this host"
	if in == nil {
		all, err = h.knownDestinations(ctx, cluster)
	} else {
		all, err = h.destinations(ctx, api.Backup{S3: in})
		where = fmt.Sprintf("bucket %s at %s, prefix %q", in.Bucket, in.Endpoint, in.Key)
	}
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, d := range all {
		var from backup.Source = named{d, name}
		called := name
		if name == api.LatestBackup {
			from, called = d, ""
		}
		// Without a deadline: the caller bounds the restore.
		catalog, err := listIn(ctx, d, from, cluster, backup.Owner(owner))
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, problem := range catalog.Problems {
			problems = append(problems, fmt.Errorf("%s: %s: %w", d.kind, problem.Key, problem.Why))
		}
		entries, err := catalog.Restorable(called, backup.Owner(owner), fresh)
		if err != nil {
			return nil, api.Refuse("backup %s of cluster %s in %s: %s", name, cluster, d, err)
		}
		for _, entry := range entries {
			content, err := d.resume(ctx, entry.Key())
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", d.kind, err))
				continue
			}
			return &snapshots.Source{ReadCloser: content, What: "backup " + entry.Name, Size: entry.StoredSizeBytes, SHA256: entry.StoredSHA256, TakenAt: entry.TakenAt}, nil
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("open backup %s of cluster %s: %w", name, cluster, errors.Join(problems...))
	}
	return nil, api.Refuse("there is no backup %q of cluster %s at %s", name, cluster, where)
}

// isFresh tells whether the host carries no cluster of this name, or carried none before the restore that is under way.
func (h Host) isFresh(cluster string) (bool, error) {
	marker, err := h.Records.Marker(cluster)
	if err != nil || marker == nil {
		return err == nil, err
	}
	under, err := h.Records.Restoration(cluster)
	return under != nil && under.Marker == nil, err
}

// Send sends a backup as it is stored at a destination of this host, without the bytes that the caller has. It fails if
// the whole does not match its manifest.
func (h Host) Send(ctx context.Context, cluster string, r api.SendBackupRequest, content io.Writer) error {
	marker, err := h.Records.Marker(cluster)
	if err != nil {
		return err
	}
	if marker == nil {
		return api.Refuse("%s, and no backups of it", records.NoCluster)
	}
	from, err := h.Open(ctx, cluster, marker.Owner, r.Name, nil)
	if err != nil {
		return err
	}
	defer from.Close()
	if r.From < 0 || r.From > from.Size {
		return api.Refuse("%s has %d bytes, and cannot be sent from byte %d on", from.What, from.Size, r.From)
	}
	sent := &snapshots.Counted{From: from, Hash: sha256.New()}
	_, err = io.CopyN(io.Discard, sent, r.From)
	if err == nil {
		_, err = io.Copy(content, sent)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("send %s: %w", from.What, err)
	}
	if sum := hex.EncodeToString(sent.Hash.Sum(nil)); sent.Bytes != from.Size || sum != from.SHA256 {
		return fmt.Errorf("send %s: it is damaged: it has %d bytes with the SHA-256 %s, and its manifest says %d and %s; restore another one", from.What, sent.Bytes, sum, from.Size, from.SHA256)
	}
	return nil
}

// named is a source that shows only the objects of one backup.
type named struct {
	backup.Source
	name string
}

func (n named) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	objects, err := n.Source.List(ctx, prefix)
	return slices.DeleteFunc(objects, func(o backup.Object) bool { return !strings.HasPrefix(o.Key, prefix+n.name+".") }), err
}

// leftToMembers returns how much big files have to leave free on the file system of a path of this process, for the
// members whose data or log lies there; 0: there is none.
func (h Host) leftToMembers(path string) int64 {
	members, err := h.Records.Neighbours("")
	if err != nil {
		return 0 // whoever goes by that marker reports what is wrong with it
	}
	for _, member := range members {
		for _, dir := range []string{h.Files.Path(member.DataDir), h.Files.Path(etcdfs.LogDir(member.DataDir))} {
			if shared, err := disks.SameFilesystem(path, dir); err == nil && shared {
				live, _ := disks.RoomToLive(path)
				return live
			}
		}
	}
	return 0
}
