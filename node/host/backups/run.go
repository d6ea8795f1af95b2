package backups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// run is a backup or a rehearsal under way.
type run struct {
	Host
	kind   string
	marker api.Marker
	config api.Backup
	keys   keys
	asked  bool
	say    func(string)
	result api.Run
	bytes  int64     // of the snapshot, in the clear
	known  time.Time // when the run of another member ended that has done this one
	moved  func()    // tells that the run comes further; nil: nobody wants to know
	left   *run      // what the run was before its work, which did not end and was left behind; nil: it has ended
}

// errNotNow is why a run is not this member's to do, which is no failure unless somebody has asked for it.
var errNotNow = errors.New("nothing was done")

// RunBackup does a run of the backup, if no other member does it. It says what it does.
func (h Host) RunBackup(ctx context.Context, cluster string, now bool, say func(string)) error {
	r, err := h.newRun(cluster, KindBackup, now, say)
	if err != nil {
		return err
	}
	return r.carryOut(ctx, r.config.Schedule, r.backUp)
}

// newRun is a run by what the host backs its cluster up by.
func (h Host) newRun(cluster, kind string, now bool, say func(string)) (*run, error) {
	marker, err := h.Records.Marker(cluster)
	if err != nil {
		return nil, err
	}
	if marker == nil {
		return nil, api.Refuse("%s: there is no %s", records.NoCluster, api.MarkerFile(cluster))
	}
	b, err := h.backup(cluster)
	if err != nil {
		return nil, err
	}
	if b == nil || kind == KindRehearsal && b.Rehearsal == nil {
		return nil, api.Refuse("this host makes no %s of cluster %s", kind, cluster)
	}
	r := &run{Host: h, kind: kind, marker: *marker, config: *b, asked: now, say: say}
	if r.keys, err = backupKeys(*b); err != nil {
		return nil, err
	}
	if err := h.Files.EnsureDir(api.BackupStateDir(marker.DataDir), files.RootUser, files.PublicDir); err != nil {
		return nil, err
	}
	// Whoever has asked finds by this that the run knows of it.
	asked := h.Files.Path(AskedFile(marker.DataDir, kind))
	if _, err := os.Lstat(asked); err == nil {
		r.asked = true
	}
	return r, files.Remove(asked)
}

// carryOut has the run done by the member that has the slot, and remembers what became of it where that is this member.
func (r *run) carryOut(ctx context.Context, schedule string, do func(context.Context) (string, error)) error {
	r.result.Began = r.Now().UTC()
	mine := true
	err := r.mayRun(ctx)
	if err == nil {
		mine, err = r.inSlot(ctx, schedule, do)
	}
	if r.left != nil {
		r = r.left
	}
	if !r.asked && errors.Is(err, errNotNow) {
		r.say(err.Error())
		return nil
	}
	if !mine && err == nil {
		return r.remember(r.known)
	}
	r.result.Ended = r.Now().UTC()
	if err != nil {
		r.result.Error = err.Error()
	}
	return errors.Join(err, r.record())
}

// mayRun says why a run would be of no use now.
func (r *run) mayRun(ctx context.Context) error {
	under, err := r.Records.Restoration(r.marker.Cluster)
	if err != nil {
		return err
	}
	if under != nil && under.Stage != api.StageOpened {
		return fmt.Errorf("%w: %s", errNotNow, under)
	}
	view := r.patiently(ctx)
	switch {
	case !view.Responding:
		return fmt.Errorf("member %s does not answer: %s", r.marker.Member, view.Error)
	case view.Learner:
		return fmt.Errorf("%w: member %s is a learner, and may be behind", errNotNow, r.marker.Member)
	case !view.Healthy:
		return fmt.Errorf("member %s cannot reach a majority of the voters, and may be behind: %s", r.marker.Member, view.HealthError)
	}
	return nil
}

// patiently asks the local member how it is, again and again where it is not well: a busy one may be late.
func (r *run) patiently(ctx context.Context) api.Member {
	for end := time.Now().Add(slotTimeout); ; {
		view := r.local(r.marker).Look(ctx)
		if view.Healthy || view.Learner || ctx.Err() != nil || time.Now().After(end) {
			return view
		}
		time.Sleep(readyPoll)
	}
}

// inSlot does the run where this member has the slot.
func (r *run) inSlot(ctx context.Context, schedule string, do func(context.Context) (string, error)) (mine bool, err error) {
	slot, err := r.calendar().Slot(ctx, schedule)
	if err != nil {
		return true, err
	}
	by, err := r.runOnce(ctx, slotRun{r.marker, r.kind, slot, r.asked}, func(ctx context.Context) (string, error) {
		mine = true
		r.result.Began = r.Now().UTC()
		return r.guarded(ctx, do)
	})
	if err == nil && !mine {
		r.known = by.At
		r.say(fmt.Sprintf("nothing was done now: member %s has done this %s already: %s; for another one before the next is due, touch %s and start the unit again, or run store %s %s --now",
			by.Member, r.kind, by.Backup, AskedFile(r.marker.DataDir, r.kind), map[string]string{KindBackup: "backup", KindRehearsal: "rehearse"}[r.kind], r.marker.Cluster))
	}
	return mine || err != nil, err
}

// backUp takes a snapshot, and stores it at each destination. All are tried: what one refuses, another may keep. It is
// done where all have it. Those that are near come first: what is far may take many hours, and this run its end.
func (r *run) backUp(ctx context.Context) (string, error) {
	all, err := r.destinations(ctx, r.config)
	if err != nil {
		return "", err
	}
	slices.SortStableFunc(all, func(a, b destination) int { return cmp.Compare(a.distance(), b.distance()) })
	for _, d := range all {
		if d.directory != nil && d.away == nil {
			// A run that was killed holds the room of its whole backup there. What is wrong with the directory this run
			// says where it stores.
			_ = backup.SweepAbandoned(ctx, d, r.marker.Cluster, r.Now())
		}
	}
	taken, err := r.take(ctx, all)
	if err != nil {
		return "", err
	}
	defer taken.file.Close()
	r.bytes, r.result.Revision = taken.SizeBytes, taken.Revision
	done := true
	var failed []error
	var stored []destination
	for _, d := range all {
		if d.away != nil {
			failed, done = append(failed, fmt.Errorf("%s: %w", d.kind, d.away)), false
			continue
		}
		m, err := r.storeAt(ctx, d, taken)
		if err != nil {
			failed, done = append(failed, fmt.Errorf("%s: %w", d.kind, err)), false
			continue
		}
		r.result.Backup = m.Name
		r.say(fmt.Sprintf("stored %s, %d bytes, in %s", m, m.StoredSizeBytes, d))
		stored = append(stored, d)
	}
	failed = append(failed, r.retain(ctx, all, stored)...)
	if !done {
		return "", errors.Join(failed...)
	}
	return r.result.Backup, errors.Join(failed...)
}

// storeAt stores a snapshot at a destination, for as long as that takes more of it.
func (r *run) storeAt(ctx context.Context, to destination, t taken) (m backup.Manifest, err error) {
	err = whileItMoves(ctx, r.stall(storeStall), fmt.Sprintf("the upload to %s", to), func(ctx context.Context, moved func()) error {
		to := to.tracked(moved)
		if to.directory == nil {
			// Parts of uploads that were killed count against a quota. Where they cannot be removed, retention says so.
			_ = backup.SweepAbandoned(ctx, to, r.marker.Cluster, r.Now())
		}
		m, err = t.storeAt(ctx, to, r.keys.recipients)
		return err
	})
	return m, err
}

// retain lets those backups go that nothing keeps, and what was cut short, at the destinations that have the new one.
func (r *run) retain(ctx context.Context, all, stored []destination) (failed []error) {
	lists, proofs := listAll(ctx, all, r.marker.Cluster, backup.Owner(r.marker.Owner))
	for i, d := range all {
		if !slices.Contains(stored, d) {
			continue // of which it was said already what is wrong with it
		}
		err := lists[i].err
		if err == nil {
			if err = r.letGo(ctx, d, lists[i].Catalog, proofs); err != nil {
				err = fmt.Errorf("%s: %w", d.kind, err)
			}
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// letGo removes from a destination what nothing keeps there.
func (r *run) letGo(ctx context.Context, at destination, catalog backup.Catalog, proofs backup.Proofs) error {
	now := r.Now().UTC()
	var failed []error
	for _, dropped := range backup.Retention(r.config.Keep).Choose(catalog.Backups, proofs, r.calendar().LongestGap(ctx, r.config.Schedule)).Dropped {
		if err := backup.Delete(ctx, at, dropped.Manifest); err != nil {
			failed = append(failed, err)
			continue
		}
		r.say(fmt.Sprintf("removed %s from %s: %s", dropped.Manifest, at, dropped.Why))
	}
	return errors.Join(append(failed, backup.Clean(ctx, at, r.marker.Cluster, catalog, now))...)
}
