package backup

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Retention says which backups stay: those that any of its rules keeps. Without a rule all stay.
type Retention struct {
	Count  int           `json:"count,omitempty"`  // so many of the newest
	Age    time.Duration `json:"age,omitempty"`    // nanoseconds; those that are not older
	Hourly int           `json:"hourly,omitempty"` // the newest of each of so many hours (UTC) that have one
	Daily  int           `json:"daily,omitempty"`  // of days
	Weekly int           `json:"weekly,omitempty"` // of weeks, which begin on Monday

	// Verified is how many backups stay that a rehearsal has proved, whatever the rules say. While none is proved at any
	// destination, every backup may be the only good one, and nothing goes but what a rehearsal has shown to be bad.
	// 0 is for those who do not rehearse.
	Verified int `json:"verified,omitempty"`
}

// Kept and dropped backups, each with the reason.
type (
	Verdict struct {
		Entry
		Why string
	}
	Verdicts struct{ Kept, Dropped []Verdict }
)

// Choose says of each backup whether it stays, newest first. The newest stays in any case, and so does the
// newest of every cluster ID: after a restore that nobody desired it is what there is of the cluster before.
// Hours, days and weeks count where they have a backup, so that nothing goes only because time passes while
// no backup is made. Proofs are those of all destinations.
func (r Retention) Choose(backups []Entry, proofs Proofs, now time.Time) Verdicts {
	backups = proofs.Apply(backups)
	slices.SortFunc(backups, newestFirst)
	why := make([]string, len(backups)) // empty: nothing keeps it
	keep := func(i int, reason string) { why[i] = cmp.Or(why[i], reason) }
	r.keepNewest(backups, keep)
	r.keepByRules(backups, now, keep)
	r.keepVerified(backups, len(proofs) > 0, keep)
	var v Verdicts
	for i, b := range backups {
		if why[i] == "" {
			v.Dropped = append(v.Dropped, Verdict{b, r.whyDropped(b)})
		} else {
			v.Kept = append(v.Kept, Verdict{b, why[i]})
		}
	}
	return v
}

// keepNewest keeps the newest of each cluster ID, by time and by revision: a clock may have been wrong,
// and revisions of one cluster only rise.
func (r Retention) keepNewest(backups []Entry, keep func(int, string)) {
	byTime, byRevision := map[string]bool{}, map[string]int{}
	for i, b := range backups {
		if !byTime[b.ClusterID] {
			byTime[b.ClusterID] = true
			keep(i, "the newest of cluster "+b.ClusterID)
		}
		if best, seen := byRevision[b.ClusterID]; !seen || b.Revision > backups[best].Revision {
			byRevision[b.ClusterID] = i
		}
	}
	for id, i := range byRevision {
		keep(i, "the highest revision of cluster "+id)
	}
}

// keepByRules keeps what the rules do.
func (r Retention) keepByRules(backups []Entry, now time.Time, keep func(int, string)) {
	if r.Count <= 0 && r.Age <= 0 && r.Hourly <= 0 && r.Daily <= 0 && r.Weekly <= 0 {
		for i := range backups {
			keep(i, "no rule says what may go")
		}
		return
	}
	for i, b := range backups {
		if i < r.Count {
			keep(i, fmt.Sprintf("one of the %d newest", r.Count))
		}
		if r.Age > 0 && now.Sub(b.TakenAt) <= r.Age {
			keep(i, fmt.Sprintf("not older than %s", r.Age))
		}
	}
	for _, tier := range []struct {
		many   int
		what   string
		bucket func(time.Time) string
	}{
		{r.Hourly, "hour", func(t time.Time) string { return t.Format("2006-01-02T15") }},
		{r.Daily, "day", func(t time.Time) string { return t.Format("2006-01-02") }},
		{r.Weekly, "week", func(t time.Time) string { year, week := t.ISOWeek(); return fmt.Sprintf("%d-W%02d", year, week) }},
	} {
		last, seen := "", 0
		for i, b := range backups {
			bucket := tier.bucket(b.TakenAt.UTC())
			if bucket == last {
				continue
			}
			if seen++; seen > tier.many {
				break
			}
			last = bucket
			keep(i, fmt.Sprintf("the newest of %s %s", tier.what, bucket))
		}
	}
}

// keepVerified keeps the floor. Where a backup is proved elsewhere, none of these is the only good one.
func (r Retention) keepVerified(backups []Entry, elsewhere bool, keep func(int, string)) {
	verified := 0
	for i, b := range backups {
		if b.Verified() && verified < r.Verified {
			verified++
			keep(i, fmt.Sprintf("one of the %d newest that a rehearsal has proved", r.Verified))
		}
	}
	if r.Verified <= 0 || verified > 0 || elsewhere {
		return
	}
	for i, b := range backups {
		if !b.Failed() {
			keep(i, "no rehearsal has proved any yet: this may be the only good one")
		}
	}
}

// whyDropped is why one goes.
func (r Retention) whyDropped(b Entry) string {
	if b.Failed() {
		return "no rule keeps it, and a rehearsal has shown that it does not restore: " + b.Rehearsal.Failure
	}
	return "no rule keeps it"
}
