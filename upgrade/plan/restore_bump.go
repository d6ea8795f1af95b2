package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// clearance is by how much a restored cluster begins above what clients have seen. The revision that it
	// begins with is marked as compacted, and etcd tells a watcher so that asks for one below it: who has seen N
	// asks for N+1.
	clearance = 2

	// fastest is more revisions a second than any etcd makes.
	fastest = 100_000
)

// released is when etcd v3 was: no snapshot is older.
var released = time.Date(2016, time.June, 30, 0, 0, 0, 0, time.UTC)

// Bump is by how much the revisions of a snapshot are raised, so that no revision that a client has seen is ever
// given to another state. What clients have seen is what the members' hosts say; where those are no quorum of the old
// voters, it is what a cluster could have come to since the snapshot was taken, too. now is the latest of the clocks.
func Bump(snapshot api.Snapshot, old []api.Restoration, now time.Time) int64 {
	seen := snapshot.Revision
	for _, member := range old {
		seen = max(seen, member.Revision)
	}
	if !quorumRead(old) {
		seen = max(seen, snapshot.Revision+int64(age(snapshot.TakenAt, now).Seconds()+1)*fastest)
	}
	return seen - snapshot.Revision + clearance
}

// age is how old a snapshot may be. One that says nothing of it, or was taken later than now, may be as old as etcd.
func age(taken, now time.Time) time.Duration {
	if taken.Before(released) || taken.After(now) {
		taken = released
	}
	return max(now.Sub(taken), 0)
}

// quorumRead tells whether the data of a quorum of the old voters was read: of the members that each of their
// hosts names, whichever of them is right. One that was to be added may vote by now.
func quorumRead(old []api.Restoration) bool {
	readers := map[string]bool{}
	var named [][]string
	for _, member := range old {
		if member.Marker == nil || member.Marker.Phase != api.PhaseFormed {
			continue
		}
		all := slices.Clone(member.Marker.Added)
		for entry := range strings.SplitSeq(member.Marker.InitialCluster, ",") {
			name, url, _ := strings.Cut(entry, "=")
			all = append(all, url)
			if name == member.Marker.Member && member.Revision > 0 {
				readers[url] = true
			}
		}
		named = append(named, all)
	}
	return len(named) > 0 && !slices.ContainsFunc(named, func(all []string) bool {
		read := slices.DeleteFunc(slices.Clone(all), func(url string) bool { return !readers[url] })
		return len(read) < membership.Quorum(len(all))
	})
}
