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

// Entry is a backup that there is.
type Entry struct {
	Manifest
	Rehearsal *Rehearsal // nil: it was never tried
}

// Verified tells whether a rehearsal has proved that it restores.
func (e Entry) Verified() bool { return e.Rehearsal != nil && e.Rehearsal.Failure == "" }

// Failed tells whether a rehearsal has shown that it does not.
func (e Entry) Failed() bool { return e.Rehearsal != nil && e.Rehearsal.Failure != "" }

// Catalog is what there is of a cluster at a destination.
type Catalog struct {
	Backups  []Entry   // the owner's, newest first
	Others   []Entry   // those that another cluster of this name has made, newest first: to be left alone
	Problems []Problem // what looks like a backup and is none, in the order of keys
	Partial  []Object  // parts of backups that have no manifest: of one under way, or one that was cut short
}

// Problem is something that cannot be used. Nothing removes it: somebody may know what it was.
type Problem struct {
	Key    string
	Why    error
	Newest bool // of the owner's backups that can be used, none is newer
}

// List lists the backups of a cluster, as its owner sees them. One that cannot be read is a problem and no error: the others are
// there all the same. An error says that nobody knows what there is.
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
	var broken []readResult // of c.Problems
	for _, object := range objects {
		name, ok := nameAt(object.Key)
		if !ok || path.Dir(object.Key) != cluster {
			continue // somebody else's
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
		case errors.Is(read.err, ErrNotThere):
			// removed by another since it was listed
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

// olderThan tells whether all of the owner's backups are older than one that cannot be used. Where its manifest can be read, that
// says so, as of any other. Else the destination's clock does, by when it was stored; of one that was stored in a time to come, that
// clock was wrong, and the revision in its name is to be higher.
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

// newestFirst orders backups by what is in them, and by clocks as little as it can.
func newestFirst(all []Entry) {
	api.SortNewestFirst(all, func(e Entry) api.Taken {
		return api.Taken{ClusterID: e.ClusterID, Revision: e.Revision, At: e.TakenAt, Name: e.Name}
	})
}

// readers is how many manifests are read at a time: each is a request or two, and there may be thousands.
const readers = 8

// readEntry's answer.
type readResult struct {
	entry Entry
	err   error
}

// readEntries reads the backups whose manifests lie at keys, in their order.
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

// readEntry reads the backup whose manifest lies at a key. With an error it has the manifest, where that can be read.
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
		return Entry{Manifest: m}, fmt.Errorf("%s is gone: %w", m.Key(), ErrDamaged)
	case object.Size != m.StoredSizeBytes:
		return Entry{Manifest: m}, fmt.Errorf("%s is %d bytes long, and should be %d: %w", m.Key(), object.Size, m.StoredSizeBytes, ErrDamaged)
	}
	e := Entry{Manifest: m}
	if _, tried := there[m.key(rehearsalSuffix)]; tried {
		// One that cannot be read has proved nothing, and the backup is as good as before.
		if e.Rehearsal, err = rehearsalOf(ctx, from, m.key(rehearsalSuffix)); ctx.Err() != nil {
			return Entry{}, err
		}
	}
	return e, nil
}

// abandonedAfter is for how long a part has to have come no further that counts as left behind, and not as under way: clocks
// differ by less.
const abandonedAfter = 24 * time.Hour

// abandonedBefore is since when parts have to have come no further that count as left behind. A clock may have jumped, this host's or
// that of the destination: both have to say so.
func abandonedBefore(ctx context.Context, at Destination, now time.Time) (time.Time, error) {
	there, err := at.Clock(ctx)
	if there.Before(now) {
		now = there
	}
	return now.Add(-abandonedAfter), err
}

// SweepAbandoned removes the parts of a cluster's objects that a destination was sent, and not to their end. They may have set
// room aside for the whole of them.
func SweepAbandoned(ctx context.Context, at Destination, cluster string, now time.Time) error {
	before, err := abandonedBefore(ctx, at, now)
	if err != nil {
		return err
	}
	return at.Sweep(ctx, cluster+"/", before)
}

// Clean removes what backups of a cluster that were cut short have left at a destination.
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
