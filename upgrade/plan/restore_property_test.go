package plan_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
	"pgregory.net/rapid"
)

// drawRestoring is hosts in any condition, and what is to be restored on them.
func drawRestoring(t *rapid.T) (membership.Restoring, membership.Spec) {
	want := membership.Spec{Name: "prod", Version: "3.7.3", Restore: membership.Restoration{Source: "backup.db", SHA256: rapid.SampledFrom([]string{"", "5e"}).Draw(t, "sha"),
		Overwrites: rapid.SampledFrom([]string{"", "old", "old", "old"}).Draw(t, "overwrites"), RollBack: rapid.IntRange(0, 5).Draw(t, "roll back") == 0}}
	p := membership.Restoring{Agreed: rapid.Bool().Draw(t, "agreed"), Saved: rapid.Bool().Draw(t, "saved")}
	size := rapid.SampledFrom(membership.Sizes()).Draw(t, "size")
	for i := range size + rapid.IntRange(0, 2).Draw(t, "leavers") {
		s := membership.RestoreStatus{Member: member(string(rune('a' + i))), Desired: i < size}
		if s.Desired {
			want.Members = append(want.Members, s.Member)
		}
		switch rapid.SampledFrom([]string{"bare", "healthy", "healthy", "marked", "unreachable", "foreign", "storemissing", "fenced", "fenced", "restored", "checked", "opened", "finished"}).Draw(t, "condition") {
		case "unreachable":
			s.Unreachable = true
		case "foreign":
			s.Refused = "its host carries another cluster"
		case "storemissing":
			s.StoreMissing, s.Marked = true, true
		case "healthy":
			s.Marked, s.Installed, s.Running, s.ServingID = true, true, true, "old"
		case "marked":
			s.Marked, s.Installed = true, true
		case "finished":
			s.Marked, s.Installed, s.Running, s.Configured, s.Finished = true, true, true, true, true
		case "fenced":
			drawStage(t, &s, membership.Fenced)
			s.Source = rapid.SampledFrom([]string{"backup.db", "other.db"}).Draw(t, "source")
		case "restored":
			drawStage(t, &s, membership.Restored)
		case "checked":
			drawStage(t, &s, membership.Checked)
		case "opened":
			drawStage(t, &s, membership.Opened)
		}
		if s.Installed && rapid.Bool().Draw(t, "fetched") {
			s.Fetched = "5e"
		}
		p.Members = append(p.Members, s)
	}
	return p, want
}

// drawStage has a host come to a stage; what is not desired comes no further than to be fenced.
func drawStage(t *rapid.T, s *membership.RestoreStatus, stage membership.RestoreStage) {
	s.Marked, s.Installed, s.Stage = true, true, stage
	s.Source, s.Snapshot, s.Token = "backup.db", "5e", "new"
	if !s.Desired {
		s.Stage = membership.Fenced
	}
	if s.Stage != membership.Fenced {
		s.Configured = rapid.Bool().Draw(t, "configured")
		s.Running = s.Configured && rapid.Bool().Draw(t, "running")
		s.Rested = rapid.Bool().Draw(t, "rested")
	}
}

// TestRestorePlansAreSafe holds of every plan, whatever was seen: it touches no host that must not be; nothing is
// fenced before all desired hosts have the snapshot; nothing is restored while an old member could run; nothing is
// opened before the members have agreed twice with a start in between, unless a host was opened before; and it has an
// end.
func TestRestorePlansAreSafe(t *testing.T) {
	sample.Check(t, 100, func(t *rapid.T) {
		p, want := drawRestoring(t)
		planned, err := plan.Restore(p, want)
		if err != nil {
			var refusal *membership.Refusal
			if !errors.As(err, &refusal) || refusal.Rule == "" || refusal.Remedy == "" {
				t.Fatalf("%+v: no refusal with a rule and a remedy: %v", p, err)
			}
			if len(planned.Steps) > 0 {
				t.Fatalf("%+v: refused, with steps", p)
			}
			return
		}
		opened, agreements := p.Opened(), 0
		if slices.ContainsFunc(p.Members, func(s membership.RestoreStatus) bool { return s.Stage == membership.Checked }) {
			agreements = 1
		}
		fetched, down, served := map[string]bool{}, map[string]bool{}, false
		for _, s := range p.Members {
			fetched[s.Name] = s.Fetched != ""
			down[s.Name] = !s.Marked || s.Stage != membership.Untouched || s.Unreachable || s.Refused != ""
		}
		for _, step := range planned.Steps {
			fail := func(why string) {
				t.Fatalf("%+v\n%s\n%s: %s", p, texts(planned.Steps), step, why)
			}
			s := p.Member(step.Subject())
			if step.Member != "" && (s == nil || s.Unreachable || s.Refused != "") {
				fail("its host must not be touched")
			}
			switch step.Kind {
			case membership.Fetch:
				fetched[step.Member] = true
			case membership.Fence:
				for _, m := range want.Members {
					if !fetched[m.Name] {
						fail(m.Name + " has no snapshot")
					}
				}
				down[step.Member] = true
			case membership.Restore:
				for name, is := range down {
					if !is {
						fail(name + " may run")
					}
				}
				if opened || !s.Desired {
					fail("there is a way back no more, or nobody wants it")
				}
			case membership.Agree:
				agreements++
				served = true
			case membership.Start:
				served = false
			case membership.Open:
				if !opened && (agreements < 2 || !served) {
					fail(fmt.Sprintf("the members have agreed %d times", agreements))
				}
			case membership.RollBack:
				if opened || !want.Restore.RollBack {
					fail("it is not to be rolled back")
				}
			case membership.Retire:
				if s.Desired || !opened && !slices.ContainsFunc(planned.Steps, func(s membership.Step) bool { return s.Kind == membership.Open }) {
					fail("it may be needed still")
				}
			}
		}
	})
}
