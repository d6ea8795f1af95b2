package api

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Taken is what orders backups by age.
type Taken struct {
	ClusterID string
	Revision  int64
	At        time.Time // by the clock of the host that took it
	Name      string
}

// clocks is how many backups of each cluster ID are used to compare clocks.
const clocks = 3

// SortNewestFirst sorts backups of one cluster. Hosts' clocks may be wrong, so within a cluster ID the revision
// decides, which only rises. A restore creates a new cluster ID, all of whose backups are newer than those of the
// previous one, and whose revisions do not always compare with the old ones. So cluster IDs are ordered by time: the
// median of the clocks of their three highest revisions, which a single wrong clock does not affect.
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
		those = slices.Compact(those) // a backup at several destinations counts once
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
