package provider

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestProgressLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "progress.log")
	if err := os.WriteFile(file, []byte("an earlier run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := newProgressLog(file, func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("", 3600)) })
	if err != nil {
		t.Fatal(err)
	}
	log.write("prod", "3/14 start a (192.0.2.11)")
	log.write("events", "1/2 start b (192.0.2.12)")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const want = "an earlier run\n2026-11-23T11:00:00Z prod 3/14 start a (192.0.2.11)\n2026-11-23T11:00:00Z events 1/2 start b (192.0.2.12)\n"
	if string(content) != want {
		t.Errorf("the log is\n%s\nwant\n%s", content, want)
	}
}
