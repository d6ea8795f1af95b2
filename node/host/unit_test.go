package host

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

func TestJournalOfAUnitThatFails(t *testing.T) {
	for state, desired := range map[string]bool{"failed": true, "active": false, "inactive": false} {
		m, units := newMachine(t)
		units.active[api.Unit("main")] = state
		var asked []string
		m.Run = func(_ context.Context, name string, args ...string) ([]byte, error) {
			asked = append([]string{name}, args...)
			return []byte("said\n"), nil
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
		if !slices.Contains(asked, "--unit=etcd@main.service") || !slices.Equal(got.Journal, []string{"said"}) {
			t.Errorf("the journal was asked for by %q, and says %q", asked, got.Journal)
		}
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

// TestUnitsAreKnown: each unit that is written to hosts is among those that no room takes for another release's.
func TestUnitsAreKnown(t *testing.T) {
	templates, err := filepath.Glob("../../templates/systemd/*@.service")
	if err != nil || len(templates) == 0 {
		t.Fatal(templates, err)
	}
	for _, template := range templates {
		name := strings.Replace(filepath.Base(template), "@.", "@main.", 1)
		if !slices.Contains(api.Units("main"), name) {
			t.Errorf("%s is not among %q", name, api.Units("main"))
		}
	}
}
