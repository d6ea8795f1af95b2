package units

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// leaderlessReach is how far back the journal is searched for elections: longer than a failure has to last, and short
// enough for few lines.
const leaderlessReach = "--since=-90s"

// Leaderless returns how long the member with this process has known no leader, as far as the unit's journal says, or 0
// if the journal does not say. A member without a leader campaigns every few seconds, and logs each campaign.
func (j Journal) Leaderless(ctx context.Context, unit string, process int) time.Duration {
	out, err := j.Run(ctx, "journalctl", "--unit="+unit, leaderlessReach, "--output=json",
		"--output-fields=MESSAGE,_PID", "--no-pager", "--quiet")
	if err != nil {
		return 0
	}
	return sinceLeader(out, process)
}

// sinceLeader returns the time from the first to the last line in which a process says that it has no leader, with none
// elected in between. It reads the journal's monotonic times: a host's clock may be set, and may stand still with its
// machine.
func sinceLeader(journal []byte, process int) time.Duration {
	var first, last int64 // microseconds since the host has booted
	for line := range bytes.Lines(journal) {
		var entry struct {
			At      string `json:"__MONOTONIC_TIMESTAMP"`
			Process string `json:"_PID"`
			Message string `json:"MESSAGE"`
		}
		if json.Unmarshal(line, &entry) != nil || entry.Process != strconv.Itoa(process) {
			continue
		}
		var said struct{ Logger, Msg string }
		if json.Unmarshal([]byte(entry.Message), &said) != nil || said.Logger != "raft" {
			continue
		}
		switch {
		case strings.Contains(said.Msg, " elected leader "):
			first, last = 0, 0
		case strings.Contains(said.Msg, " lost leader "), strings.Contains(said.Msg, " is starting a new election "):
			at, err := strconv.ParseInt(entry.At, 10, 64)
			if err != nil {
				continue
			}
			if last = at; first == 0 {
				first = at
			}
		}
	}
	return time.Duration(last-first) * time.Microsecond
}
