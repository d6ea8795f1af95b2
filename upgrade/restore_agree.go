package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// agree waits until the restored members are ready, and wants all of them to be of one cluster, under one leader,
// with the same data: before clients reach them, all keys of the snapshot and no others. Hosts that have come no
// further than restored are checked then.
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
	if err := together(unchecked, func(m membership.Member) error { return r.advance(ctx, m, api.StageChecked) }); err != nil {
		return err
	}
	for _, m := range unchecked {
		delete(r.rested, m)
	}
	r.agreed = true
	return nil
}

// ready waits on all hosts at once until each member is ready, and knows as many as are desired.
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

// sameData wants members to have the same hash at one revision that all of them have.
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

// hashes are those of all members at the highest revision that all have: their latest, where nobody writes. Each takes
// a member a read of all of its data.
func (r *restoreRun) hashes(ctx context.Context, members []membership.Member) ([]api.Hash, error) {
	latest := make([]api.Hash, len(members))
	round := func(revision, countAt int64) error {
		indexes := make([]int, len(members))
		for i := range indexes {
			indexes[i] = i
		}
		return together(indexes, func(i int) (err error) {
			m := members[i]
			if latest[i], err = ask[api.Hash](ctx, r.run, m, api.OpHash, api.HashRequest{Revision: revision, CountAt: countAt}); err != nil {
				return fmt.Errorf("hash of %s: %w", m, err)
			}
			return nil
		})
	}
	countAt := int64(0)
	if !r.status.Opened() {
		// Keys whose leases have ended since are gone from the latest revision, and are there at the first.
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

// compare says how members differ; nil: they do not.
func (r *restoreRun) compare(members []membership.Member, hashes []api.Hash) error {
	keys, counted := r.snapshot().Keys, !r.status.Opened()
	var texts []string
	same := make([]api.Hash, len(hashes))
	short := false
	for i, m := range members {
		texts = append(texts, fmt.Sprintf("%s has %08x from %d to %d, %d keys", m, hashes[i].Hash, hashes[i].CompactRevision, hashes[i].HashRevision, hashes[i].Keys))
		same[i] = hashes[i]
		same[i].Revision, same[i].Keys = 0, 0
		short = short || counted && hashes[i].Keys != int64(keys)
	}
	switch {
	case len(slices.Compact(same)) > 1:
		return fmt.Errorf("the data of the members differs: %s; nothing more is done: take the restore back, or apply again to try once more", strings.Join(texts, "; "))
	case short:
		return fmt.Errorf("the members do not have the %d keys of the snapshot: %s; nothing more is done: take the restore back", keys, strings.Join(texts, "; "))
	}
	return nil
}
