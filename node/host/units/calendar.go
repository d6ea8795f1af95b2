package units

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Calendar reads schedules as systemd does.
type Calendar struct{ Run Runner }

// Slot names the present interval between two runs of a schedule by the time of the next run. Members name it by their
// hosts' clocks, as their timers do, and agree on it even if the clocks differ.
func (c Calendar) Slot(ctx context.Context, schedule string) (string, error) {
	text, err := c.Run(ctx, "systemd-analyze", "calendar", "--", schedule)
	if err != nil {
		return "", fmt.Errorf("%q is no schedule for systemd: it is written like hourly, or *-*-* 0/6:00:00 (man systemd.time): %w", schedule, err)
	}
	all := elapses(text)
	if len(all) == 0 || all[0] == "never" {
		return "", fmt.Errorf("schedule %q never comes", schedule)
	}
	return schedule + ": " + all[0], nil
}

// elapses returns the times at which systemd says that a schedule elapses, in UTC.
func elapses(text []byte) (all []string) {
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case name == "Next elapse" || strings.HasPrefix(name, "Iter. #"):
			all = append(all, strings.TrimSpace(value))
		case name == "(in UTC)" && len(all) > 0:
			all[len(all)-1] = value
		}
	}
	return all
}

// elapsesAhead is how many times of a schedule are read to find the longest interval between two of them: on weekdays
// only, or in working hours, they are not evenly spread.
const elapsesAhead = "64"

// LongestGap returns the longest interval between two future runs of a schedule, or 0 if it is not known: systemd
// before 242 does not say it, and a schedule may have one run at most.
func (c Calendar) LongestGap(ctx context.Context, schedule string) (longest time.Duration) {
	text, err := c.Run(ctx, "systemd-analyze", "calendar", "--iterations="+elapsesAhead, "--", schedule)
	if err != nil {
		return 0
	}
	var last time.Time
	for _, elapse := range elapses(text) {
		at, err := time.Parse("Mon 2006-01-02 15:04:05 MST", elapse)
		if err != nil {
			return 0
		}
		if !last.IsZero() {
			longest = max(longest, at.Sub(last))
		}
		last = at
	}
	return longest
}
