package upgrade

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Serving members that could not be compared are asked again: one of them may be compacting, or may just have received
// the alarm.
const (
	compareTries = 5
	comparePause = 500 * time.Millisecond
)

// compare asks the voters that answer for the hash of their data if the CORRUPT alarm is raised or a member does not
// start because of different data. It records in the reports which members hold the same. A member that could not be
// compared gets no record.
func (e *Executor) compare(ctx context.Context, reports bootstrap.Reports) {
	var members, unstarted []membership.Member
	corruptAlarm := false
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
			corruptAlarm = corruptAlarm || hasCorruptAlarm(o.Member)
		}
	}
	if !corruptAlarm && len(unstarted) == 0 {
		return
	}
	members = membership.Sort(members)
	noteHolders(reports, members, e.dataOf(ctx, reports, members, corruptAlarm))
	for _, m := range unstarted {
		if own := reports[m].Observation.Data.Own; own != nil {
			report := reports[m]
			report.Data = e.holdersOf(ctx, reports, members, *own)
			reports[m] = report
		}
	}
}

// hasCorruptAlarm tells whether a member has applied the alarm CORRUPT.
func hasCorruptAlarm(view api.Member) bool {
	return slices.ContainsFunc(view.Alarms, func(alarm string) bool { return strings.HasPrefix(alarm, bootstrap.AlarmCorrupt) })
}

// dataOf returns for each member a text that identifies its data. A member that does not serve is asked with the
// others but not waited for.
func (e *Executor) dataOf(ctx context.Context, reports bootstrap.Reports, members []membership.Member, corruptAlarm bool) map[membership.Member]string {
	for try := 1; ; try++ {
		hashes := e.hashes(ctx, reports, members, e.comparableRevisions(ctx, reports, members, corruptAlarm))
		common := commonCompaction(hashes)
		waits := slices.ContainsFunc(members, func(m membership.Member) bool {
			h, told := hashes[m]
			return reports[m].Observation.Member.Healthy && (!told || h.CompactRevision != common)
		})
		if waits && try < compareTries && pause(ctx, comparePause) == nil {
			continue
		}
		data := map[membership.Member]string{}
		for m, h := range hashes {
			// Under the alarm nobody compacts, so a member that has compacted elsewhere holds other data. Without the
			// alarm, a compaction may be under way.
			if corruptAlarm || h.CompactRevision == common {
				data[m] = fmt.Sprintf("%08x from %d to %d", h.Hash, h.CompactRevision, h.HashRevision)
			}
		}
		return data
	}
}

// comparableRevisions returns the members that can be compared at this moment, and the revision at which to compare
// each.
//
// A member that has applied the alarm refuses every write and compaction that still arrives in the log, so its
// revision stays what it was at that entry. All members that show the alarm stand at that entry, however many clients
// write, and are compared by all data that they hold (revision 0): a different revision means different data. A member
// that does not show the alarm lags behind, and is left out.
//
// Without the alarm, members are compared at the lowest revision of those that serve, each of which has applied
// everything that was committed when it was asked. A member that lags may not have that revision, and answers so.
func (e *Executor) comparableRevisions(ctx context.Context, reports bootstrap.Reports, members []membership.Member, corruptAlarm bool) map[membership.Member]int64 {
	views := answersOf(members, func(m membership.Member) (api.Member, error) {
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
		case corruptAlarm && hasCorruptAlarm(view):
			at[m] = 0
		case !corruptAlarm && lowest > 0:
			at[m] = lowest
		}
	}
	return at
}

// hashes asks members for their hash, each at the revision given for it, and returns the answers that arrive.
func (e *Executor) hashes(ctx context.Context, reports bootstrap.Reports, members []membership.Member, at map[membership.Member]int64) map[membership.Member]api.Hash {
	members = slices.DeleteFunc(slices.Clone(members), func(m membership.Member) bool { _, compared := at[m]; return !compared })
	return answersOf(members, func(m membership.Member) (api.Hash, error) {
		return call[api.Hash](ctx, e.Hosts[m], reports[m].Observation.Store.SHA256, api.OpHash, e.Cluster.Name, "", api.HashRequest{Revision: at[m]})
	})
}

// holdersOf returns the record of the members that hold what a member that does not start holds, as far as its data
// goes. It is empty if nobody does, or if members do that differ after that.
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

// commonCompaction returns the compaction revision that most members have.
func commonCompaction(hashes map[membership.Member]api.Hash) int64 {
	count, common := map[int64]int{}, int64(0)
	for _, h := range hashes {
		count[h.CompactRevision]++
	}
	for compacted, n := range count {
		if n > count[common] || n == count[common] && compacted > common {
			common = compacted
		}
	}
	return common
}

// whoseDataIsRight says what to do about members whose data was found to differ: a quorum of the voters is right, if
// one that serves holds the same. It asks one after another, since a member serves nobody while it reads all its data.
func (r *changeRun) whoseDataIsRight(ctx context.Context, members []membership.Member) string {
	all, voters := slices.Clone(members), r.status.Voters()
	for _, s := range voters {
		if !slices.Contains(all, s.Member) {
			all = append(all, s.Member)
		}
	}
	all = membership.Sort(all)
	views := answersOf(all, func(m membership.Member) (api.Member, error) {
		return ask[api.Member](ctx, r.run, m, api.OpProbe, api.ProbeRequest{})
	})
	maps.DeleteFunc(views, func(_ membership.Member, view api.Member) bool {
		return !view.Healthy && !view.Learner || view.Revision == 0
	})
	var hashes map[membership.Member]api.Hash
	var apart []string
	for try := range 2 { // the second time at a revision that no write changes
		hashes, apart = map[membership.Member]api.Hash{}, nil
		at := map[int64]bool{}
		revision := comparableRevision(slices.Collect(maps.Values(views)), try)
		for _, m := range all {
			h, err := ask[api.Hash](ctx, r.run, m, api.OpHash, api.HashRequest{Revision: revision})
			switch {
			case err != nil:
				apart = append(apart, fmt.Sprintf("%s (%s)", m, err))
			case views[m].Revision > 0: // it serves, or learns
				h.Revision = 0
				hashes[m], at[h.HashRevision] = h, true
			}
		}
		if len(at) <= 1 {
			break
		}
		clear(hashes) // of different revisions
	}
	common := commonCompaction(hashes)
	holders := map[api.Hash][]string{}
	for _, s := range voters {
		if h, told := hashes[s.Member]; told && h.CompactRevision == common {
			holders[h] = append(holders[h], s.Name)
		}
	}
	for right, names := range holders {
		if len(names) < membership.Quorum(len(voters)) {
			continue
		}
		var wrong []string
		for _, m := range all {
			h, told := hashes[m]
			switch learner := views[m].Learner; {
			case !told || h.CompactRevision != common || h == right:
			case learner:
				wrong = append(wrong, fmt.Sprintf("remove %s on the host of another (etcdctl member remove %s)", m, views[m].MemberID))
			default:
				wrong = append(wrong, fmt.Sprintf("stop %s (systemctl stop etcd@%s on its host), and give it another rebuild if the configuration has it, so that it is not started first", m, r.Cluster.Name))
			}
		}
		if len(wrong) > 0 {
			return fmt.Sprintf("a quorum of the voters holds the same (%s); %s; plan again, and apply: it is built anew from the others", strings.Join(names, ", "), strings.Join(wrong, "; "))
		}
	}
	if len(apart) > 0 {
		return fmt.Sprintf("not all could be compared: %s; have them answer, and apply again before you change anything else", strings.Join(apart, "; "))
	}
	return "no quorum of the voters is seen to hold the same: find out which member is wrong before you change anything else"
}

// answersOf asks all members at once and returns the answers that arrive.
func answersOf[R any](members []membership.Member, ask func(membership.Member) (R, error)) map[membership.Member]R {
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

// noteHolders records in the reports what each member holds, as A, B and so on in the order of the members' names, so
// that the same cluster is always recorded alike.
func noteHolders(reports bootstrap.Reports, members []membership.Member, data map[membership.Member]string) {
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

// clearCorruptAlarm compares the data of all healthy voters again, and clears the alarm if it is the same.
func (r *changeRun) clearCorruptAlarm(ctx context.Context) error {
	var members []membership.Member
	for _, s := range r.status.Healthy() {
		members = append(members, s.Member)
	}
	data := r.dataOf(ctx, r.reports, members, true)
	for _, m := range members {
		if data[m] == "" || data[m] != data[members[0]] {
			return fmt.Errorf("the members do not show the same data: %s holds %q, and %s holds %q; the alarm stays: plan again", members[0], data[members[0]], m, data[m])
		}
	}
	return r.throughLeader(ctx, api.OpDisarm, api.DisarmRequest{Owner: r.order.Owner, Corrupt: true})
}
