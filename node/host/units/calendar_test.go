package units

import (
	"context"
	"testing"
	"time"
)

// TestLongestGap reads the longest interval between runs of a schedule from the host's own systemd.
func TestLongestGap(t *testing.T) {
	c := Calendar{Exec}
	for schedule, want := range map[string]time.Duration{
		"hourly": time.Hour, "*-*-* 0/6:00:00": 6 * time.Hour, "Mon..Fri 3:00 UTC": 72 * time.Hour, "*-*-* 9..17:00 UTC": 16 * time.Hour,
		"weekly": 7 * 24 * time.Hour, "2037-01-01 00:00 UTC": 0, "no schedule": 0,
	} {
		if got := c.LongestGap(t.Context(), schedule); got != want {
			t.Errorf("%s: %s", schedule, got)
		}
	}
	// The host's time is not UTC, and its offset changes between two runs.
	c.Run = func(context.Context, string, ...string) ([]byte, error) {
		return []byte("    Next elapse: Sun 2026-03-29 00:00:00 CET\n       (in UTC): Sat 2026-03-28 23:00:00 UTC\n       From now: 3h left\n" +
			"       Iter. #2: Mon 2026-03-30 00:00:00 CEST\n       (in UTC): Sun 2026-03-29 22:00:00 UTC\n"), nil
	}
	if got := c.LongestGap(t.Context(), "daily"); got != 23*time.Hour {
		t.Errorf("over a change of the clock: %s", got)
	}
}
