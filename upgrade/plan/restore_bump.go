package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// clearance is how far above the revisions that clients have seen a restored cluster begins. Its first revision is
	// marked as compacted, and etcd tells that to a watcher that asks for an older one: a client that has seen N asks
	// for N+1.
	clearance = 2

	// maxRate is more revisions per second than any etcd makes.
	maxRate = 100_000
)

// released is the date of etcd v3: no snapshot is older.
var released = time.Date(2016, time.June, 30, 0, 0, 0, 0, time.UTC)

// Bump returns by how much the revisions of a snapshot are raised, so that no revision that a client has seen is ever
// given to another state. The members' hosts record what clients have seen. If those hosts are no quorum of the old
// voters, Bump also covers what the cluster could have reached since the snapshot was taken. now is the latest of all
// clocks.
func Bump(snapshot api.Snapshot, old []api.Restoration, now time.Time) int64 {
	seen := snapshot.Revision
	for _, member := range old {
		seen = max(seen, member.Revision)
	}
	if !quorumRead(old) {
		seen = max(seen, snapshot.Revision+int64(age(snapshot.TakenAt, now).Seconds()+1)*maxRate)
	}
	return seen - snapshot.Revision + clearance
}

// age returns how old a snapshot may be. A snapshot without a time, or with a time after now, may be as old as etcd.
func age(taken, now time.Time) time.Duration {
	if taken.Before(released) || taken.After(now) {
		taken = released
	}
	return max(now.Sub(taken), 0)
}

// quorumRead tells whether the data of a quorum of the old voters was read. It asks that for the voters that each host
// names, whichever host is right. A member that was about to be added may vote by now.
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
