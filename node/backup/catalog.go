package backup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Entry is an existing backup.
type Entry struct {
	Manifest
	Rehearsal *Rehearsal // nil: it was never rehearsed
}

// Verified tells whether a rehearsal has proved that the backup restores.
func (e Entry) Verified() bool { return e.Rehearsal != nil && e.Rehearsal.Failure == "" }

// Failed tells whether a rehearsal has shown that the backup does not restore.
func (e Entry) Failed() bool { return e.Rehearsal != nil && e.Rehearsal.Failure != "" }

// Catalog lists the backups of a cluster at a destination.
type Catalog struct {
	Backups  []Entry   // the owner's, newest first
	Others   []Entry   // backups of another cluster of this name, newest first, which are left alone
	Problems []Problem // objects that look like a backup but are none, in the order of keys
	Partial  []Object  // objects without a manifest: of a backup under way, or of an interrupted one
}

// Problem is an object that cannot be used. Nothing removes it: somebody may know what it was.
type Problem struct {
	Key    string
	Why    error
	Newest bool // none of the owner's usable backups is newer
}

// List lists the backups of a cluster, as its owner sees them. A backup that cannot be read is a problem, and no
// error: the others are still usable. An error means that the catalog is not known.
func List(ctx context.Context, from Source, cluster, owner string) (Catalog, error) {
	objects, err := from.List(ctx, cluster+"/")
	if err != nil {
		return Catalog{}, fmt.Errorf("list the backups of %s: %w", cluster, err)
	}
	there := map[string]Object{}
	for _, object := range objects {
		there[object.Key] = object
	}
	var c Catalog
	var manifests []string
	var broken []readResult // the entries of c.Problems
	for _, object := range objects {
		name, ok := nameAt(object.Key)
		if !ok || path.Dir(object.Key) != cluster {
			continue // not ours
		}
		if _, whole := there[path.Join(cluster, name+manifestSuffix)]; !whole {
			c.Partial = append(c.Partial, object)
			continue
		}
		if strings.HasSuffix(object.Key, manifestSuffix) {
			manifests = append(manifests, object.Key)
		}
	}
	for i, read := range readEntries(ctx, from, manifests, there) {
		switch {
		case errors.Is(read.err, ErrNoObject):
			// another host removed it since it was listed
		case ctx.Err() != nil:
			return Catalog{}, fmt.Errorf("list the backups of %s: %w", cluster, errors.Join(context.Cause(ctx), read.err))
		case read.err != nil:
			c.Problems, broken = append(c.Problems, Problem{Key: manifests[i], Why: read.err}), append(broken, read)
		case read.entry.belongs(owner):
			c.Backups = append(c.Backups, read.entry)
		default:
			c.Others = append(c.Others, read.entry)
		}
	}
	newestFirst(c.Backups)
	newestFirst(c.Others)
	for i := range c.Problems {
		c.Problems[i].Newest = c.olderThan(c.Problems[i], broken[i].entry, owner, there)
	}
	return c, nil
}

// olderThan tells whether all of the owner's backups are older than one that cannot be used. If its manifest can be
// read, they compare like any others. Otherwise the time at which it was stored decides, by the destination's clock.
// If that lies in the future, the clock was wrong, and the revision in its name has to be higher.
func (c Catalog) olderThan(p Problem, broken Entry, owner string, there map[string]Object) bool {
	name, _ := nameAt(p.Key)
	switch {
	case broken.Name != "" && !broken.belongs(owner):
		return false
	case len(c.Backups) == 0:
		return true
	case broken.Name != "":
		all := append(slices.Clone(c.Backups), broken)
		newestFirst(all)
		return all[0].Name == broken.Name
	}
	stored, newest := there[p.Key].Modified, c.Backups[0]
	if stored.After(time.Now()) {
		return revisionIn(name) > newest.Revision
	}
	return stored.After(there[newest.key(manifestSuffix)].Modified)
}

// newestFirst sorts backups by their content, and by clocks as little as possible.
func newestFirst(all []Entry) {
	api.SortNewestFirst(all, func(e Entry) api.Taken {
		return api.Taken{ClusterID: e.ClusterID, Revision: e.Revision, At: e.TakenAt, Name: e.Name}
	})
}

// readers is how many manifests are read concurrently: each takes a request or two, and there may be thousands.
const readers = 8

// readResult is a result of readEntry.
type readResult struct {
	entry Entry
	err   error
}

// readEntries reads the backups with manifests at keys, in that order.
func readEntries(ctx context.Context, from Source, keys []string, there map[string]Object) []readResult {
	all := make([]readResult, len(keys))
	next := make(chan int)
	var working sync.WaitGroup
	for range min(readers, len(keys)) {
		working.Go(func() {
			for i := range next {
				if all[i].err = ctx.Err(); all[i].err == nil {
					all[i].entry, all[i].err = readEntry(ctx, from, keys[i], there)
				}
			}
		})
	}
	for i := range keys {
		next <- i
	}
	close(next)
	working.Wait()
	return all
}

// readEntry reads the backup whose manifest lies at a key. Even with an error it returns the manifest if that can be
// read.
func readEntry(ctx context.Context, from Source, key string, there map[string]Object) (Entry, error) {
	text, err := readAll(ctx, from, key)
	if err != nil {
		return Entry{}, err
	}
	m, err := parseManifest(key, text)
	if err != nil {
		return Entry{}, err
	}
	switch object, found := there[m.Key()]; {
	case !found:
		return Entry{Manifest: m}, fmt.Errorf("%s is gone: %w", m.Key(), ErrBackupDamaged)
	case object.Size != m.StoredSizeBytes:
		return Entry{Manifest: m}, fmt.Errorf("%s is %d bytes long, and should be %d: %w", m.Key(), object.Size, m.StoredSizeBytes, ErrBackupDamaged)
	}
	e := Entry{Manifest: m}
	if _, tried := there[m.key(rehearsalSuffix)]; tried {
		// An unreadable rehearsal proves nothing, and the backup is as good as before.
		if e.Rehearsal, err = rehearsalOf(ctx, from, m.key(rehearsalSuffix)); ctx.Err() != nil {
			return Entry{}, err
		}
	}
	return e, nil
}

// abandonedAfter is how long an unfinished part has to be unchanged to count as abandoned: clocks differ by less.
const abandonedAfter = 24 * time.Hour

// abandonedBefore returns the time before which unfinished parts count as abandoned. Since this host's clock or the
// destination's may have jumped, the earlier of the two counts.
func abandonedBefore(ctx context.Context, at Destination, now time.Time) (time.Time, error) {
	there, err := at.Clock(ctx)
	if there.Before(now) {
		now = there
	}
	return now.Add(-abandonedAfter), err
}

// SweepAbandoned removes abandoned parts of a cluster's objects from a destination. They may reserve room for the
// whole object.
func SweepAbandoned(ctx context.Context, at Destination, cluster string, now time.Time) error {
	before, err := abandonedBefore(ctx, at, now)
	if err != nil {
		return err
	}
	return at.Sweep(ctx, cluster+"/", before)
}

// Clean removes what interrupted backups of a cluster have left at a destination.
func Clean(ctx context.Context, at Destination, cluster string, c Catalog, now time.Time) error {
	before, err := abandonedBefore(ctx, at, now)
	if err != nil {
		return err
	}
	err = at.Sweep(ctx, cluster+"/", before)
	for _, object := range c.Partial {
		if object.Modified.Before(before) {
			err = errors.Join(err, at.Remove(ctx, object.Key))
		}
	}
	return err
}
