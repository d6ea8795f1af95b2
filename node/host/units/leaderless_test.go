package units

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSinceLeader reads the lines that etcd 3.7.3 logs of its elections, as journalctl prints them.
func TestSinceLeader(t *testing.T) {
	line := func(at, process int, logger, message string) string {
		return fmt.Sprintf(`{"__MONOTONIC_TIMESTAMP":"%d","_PID":"%d","MESSAGE":"{\"level\":\"info\",\"ts\":\"2026-11-28T04:17:09.755105Z\",\"logger\":\"%s\",\"caller\":\"v3@v3.7.0/raft.go:988\",\"msg\":\"%s\"}"}`,
			at*1e6, process, logger, message)
	}
	lost := func(at int) string { return line(at, 7, "raft", "raft.node: 8e9e05c5 lost leader 8e9e05c5 at term 2") }
	campaign := func(at int) string { return line(at, 7, "raft", "8e9e05c5 is starting a new election at term 2") }
	elected := func(at int) string {
		return line(at, 7, "raft", "raft.node: 8e9e05c5 elected leader fd422379 at term 3")
	}
	for name, test := range map[string]struct {
		lines []string
		want  time.Duration
	}{
		"nothing":                          {nil, 0},
		"lost just now":                    {[]string{lost(100)}, 0},
		"lost, and campaigning":            {[]string{lost(100), campaign(102), campaign(131)}, 31 * time.Second},
		"lost before what the journal has": {[]string{campaign(110), campaign(140)}, 30 * time.Second},
		"elected again":                    {[]string{lost(100), campaign(102), campaign(131), elected(132)}, 0},
		"elected, and lost again":          {[]string{lost(100), campaign(131), elected(132), lost(140), campaign(142)}, 2 * time.Second},
		"elected, by the first line":       {[]string{elected(100), campaign(131)}, 0},
		"another process":                  {[]string{line(100, 6, "raft", "8e9e05c5 is starting a new election at term 2"), campaign(131), campaign(133)}, 2 * time.Second},
		"of somebody else":                 {[]string{line(100, 7, "etcd-client", "x is starting a new election at term 2"), campaign(131)}, 0},
		"lines that are no JSON":           {[]string{"-- cursor", `{"_PID":"7","MESSAGE":[1,2]}`, `{"_PID":"7","MESSAGE":"panic"}`, lost(1), "{", campaign(3)}, 2 * time.Second},
	} {
		if got := sinceLeader([]byte(strings.Join(test.lines, "\n")), 7); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
