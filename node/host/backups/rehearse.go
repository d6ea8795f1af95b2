package backups

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

// giveWay is how long a member leaves the rehearsal to the member that has the newest backup, if each host keeps its
// own. It is longer than the difference between the hosts' timers.
const giveWay = 2 * time.Minute

// unfit is the error of a backup that does not restore, or that does not restore to what its manifest says. Any other
// error of a rehearsal says nothing of the backup.
type unfit struct{ error }

func (u unfit) Unwrap() error { return u.error }

// RunRehearsal rehearses a restore of the newest backup unless another member does, and reports what it does by say.
func (h Host) RunRehearsal(ctx context.Context, cluster string, now bool, say func(string)) error {
	return h.RehearseAfter(ctx, cluster, now, giveWay, say)
}

func (h Host) RehearseAfter(ctx context.Context, cluster string, now bool, giveWay time.Duration, say func(string)) (err error) {
	r, err := h.newRun(cluster, KindRehearsal, now, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.cleanUp(r.marker)) }()
	if !r.asked && !r.hasNewest(ctx) {
		r.say("the newest backup is on the host of another member, which goes first")
		select {
		case <-time.After(giveWay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return r.carryOut(ctx, r.config.Rehearsal.Schedule, r.rehearse)
}

// hasNewest tells whether a destination of this host has the newest backup of any member. It returns true if it cannot
// find that out: the rehearsal then reports why.
func (r *run) hasNewest(ctx context.Context) bool {
	client, err := r.local(r.marker).Dial(ctx)
	if err != nil {
		return true
	}
	defer client.Close()
	last, err := slotRun{marker: r.marker, kind: KindBackup}.last(ctx, client)
	if err != nil || last.Backup == "" || last.Member == r.marker.Member || r.config.S3 != nil {
		return true
	}
	content, err := r.Open(ctx, r.marker.Cluster, r.marker.Owner, last.Backup, nil)
	if err != nil {
		return false
	}
	return content.Close() == nil
}

// CleanUp removes what a killed rehearsal has left.
func (h Host) CleanUp(cluster string) error {
	marker, err := h.Records.Marker(cluster)
	if err != nil || marker == nil {
		return err
	}
	return h.cleanUp(*marker)
}

func (h Host) cleanUp(marker api.Marker) error {
	return files.RemoveAll(h.Files.Path(RehearsalDir(marker.DataDir)))
}

// RehearsalDir is where a rehearsal works.
func RehearsalDir(dataDir string) string {
	return filepath.Join(api.BackupStateDir(dataDir), KindRehearsal)
}

// rehearsedData is the name of the rehearsed member's data directory in RehearsalDir.
const rehearsedData = "data"

// rehearse proves the newest backup, and records the result beside it.
func (r *run) rehearse(ctx context.Context) (string, error) {
	at, entry, err := r.newest(ctx)
	if err != nil {
		return r.doneIfUnfit(err, "the newest backup")
	}
	r.result.Backup, r.result.Revision, r.bytes = entry.Name, entry.Revision, entry.SizeBytes
	r.result.BehindTime = max(0, r.Now().Sub(entry.TakenAt))
	if live := r.patiently(ctx); live.ClusterID == entry.ClusterID { // else the revisions do not compare
		r.result.BehindRevisions = max(0, live.Revision-entry.Revision)
	}
	began := r.Now()
	if entry.Encrypted() && r.config.Rehearsal.Identity.IsBlank() {
		r.result.ChecksumsOnly = true
		err = checksum(ctx, at, entry.Manifest)
	} else {
		err = r.prove(ctx, at, entry.Manifest)
	}
	if errors.Is(err, backup.ErrBackupDamaged) {
		err = unfit{err}
	}
	result := backup.Rehearsal{At: r.Now().UTC(), Member: r.marker.Member, Took: r.Now().Sub(began)}
	switch failure := (unfit{}); {
	case errors.As(err, &failure):
		result.Failure = failure.Error()
		err = errors.Join(err, backup.Record(ctx, at, entry.Manifest, result))
	case err == nil && !r.result.ChecksumsOnly:
		err = backup.Record(ctx, at, entry.Manifest, result)
	}
	if err == nil {
		r.say(fmt.Sprintf("%s in %s: %s", entry.Manifest, at, map[bool]string{false: "restores, and is what its manifest says", true: "is what was stored; it is encrypted, and without an identity nobody knows whether it restores"}[r.result.ChecksumsOnly]))
		return entry.Name, nil
	}
	return r.doneIfUnfit(err, entry.Name)
}

// doneIfUnfit completes the slot if the backup itself is bad: another member would find the same.
func (r *run) doneIfUnfit(err error, name string) (string, error) {
	if failure := (unfit{}); errors.As(err, &failure) {
		return name, err
	}
	return "", err
}

// newest returns the newest backup, and where it lies.
func (r *run) newest(ctx context.Context) (destination, backup.Entry, error) {
	all, err := r.destinations(ctx, r.config)
	if err != nil {
		return destination{}, backup.Entry{}, err
	}
	at := all[0]
	catalog, err := list(ctx, at, r.marker.Cluster, backup.Owner(r.marker.Owner))
	if err != nil {
		return at, backup.Entry{}, err
	}
	for _, problem := range catalog.Problems {
		if problem.Newest {
			return at, backup.Entry{}, unfit{fmt.Errorf("the newest backup in %s cannot be used: %s: %w", at, problem.Key, problem.Why)}
		}
	}
	if len(catalog.Backups) == 0 {
		return at, backup.Entry{}, fmt.Errorf("there is no backup of cluster %s in %s to rehearse", r.marker.Cluster, at)
	}
	return at, catalog.Backups[0], nil
}

// checksum compares a backup at a destination with the checksum of what was stored there.
func checksum(ctx context.Context, at destination, m backup.Manifest) error {
	content, err := at.Open(ctx, m.Key())
	if err != nil {
		return err
	}
	defer content.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, content)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); size != m.StoredSizeBytes || got != m.StoredSHA256 {
		return unfit{fmt.Errorf("%s is %d bytes long with the SHA-256 %s, and %d bytes with %s were stored: it is damaged", m, size, got, m.StoredSizeBytes, m.StoredSHA256)}
	}
	return nil
}

// prove restores a backup beside the live member, and compares the result with the backup's manifest.
func (r *run) prove(ctx context.Context, at destination, m backup.Manifest) error {
	if err := snapshots.MustSuit(m.String(), api.Snapshot{Version: m.StorageVersion}, api.Minor(r.EtcdVersion)); err != nil {
		return err
	}
	dir := RehearsalDir(r.marker.DataDir)
	if err := r.cleanUp(r.marker); err != nil {
		return err
	}
	// The snapshot and the restored data lie there at the same time.
	restored := m.SizeBytes + disks.RestoreSpare
	if err := r.disks().MustLeaveRoom(api.BackupStateDir(r.marker.DataDir), m.SizeBytes+restored, "a rehearsal"); err != nil {
		return err
	}
	if err := r.Snapshots.MustRehearseInMemory(m.Keys); err != nil {
		return err
	}
	work, err := r.Files.NewDir(dir)
	if err != nil {
		return err
	}
	defer work.Close()
	room, err := r.disks().ReserveIn(dir, restored) // the fetch may take long
	if err != nil {
		return err
	}
	defer room.Close()
	file := filepath.Join(dir, "snapshot.db")
	if err := r.fetchBackup(ctx, at, m, file); err != nil {
		return err
	}
	if err := r.compareSnapshot(m, file); err != nil {
		return err
	}
	peer, err := r.freeLoopback(r.ownPorts()...)
	if err != nil {
		return err
	}
	// etcd's code finds the snapshot by its handle, wherever its name leads by now.
	err = room.GiveWay(filepath.Join(dir, rehearsedData), func() error {
		return snapshots.Restore(snapshot.RestoreConfig{
			SnapshotPath: work.Path(filepath.Base(file)), Name: KindRehearsal, OutputDataDir: work.Path(rehearsedData), PeerURLs: []string{peer.url()},
			InitialCluster: KindRehearsal + "=" + peer.url(), InitialClusterToken: KindRehearsal + "-" + m.Name,
		})
	})
	if err != nil {
		return unfit{fmt.Errorf("%s does not restore: %w", m, err)}
	}
	if err := files.Remove(r.Files.Path(file)); err != nil {
		return err
	}
	return r.compareMember(ctx, m, work, peer)
}

// fetchBackup brings a backup onto the host, in the clear.
func (r *run) fetchBackup(ctx context.Context, at destination, m backup.Manifest, path string) error {
	out, err := inside.OpenFile(r.Files.Path(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, files.KeyFile)
	if err != nil {
		return err
	}
	if err := disks.Reserve(out, m.SizeBytes); err != nil {
		return errors.Join(err, out.Close())
	}
	return errors.Join(backup.Fetch(ctx, at, m, r.keys.identities, out), durable.Release(out), out.Close())
}

// compareSnapshot verifies a snapshot, and compares its content with its manifest.
func (r *run) compareSnapshot(m backup.Manifest, path string) error {
	found, err := etcdfs.VerifySnapshot(m.String(), r.Files.Path(path))
	if err != nil {
		return unfit{err}
	}
	inside, err := etcdfs.RevisionsIn(r.Files.Path(path))
	if err != nil {
		return unfit{fmt.Errorf("%s: %w", m, err)}
	}
	return differs(m, []difference{
		{"revision", found.Revision, m.Revision},
		{"compacted revision", inside.Compact, m.CompactRevision},
		{"keys", found.Keys, m.Keys},
		{"storage version", api.Minor(found.Version), m.StorageVersion},
	})
}

// difference is a value of a backup beside that in its manifest.
type difference struct {
	what      string
	has, says any
}

// differs returns in what a backup differs from its manifest.
func differs(m backup.Manifest, all []difference) error {
	var found []string
	for _, d := range all {
		if fmt.Sprint(d.has) != fmt.Sprint(d.says) {
			found = append(found, fmt.Sprintf("%s %v instead of %v", d.what, d.has, d.says))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return unfit{fmt.Errorf("%s is not what its manifest says: it has %s", m, strings.Join(found, ", "))}
}
