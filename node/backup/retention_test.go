package backup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	good = &Rehearsal{At: noon}
	bad  = &Rehearsal{At: noon, Failure: "its hash is another"}
)

// taken returns a backup that was made this many hours after noon.
func taken(hours int, r *Rehearsal) Entry {
	s := snapshotOf([]byte("x"), int64(hours)+1)
	s.TakenAt = noon.Add(time.Duration(hours) * time.Hour)
	return Entry{Manifest{Name: nameOf(s), Snapshot: s}, r}
}

func names(verdicts []Verdict) []string {
	all := []string{}
	for _, v := range verdicts {
		all = append(all, v.Name)
	}
	return all
}

func TestRetention(t *testing.T) {
	hours := func(hours ...int) (all []Entry) {
		for _, h := range hours {
			all = append(all, taken(h, nil))
		}
		return all
	}
	elsewhere := taken(0, nil)
	elsewhere.ClusterID = "1"
	early := taken(9, nil)
	early.TakenAt = noon.Add(-99 * time.Hour) // the clock was wrong
	early.Name = nameOf(early.Snapshot)
	for name, test := range map[string]struct {
		rule    Retention
		backups []Entry
		kept    []Entry
	}{
		"no rule": {Retention{}, hours(0, 1, 2), hours(2, 1, 0)},
		"none":    {Retention{Last: 1}, nil, nil},
		"count":   {Retention{Last: 2}, hours(0, 1, 2), hours(2, 1)},
		"age":     {Retention{Within: time.Hour}, hours(52, 53, 54), hours(54, 53)},
		// Of the time between two backups, at most 2 h count.
		"age with a gap":  {Retention{Within: 3 * time.Hour}, hours(0, 1, 96, 97), hours(97, 96, 1)},
		"days":            {Retention{Daily: 2}, hours(0, 11, 12, 35, 36, 37), hours(37, 35)},
		"days with a gap": {Retention{Daily: 3}, hours(0, 96, 97), hours(97, 0)},
		// Hour 0 is noon of a Wednesday.
		"weeks":            {Retention{Weekly: 2}, hours(0, 24, 107, 108, 200), hours(200, 107)},
		"a union":          {Retention{Last: 1, Daily: 2}, hours(0, 11, 12, 13), hours(13, 11)},
		"a floor":          {Retention{Last: 1, Verified: 1}, []Entry{taken(0, good), taken(1, good), taken(2, nil)}, []Entry{taken(2, nil), taken(1, good)}},
		"nothing verified": {Retention{Last: 1, Verified: 1}, []Entry{taken(0, nil), taken(1, bad), taken(2, nil)}, []Entry{taken(2, nil), taken(0, nil)}},
		"no floor":         {Retention{Last: 1}, []Entry{taken(0, good), taken(1, nil)}, []Entry{taken(1, nil)}},
		"another cluster":  {Retention{Last: 1}, append(hours(1, 2), elsewhere), []Entry{taken(2, nil), elsewhere}},
		"a wrong clock":    {Retention{Last: 2}, append(hours(1, 2), early), []Entry{early, taken(2, nil)}},
	} {
		var want []string
		for _, e := range test.kept {
			want = append(want, e.Name)
		}
		if got := names(test.rule.Choose(test.backups, nil, time.Hour).Kept); !slices.Equal(got, want) {
			t.Errorf("%s: these stay: %q, and not %q", name, got, want)
		}
	}
}

// TestRetentionProperties holds what is true of any backups and any rules.
func TestRetentionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		many := rapid.IntRange(0, 6)
		r := Retention{many.Draw(t, "count"), time.Duration(many.Draw(t, "days")) * 24 * time.Hour,
			many.Draw(t, "hourly"), many.Draw(t, "daily"), many.Draw(t, "weekly"), many.Draw(t, "verified")}
		var backups []Entry
		restored := rapid.IntRange(0, 3000).Draw(t, "restored")
		for _, hour := range rapid.SliceOfDistinct(rapid.IntRange(0, 2000), rapid.ID).Draw(t, "hours") {
			e := taken(hour, rapid.SampledFrom([]*Rehearsal{nil, nil, good, bad}).Draw(t, "rehearsal"))
			if e.ClusterID = "1"; hour >= restored {
				e.ClusterID = "2"
			}
			backups = append(backups, e)
		}
		every := time.Duration(rapid.IntRange(0, 100).Draw(t, "every")) * time.Hour
		v := r.Choose(backups, nil, every)

		all := append(names(v.Kept), names(v.Dropped)...)
		if slices.Sort(all); len(slices.Compact(all)) != len(backups) {
			t.Fatalf("of %d backups there are verdicts on %q", len(backups), all)
		}
		for _, verdict := range append(slices.Clone(v.Kept), v.Dropped...) {
			if verdict.Why == "" {
				t.Fatalf("%s: no reason", verdict)
			}
		}
		newestFirst(backups)
		if len(backups) > 0 && v.Kept[0].Name != backups[0].Name {
			t.Fatal("the newest goes")
		}
		if len(v.Kept) < min(r.Last, len(backups)) {
			t.Fatalf("%d stay of %d", len(v.Kept), r.Last)
		}
		verified := func(of []Verdict) int {
			return len(slices.DeleteFunc(slices.Clone(of), func(v Verdict) bool { return !v.Verified() }))
		}
		if stay, go_ := verified(v.Kept), verified(v.Dropped); go_ > 0 && stay < r.Verified {
			t.Fatalf("%d verified stay, and %d go", stay, go_)
		}
		if r.Verified > 0 && verified(v.Kept) == 0 && slices.ContainsFunc(v.Dropped, func(v Verdict) bool { return !v.Failed() }) {
			t.Fatal("what may be the only good one goes")
		}
		var rest []Entry
		for _, verdict := range v.Kept {
			rest = append(rest, verdict.Entry)
		}
		if again := r.Choose(rest, nil, every); len(again.Dropped) > 0 {
			t.Fatalf("of what stays, %q go the next time", names(again.Dropped))
		}
	})
}

// TestAWrongClockLetsNothingGo makes a backup every hour, some of them by a member whose clock is wrong, and drops what
// may be dropped after each. The rule of age keeps all of its time span, and the newest backup is the one with the
// highest revision.
func TestAWrongClockLetsNothingGo(t *testing.T) {
	const hours, age = 200, 72
	rules := Retention{Within: age * time.Hour, Daily: 7}
	for name, test := range map[string]struct {
		wrong func(hour int) bool
		by    time.Duration // hours
	}{
		"once ahead":                {func(hour int) bool { return hour == 100 }, 240},
		"ahead for a day":           {func(hour int) bool { return hour > 100 && hour < 125 }, 240},
		"ahead at each third":       {func(hour int) bool { return hour > 100 && hour%3 == 0 }, 240},
		"behind by years":           {func(hour int) bool { return hour > 100 && hour < 125 }, -90_000},
		"ahead until it is noticed": {func(hour int) bool { return hour > 150 }, 240},
	} {
		var there []Entry
		for hour := range hours {
			e := taken(hour, nil)
			if test.wrong(hour) {
				e.TakenAt = e.TakenAt.Add(test.by * time.Hour)
				e.Name = nameOf(e.Snapshot)
			}
			v := rules.Choose(append(there, e), nil, time.Hour)
			if v.Kept[0].Name != e.Name {
				t.Fatalf("%s: in hour %d the newest is %s", name, hour, v.Kept[0].Name)
			}
			there = nil
			kept := map[int64]bool{}
			for _, one := range v.Kept {
				there = append(there, one.Entry)
				kept[one.Revision] = true
			}
			for back := range min(hour, age-1) {
				if !kept[int64(hour-back)+1] {
					t.Fatalf("%s: in hour %d the backup of %d hours before is gone: there are %d", name, hour, back, len(there))
				}
			}
			if len(there) > 2*age+7 {
				t.Fatalf("%s: in hour %d there are %d", name, hour, len(there))
			}
		}
	}
}

// TestRetentionOverMonths makes a backup every hour for half a year, except for one week, rehearses one a day, and
// drops what may be dropped after each.
func TestRetentionOverMonths(t *testing.T) {
	r := Retention{Hourly: 24, Daily: 7, Weekly: 8, Verified: 3}
	var there []Entry
	most := 0
	for hour := range 24 * 182 {
		if day := hour / 24; day >= 90 && day < 97 {
			continue
		}
		e := taken(hour, nil)
		if hour%24 == 6 {
			e.Rehearsal = good
		}
		var rest []Entry
		for _, v := range r.Choose(append(there, e), nil, time.Hour).Kept {
			rest = append(rest, v.Entry)
		}
		there = rest
		if most = max(most, len(there)); hour >= 7 && most > 24+7+8+3 {
			t.Fatalf("after %d hours there are %d", hour, len(there))
		}
	}
	hours, days, weeks := map[time.Time]bool{}, map[time.Time]bool{}, map[int]bool{}
	for _, e := range there {
		_, week := e.TakenAt.ISOWeek()
		hours[e.TakenAt.Truncate(time.Hour)], days[e.TakenAt.Truncate(24*time.Hour)], weeks[week] = true, true, true
	}
	if len(hours) < 24 || len(days) < 7 || len(weeks) != 8 {
		t.Errorf("there are backups of %d hours, %d days and %d weeks", len(hours), len(days), len(weeks))
	}
}

func TestRetentionSaysWhy(t *testing.T) {
	v := Retention{Last: 1, Verified: 1}.Choose([]Entry{taken(2, nil), taken(1, bad), taken(0, good)}, nil, time.Hour)
	for i, says := range []string{"the newest of cluster", "a rehearsal has proved"} {
		if !strings.Contains(v.Kept[i].Why, says) {
			t.Errorf("%s stays: %s", v.Kept[i], v.Kept[i].Why)
		}
	}
	if len(v.Dropped) != 1 || !strings.Contains(v.Dropped[0].Why, bad.Failure) {
		t.Errorf("these go: %+v", v.Dropped)
	}
}

// TestRetentionByProofsElsewhere holds that rehearsals at other destinations count for backups at a destination without
// rehearsals, and that a backup that is known to be bad here is not kept as good because a copy elsewhere is.
func TestRetentionByProofsElsewhere(t *testing.T) {
	sumOf := func(e Entry, sum string) Entry { e.SHA256 = strings.Repeat(sum, 64); return e }
	zero, one, two, three := sumOf(taken(0, nil), "0"), sumOf(taken(1, nil), "1"), sumOf(taken(2, nil), "2"), sumOf(taken(3, nil), "3")
	proved := func(entries ...Entry) Proofs {
		p := Proofs{}
		for _, e := range entries {
			e.Rehearsal = good
			p.Add(Catalog{Backups: []Entry{e}})
		}
		return p
	}
	broken := one
	broken.Rehearsal = bad
	for name, test := range map[string]struct {
		here   []Entry
		proofs Proofs
		kept   []Entry
	}{
		"nothing proved anywhere":      {[]Entry{zero, one, two}, proved(), []Entry{two, one, zero}},
		"one of these proved":          {[]Entry{zero, one, two}, proved(one), []Entry{two, one}},
		"the newest of these proved":   {[]Entry{zero, one, two}, proved(zero, one), []Entry{two, one}},
		"another one proved":           {[]Entry{zero, one, two}, proved(three), []Entry{two}},
		"damaged here, good elsewhere": {[]Entry{zero, broken, two}, proved(one), []Entry{two}},
	} {
		var want []string
		for _, e := range test.kept {
			want = append(want, e.Name)
		}
		if got := names(Retention{Last: 1, Verified: 1}.Choose(test.here, test.proofs, time.Hour).Kept); !slices.Equal(got, want) {
			t.Errorf("%s: these stay: %q, and not %q", name, got, want)
		}
	}
	if one.Rehearsal != nil {
		t.Error("a backup was changed")
	}
}
