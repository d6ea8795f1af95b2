package units

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// comparisonFailed is etcd's message if the comparison with its peers, which it makes before it serves, finds that
	// a peer's data differs.
	comparisonFailed = "checkInitialHashKV failed"
	// otherHash is etcd's message before that for each such peer. It has the hash of the member's own data.
	otherHash = "found different hash values from remote peer"
)

// ownHash matches the hash of the member's own data. The peer's follows it in the line, where the line may be cut off.
var ownHash = regexp.MustCompile(`"` + otherHash + `".*"local-member-revision":(\d+),"local-member-compact-revision":(-?\d+),"local-member-hash":(\d+)`)

// Differs tells whether a journal says that the member did not serve because a peer's data differs from its own.
func Differs(journal []string) bool {
	return slices.ContainsFunc(journal, func(line string) bool { return strings.Contains(line, comparisonFailed) })
}

// ComparedHash returns the hash of the member's own data that etcd compared with its peers at its last start, or nil if
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
