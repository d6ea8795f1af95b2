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
	known  time.Time // when the member that has done this slot ended its run
	slot   string    // of the schedule
	moved  func()    // is called at each progress of the run; nil: nobody waits for that
	left   *run      // the run as it was before its work, which was left behind since it did not end; nil: it has ended
}

// errNotNow says why this member does not do the run now. It is no failure unless somebody has asked for the run.
var errNotNow = errors.New("nothing was done")

// RunBackup makes a backup unless another member does, and reports what it does by say.
func (h Host) RunBackup(ctx context.Context, cluster string, now bool, say func(string)) error {
	r, err := h.newRun(cluster, KindBackup, now, say)
	if err != nil {
		return err
	}
	return r.carryOut(ctx, r.config.Schedule, r.backUp)
}

// newRun returns a run with the host's settings for backups of the cluster.
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
	// The file's removal shows RunNow that this run knows of the request.
	asked := h.Files.Path(AskedFile(marker.DataDir, kind))
	if _, err := os.Lstat(asked); err == nil {
		r.asked = true
	}
	return r, files.Remove(asked)
}

// carryOut does the run if this member gets the slot, and records the result. Otherwise it records when the other
// member has done it.
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

// mayRun returns why a run would be of no use now.
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

// patiently asks the local member for its status until it is healthy, or for slotTimeout.
func (r *run) patiently(ctx context.Context) api.Member {
	for began := time.Now(); ; time.Sleep(readyPoll) {
		asked := time.Since(began)
		view := r.local(r.marker).After(min(asked, slotTimeout-asked)).Look(ctx)
		if view.Healthy || view.Learner || ctx.Err() != nil || time.Since(began) > slotTimeout {
			return view
		}
	}
}

// inSlot does the run if this member gets the slot. A run that loses it before it is done, e.g. since the cluster had
// no quorum for a while, waits for it again.
func (r *run) inSlot(ctx context.Context, schedule string, do func(context.Context) (string, error)) (mine bool, err error) {
	var by slotRecord
	for try := 1; ; try++ {
		mine = false
		slot, err := r.calendar().Slot(ctx, schedule)
		if err != nil {
			return true, err
		}
		r.slot = slot
		by, err = r.runOnce(ctx, slotRun{r.marker, r.kind, slot, r.asked}, func(ctx context.Context) (string, error) {
			if err := r.mayRun(ctx); err != nil { // the wait for the slot may have taken hours
				return "", err
			}
			mine = true
			r.result = api.Run{Began: r.Now().UTC()}
			return r.guarded(ctx, do)
		})
		if try == slotTries || !errors.Is(err, errSlotLost) || by.Backup != "" || r.left != nil || ctx.Err() != nil {
			return r.concluded(by, mine, err)
		}
		r.say(fmt.Sprintf("%v; the %s begins anew", err, r.kind))
		if err := r.mayRun(ctx); err != nil {
			return true, err
		}
	}
}

// concluded says who has done a run, if it is another member.
func (r *run) concluded(by slotRecord, mine bool, err error) (bool, error) {
	if err == nil && !mine {
		r.known = by.At
		r.say(fmt.Sprintf("nothing was done now: member %s has done this %s already: %s; for another one before the next is due, touch %s and start the unit again, or run store %s %s --now",
			by.Member, r.kind, by.Backup, AskedFile(r.marker.DataDir, r.kind), map[string]string{KindBackup: "backup", KindRehearsal: "rehearse"}[r.kind], r.marker.Cluster))
	}
	return mine || err != nil, err
}

// backUp takes a snapshot, and stores it at each destination. It tries all: what one destination refuses, another one
// may keep. The slot is done once all have the backup. Near destinations come first: a far one may take many hours, or
// never end.
func (r *run) backUp(ctx context.Context) (string, error) {
	all, err := r.destinations(ctx, r.config)
	if err != nil {
		return "", err
	}
	slices.SortStableFunc(all, func(a, b destination) int { return cmp.Compare(a.distance(), b.distance()) })
	for _, d := range all {
		if d.directory != nil && d.away == nil {
			// A killed run leaves a file as large as its backup. If the directory is at fault, storing says so.
			_ = backup.SweepAbandoned(ctx, d, r.marker.Cluster, r.Now())
		}
	}
	done := true
	var failed []error
	var stored []destination
	var snapshot *taken // nil: there is none, or it is on storage that hangs
	defer func() {
		if snapshot != nil {
			snapshot.draft.Close()
		}
	}()
	for _, d := range all {
		m, err := backup.Manifest{}, d.away
		if err == nil {
			m, err = r.storeTaken(ctx, d, &snapshot, func() (*taken, error) { return r.take(ctx, all) })
		}
		if none := (notTaken{}); errors.As(err, &none) {
			return "", errors.Join(append(failed, none.error)...)
		}
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

// notTaken says why there is no snapshot, for any destination.
type notTaken struct{ error }

// storeTaken stores the run's snapshot at a destination. It takes the snapshot if there is none yet, and anew,
// elsewhere, if the directory that it lies in hangs meanwhile.
func (r *run) storeTaken(ctx context.Context, to destination, snapshot **taken, take func() (*taken, error)) (m backup.Manifest, err error) {
	for anew := false; ; anew = true {
		if *snapshot == nil {
			if *snapshot, err = take(); err != nil {
				if *snapshot = nil; !errors.Is(err, backup.ErrStorageHangs) {
					err = notTaken{err}
				}
				return m, err
			}
		}
		m, err = r.storeAt(ctx, to, **snapshot)
		in := (*snapshot).staged
		if err == nil || in == nil || !(*snapshot).draft.Hangs() {
			return m, err
		}
		if *snapshot = nil; anew || in == to.directory {
			return m, err
		}
	}
}

// storeAt stores a snapshot at a destination. It lasts as long as the destination takes bytes.
func (r *run) storeAt(ctx context.Context, to destination, t taken) (m backup.Manifest, err error) {
	err = backup.WhileItMoves(ctx, r.stall(storeStall), fmt.Sprintf("the upload to %s", to), func(ctx context.Context, moved func()) error {
		to := to.tracked(moved)
		if to.directory == nil {
			// Parts of killed uploads count against a quota. If they cannot be removed, retention says so.
			_ = backup.SweepAbandoned(ctx, to, r.marker.Cluster, r.Now())
		}
		m, err = t.storeAt(backup.WithBeat(ctx, moved), to, r.keys.recipients)
		return err
	})
	return m, err
}

// retain applies retention, and removes unfinished uploads, at the destinations that have the new backup.
func (r *run) retain(ctx context.Context, all, stored []destination) (failed []error) {
	lists, proofs := listAll(ctx, all, r.marker.Cluster, backup.Owner(r.marker.Owner))
	for i, d := range all {
		if !slices.Contains(stored, d) {
			continue // its failure is reported already
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

// letGo removes from a destination the backups that retention does not keep, and unfinished uploads.
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
