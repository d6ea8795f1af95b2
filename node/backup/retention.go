package backup

import (
	"cmp"
	"fmt"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Retention says which backups stay: those that any of its rules keeps. Without a rule all stay. A configuration of backups
// holds it as it is.
type Retention api.Keep

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
// no backup is made. So does age: between two backups no more time counts than every, the longest that the
// schedule has between two runs, whatever clocks say. One that is ten days ahead makes nothing ten days older.
// Proofs are those of all destinations.
func (r Retention) Choose(backups []Entry, proofs Proofs, every time.Duration) Verdicts {
	backups = proofs.Apply(backups)
	newestFirst(backups)
	why := make([]string, len(backups)) // empty: nothing keeps it
	keep := func(i int, reason string) { why[i] = cmp.Or(why[i], reason) }
	r.keepNewest(backups, keep)
	r.keepByRules(backups, every, keep)
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

// keepNewest keeps the newest of each cluster ID.
func (r Retention) keepNewest(backups []Entry, keep func(int, string)) {
	seen := map[string]bool{}
	for i, b := range backups {
		if !seen[b.ClusterID] {
			seen[b.ClusterID] = true
			keep(i, "the newest of cluster "+b.ClusterID)
		}
	}
}

// keepByRules keeps what the rules do.
func (r Retention) keepByRules(backups []Entry, every time.Duration, keep func(int, string)) {
	if r.Last <= 0 && r.Within <= 0 && r.Hourly <= 0 && r.Daily <= 0 && r.Weekly <= 0 {
		for i := range backups {
			keep(i, "no rule says what may go")
		}
		return
	}
	for i, age := range ages(backups, every) {
		if i < r.Last {
			keep(i, fmt.Sprintf("one of the %d newest", r.Last))
		}
		if r.Within > 0 && age <= r.Within {
			keep(i, fmt.Sprintf("not older than %s", r.Within))
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
		seen := map[string]bool{}
		for i, b := range backups {
			bucket := tier.bucket(b.TakenAt.UTC())
			if seen[bucket] { // where clocks differ, not always by the backup before
				continue
			}
			if len(seen) >= tier.many {
				break
			}
			seen[bucket] = true
			keep(i, fmt.Sprintf("the newest of %s %s", tier.what, bucket))
		}
	}
}

const (
	// lateRun is by how much two runs may be further apart than their schedule has them.
	lateRun = time.Hour
	// unknownGap is what counts at most between two backups where nobody knows how far the schedule has its runs apart.
	unknownGap = 24 * time.Hour
)

// ages are how much older each backup, newest first, is than the newest one.
func ages(backups []Entry, every time.Duration) []time.Duration {
	most := cmp.Or(every, unknownGap) + lateRun
	all := make([]time.Duration, len(backups))
	for i := 1; i < len(all); i++ {
		all[i] = all[i-1] + min(max(backups[i-1].TakenAt.Sub(backups[i].TakenAt), 0), most)
	}
	return all
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
