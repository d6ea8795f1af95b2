package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Members that a comparison finds at different entries of the log are asked again: an alarm keeps writes out, so they
// come together within moments.
const (
	compareTries = 5
	comparePause = 500 * time.Millisecond
)

// compare asks all voters that answer for the hash of their data at one revision, where an alarm says that it
// differs or a member does not start for that, and notes in the sight who holds the same. Whoever could not be asked has no note.
func (e *Executor) compare(ctx context.Context, sight bootstrap.Sight) {
	var seats []membership.Member
	alarmed := false
	for m, report := range sight {
		o := report.Observation
		alarmed = alarmed || o != nil && o.Data.Differs
		if o == nil || o.Marker == nil || !o.Member.Responding || o.Member.Learner {
			continue
		}
		seats = append(seats, m)
		alarmed = alarmed || slices.ContainsFunc(o.Member.Alarms, func(a string) bool { return strings.HasPrefix(a, bootstrap.AlarmCorrupt) })
	}
	if !alarmed {
		return
	}
	membership.Sort(seats)
	for range compareTries {
		data, comparable := e.dataOf(ctx, sight, seats)
		if comparable {
			note(sight, seats, data)
			return
		}
		if pause(ctx, comparePause) != nil {
			return
		}
	}
}

// dataOf is what tells the data of members apart, each in its words; false: they are not at the same entry of the
// log, or have not compacted alike, or one of them did not answer.
func (e *Executor) dataOf(ctx context.Context, sight bootstrap.Sight, seats []membership.Member) (map[membership.Member]string, bool) {
	views := make([]api.Member, len(seats))
	hashes := make([]api.Hash, len(seats))
	all := make([]int, len(seats))
	for i := range all {
		all[i] = i
	}
	store := func(i int) string { return sight[seats[i]].Observation.Store.SHA256 }
	err := together(all, func(i int) (err error) {
		views[i], err = call[api.Member](ctx, e.Hosts[seats[i]], store(i), api.OpProbe, e.Cluster.Name, "", api.ProbeRequest{})
		return err
	})
	if err != nil {
		return nil, false
	}
	revision := views[0].Revision
	for _, view := range views {
		if !view.Responding || view.AppliedIndex != views[0].AppliedIndex {
			return nil, false
		}
		revision = min(revision, view.Revision)
	}
	err = together(all, func(i int) (err error) {
		hashes[i], err = call[api.Hash](ctx, e.Hosts[seats[i]], store(i), api.OpHash, e.Cluster.Name, "", api.HashRequest{Revision: revision})
		return err
	})
	data := map[membership.Member]string{}
	for i, m := range seats {
		if hashes[i].CompactRevision != hashes[0].CompactRevision {
			return nil, false
		}
		// At one entry of the log, another revision is other data too.
		data[m] = fmt.Sprintf("%08x at %d of %d", hashes[i].Hash, hashes[i].HashRevision, views[i].Revision)
	}
	return data, err == nil
}

// note calls what members hold A, B and so on, in the order of their names: the same cluster is noted alike each time.
func note(sight bootstrap.Sight, seats []membership.Member, data map[membership.Member]string) {
	names := map[string]string{}
	for _, m := range seats {
		if names[data[m]] == "" {
			names[data[m]] = string(rune('A' + len(names)))
		}
		report := sight[m]
		report.Data = names[data[m]]
		sight[m] = report
	}
}
