package units

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// comparisonFailed is what etcd says where the comparison that it makes before it serves finds other data at a
	// peer.
	comparisonFailed = "checkInitialHashKV failed"
	// otherHash is what it says before that of each such peer, with the hash of its own data.
	otherHash = "found different hash values from remote peer"
)

// ownHash are etcd's words for the hash of its own data. The line goes on with the peer's, and may be cut off there.
var ownHash = regexp.MustCompile(`"` + otherHash + `".*"local-member-revision":(\d+),"local-member-compact-revision":(-?\d+),"local-member-hash":(\d+)`)

// Differs tells whether a journal says that a member did not serve since a peer's data are not its own.
func Differs(journal []string) bool {
	return slices.ContainsFunc(journal, func(line string) bool { return strings.Contains(line, comparisonFailed) })
}

// ComparedHash is the hash of a member's data that etcd compared with that of its peers when it was last started; nil:
// the journal does not say.
func ComparedHash(journal []string) *api.Hash {
	for _, line := range slices.Backward(journal) {
		said := ownHash.FindStringSubmatch(line)
		if said == nil {
			continue
		}
		revision, err1 := strconv.ParseInt(said[1], 10, 64)
		compacted, err2 := strconv.ParseInt(said[2], 10, 64)
		hash, err3 := strconv.ParseUint(said[3], 10, 32)
		if err1 == nil && err2 == nil && err3 == nil {
			return &api.Hash{Hash: uint32(hash), HashRevision: revision, CompactRevision: compacted, Revision: revision}
		}
	}
	return nil
}
