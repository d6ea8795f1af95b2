package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Members that serve and could not be compared are asked again: one of them may compact at that moment, or have just been
// given the alarm.
const (
	compareTries = 5
	comparePause = 500 * time.Millisecond
)

// compare asks the voters that answer for the hash of their data, where an alarm says that it differs or a member does not
// start for that, and notes in the reports who holds the same. Whoever could not be compared has no note.
func (e *Executor) compare(ctx context.Context, reports bootstrap.Reports) {
	var members, unstarted []membership.Member
	alarmed := false
	for m, report := range reports {
		o := report.Observation
		if o == nil || o.Marker == nil {
			continue
		}
		if o.Data.Differs {
			unstarted = append(unstarted, m)
		}
		if o.Member.Responding && !o.Member.Learner {
			members = append(members, m)
			alarmed = alarmed || raised(o.Member)
		}
	}
	if !alarmed && len(unstarted) == 0 {
		return
	}
	members = membership.Sort(members)
	note(reports, members, e.dataOf(ctx, reports, members, alarmed))
	for _, m := range unstarted {
		if own := reports[m].Observation.Data.Own; own != nil {
			report := reports[m]
			report.Data = e.holdersOf(ctx, reports, members, *own)
			reports[m] = report
		}
	}
}

// raised tells whether a member has applied an alarm that the data of members differs.
func raised(view api.Member) bool {
	return slices.ContainsFunc(view.Alarms, func(alarm string) bool { return strings.HasPrefix(alarm, bootstrap.AlarmCorrupt) })
}

// dataOf is what tells the data of members apart, each in its words. One that does not serve is asked with the others, and
// not waited for.
func (e *Executor) dataOf(ctx context.Context, reports bootstrap.Reports, members []membership.Member, alarmed bool) map[membership.Member]string {
	for try := 1; ; try++ {
		hashes := e.hashes(ctx, reports, members, e.comparable(ctx, reports, members, alarmed))
		usual := usualCompaction(hashes)
		waits := slices.ContainsFunc(members, func(m membership.Member) bool {
			h, told := hashes[m]
			return reports[m].Observation.Member.Healthy && (!told || h.CompactRevision != usual)
		})
		if waits && try < compareTries && pause(ctx, comparePause) == nil {
			continue
		}
		data := map[membership.Member]string{}
		for m, h := range hashes {
			// Under the alarm nobody compacts any more: whoever has compacted otherwise holds other data. Without it, a
			// compaction may be on its way.
			if alarmed || h.CompactRevision == usual {
				data[m] = fmt.Sprintf("%08x from %d to %d", h.Hash, h.CompactRevision, h.HashRevision)
			}
		}
		return data
	}
}

// comparable are the members that can be compared at this moment, and the revision to ask each of them for.
//
// Once a member has applied the alarm, it refuses every write and every compaction, which still come in the log: its
// revision stays what it was at that entry. So all that show the alarm stand at one entry, however many writers there are,
// and are compared by all that they hold (0). Another revision is other data then. One that does not show it has not come so far.
//
// Without the alarm, members are compared at the lowest revision of those that serve: each has applied what was agreed
// on when it was asked. One that lags may not have it, and says so.
func (e *Executor) comparable(ctx context.Context, reports bootstrap.Reports, members []membership.Member, alarmed bool) map[membership.Member]int64 {
	views := asked(members, func(m membership.Member) (api.Member, error) {
		return call[api.Member](ctx, e.Hosts[m], reports[m].Observation.Store.SHA256, api.OpProbe, e.Cluster.Name, "", api.ProbeRequest{})
	})
	at, lowest := map[membership.Member]int64{}, int64(0)
	for _, view := range views {
		if view.Healthy && (lowest == 0 || view.Revision < lowest) {
			lowest = view.Revision
		}
	}
	for m, view := range views {
		switch {
		case alarmed && raised(view):
			at[m] = 0
		case !alarmed && lowest > 0:
			at[m] = lowest
		}
	}
	return at
}

// hashes are those of the members that tell them at the revisions that are given.
func (e *Executor) hashes(ctx context.Context, reports bootstrap.Reports, members []membership.Member, at map[membership.Member]int64) map[membership.Member]api.Hash {
	members = slices.DeleteFunc(slices.Clone(members), func(m membership.Member) bool { _, compared := at[m]; return !compared })
	return asked(members, func(m membership.Member) (api.Hash, error) {
		return call[api.Hash](ctx, e.Hosts[m], reports[m].Observation.Store.SHA256, api.OpHash, e.Cluster.Name, "", api.HashRequest{Revision: at[m]})
	})
}

// holdersOf is the note of those who hold what a member holds that does not start, as far as that goes. Empty: nobody
// does, or some do who differ later.
func (e *Executor) holdersOf(ctx context.Context, reports bootstrap.Reports, members []membership.Member, own api.Hash) string {
	at := map[membership.Member]int64{}
	for _, m := range members {
		at[m] = own.HashRevision
	}
	var notes []string
	for m, h := range e.hashes(ctx, reports, members, at) {
		if h.Hash == own.Hash && h.HashRevision == own.HashRevision && h.CompactRevision == own.CompactRevision {
			notes = append(notes, reports[m].Data)
		}
	}
	slices.Sort(notes)
	if notes = slices.Compact(notes); len(notes) != 1 {
		return ""
	}
	return notes[0]
}

// usualCompaction is the revision up to which most members have compacted.
func usualCompaction(hashes map[membership.Member]api.Hash) int64 {
	count, usual := map[int64]int{}, int64(0)
	for _, h := range hashes {
		count[h.CompactRevision]++
	}
	for compacted, n := range count {
		if n > count[usual] || n == count[usual] && compacted > usual {
			usual = compacted
		}
	}
	return usual
}

// asked asks all members at once, and has the answers of those that answer.
func asked[R any](members []membership.Member, ask func(membership.Member) (R, error)) map[membership.Member]R {
	answers := map[membership.Member]R{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, m := range members {
		group.Go(func() {
			answer, err := ask(m)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				answers[m] = answer
			}
		})
	}
	group.Wait()
	return answers
}

// note calls what members hold A, B and so on, in the order of their names: the same cluster is noted alike each time.
func note(reports bootstrap.Reports, members []membership.Member, data map[membership.Member]string) {
	names := map[string]string{}
	for _, m := range members {
		if data[m] == "" {
			continue
		}
		if names[data[m]] == "" {
			names[data[m]] = string(rune('A' + len(names)))
		}
		report := reports[m]
		report.Data = names[data[m]]
		reports[m] = report
	}
}

// acquit compares the data of all healthy voters once more, and takes the alarm back that it differs.
func (r *changeRun) acquit(ctx context.Context) error {
	var members []membership.Member
	for _, s := range r.status.Healthy() {
		members = append(members, s.Member)
	}
	data := r.dataOf(ctx, r.reports, members, true)
	for _, m := range members {
		if data[m] == "" || data[m] != data[members[0]] {
			return fmt.Errorf("the data of the members is not seen to be the same: %s holds %q, and %s %q: the alarm stays; plan again", members[0], data[members[0]], m, data[m])
		}
	}
	return r.throughLeader(ctx, api.OpDisarm, api.DisarmRequest{Owner: r.order.Owner, Corrupt: true})
}
