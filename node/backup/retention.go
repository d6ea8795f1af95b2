package backup

import (
	"cmp"
	"fmt"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Retention decides which backups stay: those that any of its rules keeps. Without a rule all stay.
type Retention api.Keep

// Kept and dropped backups, each with the reason.
type (
	Verdict struct {
		Entry
		Why string
	}
	Verdicts struct{ Kept, Dropped []Verdict }
)

// Choose decides for each backup, newest first, whether it stays. The newest always stays, and so does the newest of
// every cluster ID: after an unwanted restore it is all that is left of the previous cluster. Only hours, days and
// weeks that have a backup count, so that nothing is removed merely because time passes while no backup is made. The
// same holds for age: between two backups at most every counts, the longest gap in the schedule, whatever clocks say.
// A clock that is ten days ahead makes no backup ten days older. proofs are those of all destinations.
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

// keepNewest keeps the newest backup of each cluster ID.
func (r Retention) keepNewest(backups []Entry, keep func(int, string)) {
	seen := map[string]bool{}
	for i, b := range backups {
		if !seen[b.ClusterID] {
			seen[b.ClusterID] = true
			keep(i, "the newest of cluster "+b.ClusterID)
		}
	}
}

// keepByRules keeps what the rules keep.
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
			if seen[bucket] { // if clocks differ, not only by the previous backup
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
	// lateRun is how much longer than in the schedule the gap between two runs may be.
	lateRun = time.Hour
	// unknownGap is the most that counts between two backups if the gaps in the schedule are not known.
	unknownGap = 24 * time.Hour
)

// ages returns how much older each backup, newest first, is than the newest one.
func ages(backups []Entry, every time.Duration) []time.Duration {
	most := cmp.Or(every, unknownGap) + lateRun
	all := make([]time.Duration, len(backups))
	for i := 1; i < len(all); i++ {
		all[i] = all[i-1] + min(max(backups[i-1].TakenAt.Sub(backups[i].TakenAt), 0), most)
	}
	return all
}

// keepVerified keeps the minimum of verified backups. If a backup is proved elsewhere, none of these is the only good
// one.
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

// whyDropped returns why a backup is removed.
func (r Retention) whyDropped(b Entry) string {
	if b.Failed() {
		return "no rule keeps it, and a rehearsal has shown that it does not restore: " + b.Rehearsal.Failure
	}
	return "no rule keeps it"
}
