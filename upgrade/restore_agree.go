package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// agree waits until the restored members are ready, and checks that they form one cluster, with one leader and the
// same data. Until the cluster is open to clients, that data must be all keys of the snapshot and no others. Hosts at
// the stage restored then move to checked.
func (r *restoreRun) agree(ctx context.Context) error {
	var members []membership.Member
	var unchecked []membership.Member
	for _, s := range r.status.Members {
		if !plan.Restored(s) && !(s.Desired && s.Finished) {
			continue
		}
		members = append(members, s.Member)
		if s.Stage == membership.Restored {
			unchecked = append(unchecked, s.Member)
		}
	}
	if err := r.ready(ctx, members); err != nil {
		return err
	}
	if err := r.sameData(ctx, members); err != nil {
		return err
	}
	if err := inParallel(unchecked, func(m membership.Member) error { return r.advance(ctx, m, api.StageChecked) }); err != nil {
		return err
	}
	for _, m := range unchecked {
		delete(r.stoppedChecked, m)
	}
	r.agreed = true
	return nil
}

// ready waits on all hosts at once until each member is ready and lists as many members as are desired.
func (r *restoreRun) ready(ctx context.Context, members []membership.Member) error {
	reports, err := r.allReady(ctx, members)
	if err != nil {
		return err
	}
	first := reports[members[0]].Observation.Member
	for _, m := range members {
		if member := reports[m].Observation.Member; member.ClusterID != first.ClusterID || member.Leader == "" || member.Leader != first.Leader {
			return fmt.Errorf("%s is of cluster %s under leader %q, and %s of cluster %s under %q", m, member.ClusterID, member.Leader, members[0], first.ClusterID, first.Leader)
		}
	}
	return nil
}

// Members compact at different times, so two of them may not be comparable for a moment while they do.
const (
	hashTries = 10
	hashPause = 500 * time.Millisecond
)

// sameData checks that members have the same hash at a revision that all of them have.
func (r *restoreRun) sameData(ctx context.Context, members []membership.Member) error {
	var differ error
	for range hashTries {
		hashes, err := r.hashes(ctx, members)
		if err != nil {
			return err
		}
		if differ = r.compare(members, hashes); differ == nil {
			return nil
		}
		if err := pause(ctx, hashPause); err != nil {
			return errors.Join(differ, err)
		}
	}
	return differ
}

// hashes returns the hash of each member at the highest revision that all have: their latest, if nobody writes. Each
// hash makes a member read all of its data.
func (r *restoreRun) hashes(ctx context.Context, members []membership.Member) ([]api.Hash, error) {
	latest := make([]api.Hash, len(members))
	round := func(revision, countAt int64) error {
		indexes := make([]int, len(members))
		for i := range indexes {
			indexes[i] = i
		}
		return inParallel(indexes, func(i int) (err error) {
			m := members[i]
			if latest[i], err = ask[api.Hash](ctx, r.run, m, api.OpHash, api.HashRequest{Revision: revision, CountAt: countAt}); err != nil {
				return fmt.Errorf("hash of %s: %w", m, err)
			}
			return nil
		})
	}
	countAt := int64(0)
	if !r.status.Opened() {
		// Keys whose leases have ended since are gone from the latest revision, but still there at the first.
		countAt = r.snapshot().Revision + r.bumped
	}
	if err := round(0, countAt); err != nil {
		return nil, err
	}
	revision, same := latest[0].Revision, true
	for _, hash := range latest {
		same = same && hash.HashRevision == latest[0].HashRevision
		revision = min(revision, hash.Revision)
	}
	if same {
		return latest, nil
	}
	return latest, round(revision, countAt)
}

// compare returns how members differ, or nil.
func (r *restoreRun) compare(members []membership.Member, hashes []api.Hash) error {
	keys, counted := r.snapshot().Keys, !r.status.Opened()
	var texts []string
	same := make([]api.Hash, len(hashes))
	missing := false
	for i, m := range members {
		texts = append(texts, fmt.Sprintf("%s has %08x from %d to %d, %d keys", m, hashes[i].Hash, hashes[i].CompactRevision, hashes[i].HashRevision, hashes[i].Keys))
		same[i] = hashes[i]
		same[i].Revision, same[i].Keys = 0, 0
		missing = missing || counted && hashes[i].Keys != int64(keys)
	}
	switch {
	case len(slices.Compact(same)) > 1:
		return fmt.Errorf("the data of the members differs: %s; the restore stops here: apply again to retry, or set restore.roll_back to undo it", strings.Join(texts, "; "))
	case missing:
		return fmt.Errorf("the members do not have the %d keys of the snapshot: %s; the restore stops here: set restore.roll_back to undo it", keys, strings.Join(texts, "; "))
	}
	return nil
}
