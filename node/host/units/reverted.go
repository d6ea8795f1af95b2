package units

import (
	"regexp"
	"slices"
	"strconv"
)

// beyondLog matches raft's panic in a member whose leader tells it that an entry is agreed on which its log does not
// reach. The leader goes by what this very member has told it to have on disk. Other lines may quote what clients
// write.
var beyondLog = regexp.MustCompile(`^(?:panic: |\{.*"logger":"raft".*"msg":")tocommit\((\d+)\) is out of range \[lastIndex\((\d+)\)\]`)

// Acknowledged returns the entry that a member has told its leader to have logged, if the journal says that the member
// ended over it with a log of this end, which is before that entry; else 0. The same end shows that no other start, on
// other data, has said so.
func Acknowledged(journal []string, end uint64) uint64 {
	for _, line := range slices.Backward(journal) {
		said := beyondLog.FindStringSubmatch(line)
		if said == nil {
			continue
		}
		told, err1 := strconv.ParseUint(said[1], 10, 64)
		last, err2 := strconv.ParseUint(said[2], 10, 64)
		if err1 != nil || err2 != nil || last != end || told <= end {
			return 0
		}
		return told
	}
	return 0
}
