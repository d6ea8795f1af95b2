package api

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Taken is what tells which of two backups is the newer one.
type Taken struct {
	ClusterID string
	Revision  int64
	At        time.Time // by the clock of the host that took it
	Name      string
}

// clocks is of how many backups of a cluster ID the clocks are compared.
const clocks = 3

// SortNewestFirst sorts backups of one cluster. Clocks of hosts may be wrong, so within a cluster ID the revision decides:
// it only rises. A restore makes a new cluster ID, of which no backup is older than any of the ID before, and whose revisions
// do not always compare with those of the old one. So the IDs are ordered by time: each by the clock in the middle of those
// of its three highest revisions, which one wrong clock does not move out of the time of that ID.
func SortNewestFirst[T any](all []T, taken func(T) Taken) {
	newer := func(a, b Taken) int {
		return cmp.Or(cmp.Compare(b.Revision, a.Revision), b.At.Compare(a.At), strings.Compare(b.Name, a.Name))
	}
	byID := map[string][]Taken{}
	for _, one := range all {
		t := taken(one)
		byID[t.ClusterID] = append(byID[t.ClusterID], t)
	}
	times := map[string]time.Time{}
	for id, those := range byID {
		slices.SortFunc(those, newer)
		those = slices.Compact(those) // one that lies at several destinations has one clock
		those = those[:min(clocks, len(those))]
		slices.SortFunc(those, func(a, b Taken) int { return b.At.Compare(a.At) })
		times[id] = those[len(those)/2].At
	}
	slices.SortStableFunc(all, func(x, y T) int {
		a, b := taken(x), taken(y)
		if a.ClusterID == b.ClusterID {
			return newer(a, b)
		}
		return cmp.Or(times[b.ClusterID].Compare(times[a.ClusterID]), cmp.Compare(b.Revision, a.Revision), strings.Compare(b.ClusterID, a.ClusterID))
	})
}
