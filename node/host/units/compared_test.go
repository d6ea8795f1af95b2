package units

import (
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestWhatAMemberComparedIsRead reads the hash of a member's own data from etcd's messages: from a line that is cut
// off, of the last of several starts, and among many other lines.
func TestWhatAMemberComparedIsRead(t *testing.T) {
	line := func(revision, hash string) string {
		return `{"level":"warn","ts":"2026-11-28T09:00:00.000000Z","caller":"etcdserver/corrupt.go:129","msg":"found different hash values from remote peer","local-member-id":"8e9e05c52164694d",` +
			`"local-member-revision":` + revision + `,"local-member-compact-revision":-1,"local-member-hash":` + hash + `,"remote-peer-id":"0","remote-peer-endpoints":["https://192.0.2.11:2380"],` +
			`"remote-peer-revision":7,"remote-peer-compact-revision":-1,"remote-peer-hash":12` + strings.Repeat(" ", journalWidth) + `}`
	}
	ended := `{"level":"fatal","caller":"etcdmain/etcd.go:181","msg":"discovery failed","error":"checkInitialHashKV failed: found data inconsistency with peers"}`
	lines := slices.Concat([]string{line("4", "1")}, slices.Repeat([]string{"plain"}, 50), []string{line("5", "4294967295")}, slices.Repeat([]string{"plain"}, 50), []string{ended})
	told := pickLines(lines)
	for i := range told {
		told[i] = told[i][:min(len(told[i]), journalWidth)]
	}
	if own, want := ComparedHash(told), (api.Hash{Hash: 4294967295, HashRevision: 5, CompactRevision: -1, Revision: 5}); own == nil || *own != want {
		t.Errorf("it compared %+v, want %+v", own, want)
	}
	for _, says := range [][]string{nil, {ended}, {line("5", "99999999999")}, {strings.ReplaceAll(line("5", "1"), "local-member-hash", "hash")}} {
		if own := ComparedHash(says); own != nil {
			t.Errorf("%q: it compared %+v", says, own)
		}
	}
}
