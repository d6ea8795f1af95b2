package backup

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Owner is how manifests name whom a cluster belongs to: by the SHA-256 of the token of its Terraform object, which stays
// the same through restores, where the cluster ID does not. The token itself is not for everybody who reads a bucket.
func Owner(token string) string {
	sum := sha256.Sum256([]byte("etcd-backup\x00" + token))
	return hex.EncodeToString(sum[:])
}

// belongs tells whether a backup is an owner's. One without an owner was made before manifests named any, and is of
// whoever keeps backups under this name.
func (e Entry) belongs(owner string) bool { return e.Owner == "" || e.Owner == owner }

// ErrAnothers is what a backup says that another cluster of the same name has made.
var ErrAnothers = fmt.Errorf("another cluster of this name has made it")

// Restorable are the backups, newest first, that a restore may take by a name, or, where that is empty, of which it takes
// the newest. They are the owner's own. What is another's is an error that says so.
//
// A host that carries no cluster yet may be one that is rebuilt by a new Terraform object, after all was lost: where the
// owner has no backup yet, those of the only other owner are what it looks for, and a name says well enough which one.
func (c Catalog) Restorable(name, owner string, fresh bool) ([]Entry, error) {
	own, others := called(name, c.Backups), called(name, c.Others)
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

// called are the backups of a name; all, where it is empty.
func called(name string, backups []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(backups), func(e Entry) bool { return name != "" && e.Name != name })
}

// owners are those of backups.
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
