package plan_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// A script of a restore is one of a change with other words:
//
//	observed  a/healthy b/fenced c/restored,running d/unreachable
//	desired   a b c@192.0.2.23 overwrites:old sha:5e
//	----
//	...
//
// A site that is not observed carries nothing, not even the store. Words are healthy (of cluster old), finished,
// unreachable, foreign, away (its disk), storemissing, bare; fenced, restored, checked, opened, of backup.db with
// SHA-256 5e; source:S, sha:S and token:T for one under way otherwise, seen:N; fetched, configured, running, rested.
// What is desired is a list of members, overwrites:ID, source:S, sha:S, kept:NAME (in directories of the hosts) and
// roll-back; words of the whole are agreed, saved, top:N.
func parseRestoring(t testing.TB, script string) (membership.Restoring, membership.Spec) {
	t.Helper()
	want := membership.Spec{Name: "prod", Version: "3.7.3", Restore: membership.Restoration{Source: "backup.db"}}
	var p membership.Restoring
	var observed []string
	for line := range strings.Lines(script) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "#":
		case fields[0] == "observed":
			observed = fields[1:]
		case fields[0] == "desired":
			for _, field := range fields[1:] {
				switch word, value, _ := strings.Cut(field, ":"); word {
				case "overwrites":
					want.Restore.Overwrites = value
				case "source":
					want.Restore.Source = value
				case "sha":
					want.Restore.SHA256 = value
				case "kept":
					want.Restore.Source, want.Restore.Kept = "backup "+value, value
				case "roll-back":
					want.Restore.RollBack = true
				default:
					want.Members = append(want.Members, member(field))
				}
			}
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	want.Members = membership.Sort(want.Members)
	for _, field := range observed {
		switch word, value, _ := strings.Cut(field, ":"); {
		case field == "agreed":
			p.Agreed = true
		case field == "saved":
			p.Saved = true
		case word == "top":
			p.Top = number(t, value)
		default:
			p.Members = append(p.Members, restoreSite(t, field, want))
		}
	}
	for _, m := range want.Members {
		if p.Member(m) == nil {
			p.Members = append(p.Members, membership.RestoreStatus{Member: m, Desired: true})
		}
	}
	slices.SortFunc(p.Members, func(a, b membership.RestoreStatus) int { return strings.Compare(a.String(), b.String()) })
	return p, want
}

func number(t testing.TB, text string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscanf(text, "%d", &n); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}

func restoreSite(t testing.TB, text string, want membership.Spec) membership.RestoreStatus {
	t.Helper()
	name, words, _ := strings.Cut(text, "/")
	m := member(name)
	s := membership.RestoreStatus{Member: m, Desired: slices.Contains(want.Members, m), Installed: true, Marked: true}
	for field := range strings.SplitSeq(words, ",") {
		switch word, value, _ := strings.Cut(field, ":"); word {
		case "":
		case "healthy":
			s.ServingID, s.Running = "old", true
		case "finished":
			s.Finished, s.Running, s.Configured = true, true, true
		case "unreachable":
			s.Unreachable, s.Installed, s.Marked = true, false, false
		case "foreign":
			s.Refused = reasons[membership.Foreign]
		case "away":
			s.Refused = "its disk is not mounted: mount what belongs there"
		case "storemissing":
			s.StoreMissing, s.Installed = true, false
		case "bare":
			s.Marked, s.Backless = false, true
		case "fenced", "restored", "checked", "opened":
			s.Stage, s.Since = membership.RestoreStage(word), "2026-03-01T12:00:00Z"
			s.Source, s.Snapshot, s.Token = "backup.db", "5e", "new"
		case "source":
			s.Source = value
		case "sha":
			s.Snapshot = value
		case "token":
			s.Token = value
		case "seen":
			s.Seen = number(t, value)
		case "fetched":
			s.Fetched = "5e"
		case "configured":
			s.Configured = true
		case "running":
			s.Running = true
		case "rested":
			s.Rested = true
		default:
			t.Fatalf("%s: what is %q?", text, field)
		}
	}
	return s
}

func answerRestoring(t testing.TB, script string) string {
	t.Helper()
	return text(plan.Restore(parseRestoring(t, script)))
}

// TestRestorePlans holds the plans in testdata/restore.
func TestRestorePlans(t *testing.T) {
	files, err := filepath.Glob("testdata/restore/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden(t, file, answerRestoring)
		})
	}
}
