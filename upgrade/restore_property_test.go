package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// drawRestoring is hosts in any condition, and a wish.
func drawRestoring(t *rapid.T) (membership.Restoring, membership.Spec) {
	want := membership.Spec{Name: "prod", Version: "3.7.3", Restore: membership.Restoration{Source: "backup.db", SHA256: rapid.SampledFrom([]string{"", "5e"}).Draw(t, "sha"),
		Overwrites: rapid.SampledFrom([]string{"", "old", "old", "old"}).Draw(t, "overwrites"), TakeBack: rapid.IntRange(0, 5).Draw(t, "take back") == 0}}
	p := membership.Restoring{Agreed: rapid.Bool().Draw(t, "agreed"), Saved: rapid.Bool().Draw(t, "saved")}
	size := rapid.SampledFrom(membership.Sizes()).Draw(t, "size")
	for i := range size + rapid.IntRange(0, 2).Draw(t, "leavers") {
		s := membership.Site{Member: member(string(rune('a' + i))), Wanted: i < size}
		if s.Wanted {
			want.Members = append(want.Members, s.Member)
		}
		switch rapid.SampledFrom([]string{"bare", "living", "living", "marked", "unreachable", "foreign", "storemissing", "fenced", "fenced", "restored", "checked", "opened", "finished"}).Draw(t, "condition") {
		case "unreachable":
			s.Unreachable = true
		case "foreign":
			s.Refused = "its host carries another cluster"
		case "storemissing":
			s.StoreMissing, s.Marked = true, true
		case "living":
			s.Marked, s.Installed, s.Running, s.Living = true, true, true, "old"
		case "marked":
			s.Marked, s.Installed = true, true
		case "finished":
			s.Marked, s.Installed, s.Running, s.Configured, s.Finished = true, true, true, true, true
		case "fenced":
			drawReach(t, &s, membership.Fenced)
			s.Source = rapid.SampledFrom([]string{"backup.db", "other.db"}).Draw(t, "source")
		case "restored":
			drawReach(t, &s, membership.Restored)
		case "checked":
			drawReach(t, &s, membership.Checked)
		case "opened":
			drawReach(t, &s, membership.Opened)
		}
		if s.Installed && rapid.Bool().Draw(t, "fetched") {
			s.Fetched = "5e"
		}
		p.Sites = append(p.Sites, s)
	}
	return p, want
}

// drawReach has a host come so far; what is not wanted comes no further than to be fenced.
func drawReach(t *rapid.T, s *membership.Site, reach membership.Reach) {
	s.Marked, s.Installed, s.Reach = true, true, reach
	s.Source, s.Snapshot, s.Token = "backup.db", "5e", "new"
	if !s.Wanted {
		s.Reach = membership.Fenced
	}
	if s.Reach != membership.Fenced {
		s.Configured = rapid.Bool().Draw(t, "configured")
		s.Running = s.Configured && rapid.Bool().Draw(t, "running")
		s.Rested = rapid.Bool().Draw(t, "rested")
	}
}

// TestRestorePlansAreSafe holds of every plan, whatever was seen: it touches no host that must not be; nothing is fenced
// before all wanted hosts have the snapshot; nothing is restored while an old member could run; nothing is opened before the
// members have agreed twice with a start in between, unless a host was opened before; and it has an end.
func TestRestorePlansAreSafe(t *testing.T) {
	sample.Check(t, 100, func(t *rapid.T) {
		p, want := drawRestoring(t)
		plan, err := upgrade.Restore(p, want)
		if err != nil {
			var refusal *membership.Refusal
			if !errors.As(err, &refusal) || refusal.Rule == "" || refusal.Remedy == "" {
				t.Fatalf("%+v: no refusal with a rule and a remedy: %v", p, err)
			}
			if len(plan.Steps) > 0 {
				t.Fatalf("%+v: refused, with steps", p)
			}
			return
		}
		opened, agreements := p.Opened(), 0
		if slices.ContainsFunc(p.Sites, func(s membership.Site) bool { return s.Reach == membership.Checked }) {
			agreements = 1
		}
		fetched, down, served := map[string]bool{}, map[string]bool{}, false
		for _, s := range p.Sites {
			fetched[s.Name] = s.Fetched != ""
			down[s.Name] = !s.Marked || s.Reach != membership.Untouched || s.Unreachable || s.Refused != ""
		}
		for _, step := range plan.Steps {
			fail := func(why string) {
				t.Fatalf("%+v\n%s\n%s: %s", p, texts(plan.Steps), step, why)
			}
			s := p.Site(step.Subject())
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
				if opened || !s.Wanted {
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
			case membership.TakeBack:
				if opened || !want.Restore.TakeBack {
					fail("it is not to be taken back")
				}
			case membership.Retire:
				if s.Wanted || !opened && !slices.ContainsFunc(plan.Steps, func(s membership.Step) bool { return s.Kind == membership.Open }) {
					fail("it may be needed still")
				}
			}
		}
	})
}

// TestRestoreConverges cuts restores short at any call, cuts power, wipes hosts, and takes restores back, in any order:
// once all hosts are there, one restore finishes, and the hosts are one cluster with what the snapshot has; or it is
// taken back, and no write is lost.
func TestRestoreConverges(t *testing.T) {
	sample.CheckInBubble(t, 100, func(t *rapid.T) {
		r := outdone(t, rapid.SampledFrom([]int{1, 3}).Draw(t, "members"))
		if rapid.Bool().Draw(t, "grows") {
			r.want("a", "b", "c")
			r.askFor("backup.db")
		}
		wiped := false
		for range rapid.IntRange(1, 4).Draw(t, "events") {
			r.world.Inject(nodetest.Fault{Nth: rapid.IntRange(1, 150).Draw(t, "call"), After: rapid.Bool().Draw(t, "after"), Extent: rapid.SampledFrom([]nodetest.Extent{nodetest.Once, nodetest.Run, nodetest.Session}).Draw(t, "extent")})
			_, _ = r.restore(context.Background(), nil)
			r.world.Heal()
			host := r.world.Host(rapid.SampledFrom(r.cluster.Members).Draw(t, "host").Address)
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0:
				host.PowerCut()
				host.PowerOn()
			case 1:
				if !wiped && r.intact() {
					host.Wipe()
					wiped = true
				}
			case 2:
				r.world.Tick()
			}
		}
		for range 3 {
			r.world.Tick()
		}
		if rapid.Bool().Draw(t, "take back") && !wiped {
			r.cluster.Restore.TakeBack = true
			_, err := r.restore(context.Background(), nil)
			if err == nil {
				r.cluster.Restore, r.cluster.Members = membership.Restoration{}, r.old
				r.mustConverge(1)
				return
			}
			if !strings.Contains(err.Error(), "cannot be taken back: clients may have") {
				t.Fatalf("take back: %v", err)
			}
			r.cluster.Restore.TakeBack = false
		}
		r.mustFinish()
	})
}

// intact tells whether the restore has not come so far that clients may have seen it: what was opened is a cluster that
// lives, and one that loses a host is mended otherwise.
func (r *restoreCase) intact() bool {
	for _, m := range r.cluster.Members {
		var o api.Observation
		if err := r.world.Host(m.Address).Call(context.Background(), "", request(api.OpObserve, r.cluster.Ask()), &o); err != nil {
			continue
		}
		if o.Restore != nil && o.Restore.Stage == api.StageOpened || o.Marker != nil && strings.HasPrefix(o.Marker.Token, "restore-") && o.Restore == nil {
			return false
		}
	}
	return true
}
