package units

import (
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/google/go-cmp/cmp"
)

func TestUnitStateInSystemdsWords(t *testing.T) {
	got := unitState(map[string]any{
		"LoadState": "loaded", "ActiveState": "activating", "SubState": "auto-restart", "UnitFileState": "enabled", "Result": "exit-code",
		"MainPID": uint32(42), "NRestarts": uint32(3), "NeedDaemonReload": true, "Job": []any{uint32(7), "/org/freedesktop/systemd1/job/7"}, "Names": []string{"etcd@main.service"},
	})
	want := api.UnitState{LoadState: "loaded", ActiveState: "activating", SubState: "auto-restart", FileState: "enabled", Result: "exit-code",
		MainPID: 42, Restarts: 3, NeedReload: true, Queued: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// A unit that does not exist has no properties of a service.
	got = unitState(map[string]any{"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"})
	if diff := cmp.Diff(api.UnitState{LoadState: "not-found", ActiveState: "inactive", SubState: "dead"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestHowLongAStartInVainTook reads from systemd how long a process has run that never became ready.
func TestHowLongAStartInVainTook(t *testing.T) {
	for name, test := range map[string]struct {
		started, ended, ready uint64 // microseconds since the boot
		result                string
		want                  time.Duration
	}{
		"it has ended":      {5e6, 85e6, 0, "exit-code", 80 * time.Second},
		"one before served": {5e6, 85e6, 4e6, "core-dump", 80 * time.Second},
		"it has served":     {5e6, 85e6, 6e6, "exit-code", 0},
		"it was stopped":    {5e6, 85e6, 0, "success", 0},
		"it runs":           {5e6, 0, 0, "exit-code", 0},
		"never started":     {0, 0, 0, "exit-code", 0},
	} {
		got := unitState(map[string]any{
			"Result": test.result, "ExecMainStartTimestampMonotonic": test.started, "ExecMainExitTimestampMonotonic": test.ended, "ActiveEnterTimestampMonotonic": test.ready,
		})
		if got.Vain != test.want {
			t.Errorf("%s: %s, want %s", name, got.Vain, test.want)
		}
	}
}
