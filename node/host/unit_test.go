package host

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
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

func TestJournalOfAUnitThatFails(t *testing.T) {
	for state, desired := range map[string]bool{"failed": true, "active": false, "inactive": false} {
		m, units := newMachine(t)
		units.active[api.Unit("main")] = state
		var asked []string
		m.Run = func(_ context.Context, name string, args ...string) ([]byte, error) {
			asked = append([]string{name}, args...)
			return []byte("short\n" + strings.Repeat("é", journalWidth) + "\n\xff\n"), nil
		}
		got, err := m.unit(t.Context(), "main")
		if err != nil {
			t.Fatal(err)
		}
		if !desired {
			if asked != nil || got.Journal != nil {
				t.Errorf("%s: the journal was read: %q", state, got.Journal)
			}
			continue
		}
		if !slices.Contains(asked, "--unit=etcd@main.service") || !slices.Contains(asked, "--lines=400") {
			t.Errorf("the journal was asked for by %q", asked)
		}
		want := []string{"short", strings.Repeat("é", journalWidth/2) + " ...", "?"}
		if diff := cmp.Diff(want, got.Journal); diff != "" {
			t.Error(diff)
		}
	}
}

// TestJournalOfAPanic holds that the reason of a panic is not pushed out by its stack trace.
func TestJournalOfAPanic(t *testing.T) {
	m, units := newMachine(t)
	units.active[api.Unit("main")] = "failed"
	m.Run = func(context.Context, string, ...string) ([]byte, error) {
		calls := strings.Repeat("go.etcd.io/etcd/server/v3/embed.StartEtcd(0x21deb60a808)\n\tgo.etcd.io/etcd/server/v3@v3.6.16/embed/etcd.go:262 +0x11c8\n", journalLines)
		return []byte(strings.Repeat("before\n", journalLines) + "panic: invalid downgrade\n\ngoroutine 1 [running]:\n" + calls + "created by main.main\n\tmain.go:19 +0x65\netcd@main.service: Main process exited\n"), nil
	}
	got, err := m.unit(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	want := append(slices.Repeat([]string{"before"}, journalLines-3), "panic: invalid downgrade", "", "etcd@main.service: Main process exited")
	if diff := cmp.Diff(want, got.Journal); diff != "" {
		t.Error(diff)
	}
}

func TestJournalThatCannotBeRead(t *testing.T) {
	m, units := newMachine(t)
	units.active[api.Unit("main")] = "failed"
	got, err := m.unit(t.Context(), "main")
	if err != nil || len(got.Journal) != 1 || !strings.Contains(got.Journal[0], "nobody runs journalctl") {
		t.Errorf("it reads %q, %v", got.Journal, err)
	}
}

// TestSystemdThatDoesNotAnswer holds that "cannot ask" never reads as "not there".
func TestSystemdThatDoesNotAnswer(t *testing.T) {
	m, units := newMachine(t)
	units.fail["State"] = errors.New("connection refused")
	if got, err := m.unit(t.Context(), "main"); err == nil {
		t.Errorf("it reads %+v", got)
	}
}

func TestStartWantsAMarker(t *testing.T) {
	m, units := newMachine(t)
	mustRefuse(t, m.Start(t.Context(), "main"), "carries no cluster main")
	if len(units.active) > 0 {
		t.Error("something was started")
	}
}
