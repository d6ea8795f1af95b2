package units

import "testing"

// TestWhatAMemberHasAcknowledgedIsRead reads the entry that a member lacks from raft's panic, if the member ended over
// it with the log that it has.
func TestWhatAMemberHasAcknowledgedIsRead(t *testing.T) {
	logged := func(told, last string) string {
		return `{"level":"panic","ts":"2026-11-30T18:05:29.911322Z","logger":"raft","caller":"v3@v3.7.0/log.go:326","msg":"tocommit(` + told + `) is out of range [lastIndex(` + last + `)]. Was the raft log corrupted, truncated, or lost?"}`
	}
	printed := "panic: tocommit(50) is out of range [lastIndex(8)]. Was the raft log corrupted, truncated, or lost?"
	for name, test := range map[string]struct {
		journal []string
		want    uint64
	}{
		"etcd's line":               {[]string{"plain", logged("50", "8"), "plain"}, 50},
		"Go's line":                 {[]string{printed}, 50},
		"the last of several":       {[]string{logged("40", "8"), logged("50", "8"), printed}, 50},
		"of another log":            {[]string{logged("50", "7")}, 0},
		"of another log, by now":    {[]string{logged("50", "8"), logged("50", "9")}, 0},
		"no entry that it lacks":    {[]string{logged("8", "8")}, 0},
		"a number that is none":     {[]string{logged("99999999999999999999", "8")}, 0},
		"nothing of it":             {[]string{"panic: runtime error: index out of range [8] with length 8"}, 0},
		"what a client has written": {[]string{`{"level":"warn","msg":"apply request took too long","request":"header:<> put:<key:\"tocommit(50) is out of range [lastIndex(8)]\">"}`}, 0},
		"no journal could be had":   {nil, 0},
	} {
		if told := Acknowledged(test.journal, 8); told != test.want {
			t.Errorf("%s: %d, want %d", name, told, test.want)
		}
	}
}
