package backup

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Owner returns how manifests name a cluster's owner: by the SHA-256 of the token of its Terraform object, which stays
// the same through restores, unlike the cluster ID. The token itself is a secret that readers of a bucket must not
// learn.
func Owner(token string) string {
	sum := sha256.Sum256([]byte("etcd-backup\x00" + token))
	return hex.EncodeToString(sum[:])
}

// belongs tells whether a backup is the owner's. A backup without an owner was made before manifests named one, and
// belongs to any cluster of its name.
func (e Entry) belongs(owner string) bool { return e.Owner == "" || e.Owner == owner }

// ErrAnothers is returned for a backup of another cluster of the same name.
var ErrAnothers = fmt.Errorf("another cluster of this name has made it")

// Restorable returns the backups, newest first, that a restore may use: those with a name or, if it is empty, all, of
// which the restore uses the newest. They are the owner's own; for another's it returns an error that says so.
//
// fresh means that the host carries no cluster yet, and may be rebuilt by a new Terraform object after everything was
// lost. If the owner has no backup then, those of the only other owner qualify, and so does a backup that is given by
// name.
func (c Catalog) Restorable(name, owner string, fresh bool) ([]Entry, error) {
	own, others := withName(name, c.Backups), withName(name, c.Others)
	switch hasOwn := slices.ContainsFunc(c.Backups, func(e Entry) bool { return e.Owner == owner }); {
	case len(others) == 0, name == "" && (hasOwn || len(own) > 0 && !fresh), name != "" && len(own) > 0:
		return own, nil
	case fresh && (name != "" || len(owners(c.Others)) == 1):
		all := slices.Concat(own, others)
		newestFirst(all)
		return all, nil
	case name != "":
		return nil, fmt.Errorf("%s: %w (its cluster ID is %s): to restore it all the same, name its object by restore.s3, or a copy of it by restore.file", others[0], ErrAnothers, others[0].ClusterID)
	}
	return nil, fmt.Errorf("it is not known which backup is the latest: none is of this cluster, and there are those of others of its name, of which the latest are %s: name one, or its object by restore.s3: %w",
		strings.Join(latestOfEach(others), ", "), ErrAnothers)
}

// withName returns the backups of a name, or all if it is empty.
func withName(name string, backups []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(backups), func(e Entry) bool { return name != "" && e.Name != name })
}

// owners returns the owners of backups.
func owners(backups []Entry) []string {
	var all []string
	for _, e := range backups {
		all = append(all, e.Owner)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// latestOfEach names the newest backup of each owner.
func latestOfEach(backups []Entry) (names []string) {
	seen := map[string]bool{}
	for _, e := range backups {
		if !seen[e.Owner] {
			seen[e.Owner] = true
			names = append(names, fmt.Sprintf("%s of cluster %s", e.Name, cmp.Or(e.ClusterID, "unknown")))
		}
	}
	return names
}
