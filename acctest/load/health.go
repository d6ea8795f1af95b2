package load

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Level is how many voters were healthy for a time in which that did not change.
type Level struct {
	From, To time.Duration
	Voters   int
	Healthy  int
	Down     []string // those that were not, by name
}

// Quorum is how many voters have to be healthy.
func (l Level) Quorum() int { return l.Voters/2 + 1 }

// Spare is how many healthy voters more there are than have to be; below 0 there is no quorum.
func (l Level) Spare() int { return l.Healthy - l.Quorum() }

func (l Level) lasts() time.Duration { return l.To - l.From }

func (l Level) String() string {
	text := fmt.Sprintf("%d of %d voters healthy, quorum %d", l.Healthy, l.Voters, l.Quorum())
	if len(l.Down) > 0 {
		text += fmt.Sprintf(", not %s for %v", strings.Join(l.Down, " and "), l.lasts().Round(time.Millisecond))
	}
	return text
}

// span is a time.
type span struct{ from, to time.Duration }

// unproved are the times between from and to that lie between two proofs further apart than allowed. from
// counts as a proof, and to ends what has not ended.
func unproved(proofs []span, from, to, allowed time.Duration) []span {
	var found []span
	last := from
	for _, p := range proofs {
		if p.to <= last {
			continue
		}
		if p.from >= to {
			break
		}
		if p.from-last > allowed {
			found = append(found, span{last, p.from})
		}
		last = p.to
	}
	if to-last > allowed {
		found = append(found, span{last, to})
	}
	return found
}

// levels are the healthy voters over time, until end. Nothing is said of the times in which the membership
// was changing. writes are when puts were acknowledged, in order, and stalls those of the machine.
func levels(configurations []Configuration, probes []Probe, writes []time.Duration, stalls []Stall, end time.Duration, limits Limits) []Level {
	answered, read := map[string][]span{}, map[string][]span{}
	for _, p := range probes {
		if p.Error != "" {
			continue
		}
		at := span{p.Start, p.End}
		if !p.Read {
			answered[p.Member] = append(answered[p.Member], at)
		}
		if p.Read || p.Learner && p.Leader != "" {
			read[p.Member] = append(read[p.Member], at)
		}
	}
	for _, proofs := range []map[string][]span{answered, read} {
		for _, list := range proofs {
			slices.SortFunc(list, func(a, b span) int { return int(a.to - b.to) })
		}
	}

	// A voter is checked from when it became one until it surely still was.
	voted := map[string]span{}
	for i, c := range configurations {
		until := end
		if i+1 < len(configurations) {
			until = configurations[i+1].Before
		}
		for _, m := range c.Members {
			if m.Learner {
				continue
			}
			if _, known := voted[m.ID]; !known {
				voted[m.ID] = span{c.At, until}
			}
			voted[m.ID] = span{voted[m.ID].from, until}
		}
	}
	down := map[string][]span{}
	for id, v := range voted {
		down[id] = append(unproved(answered[id], v.from, v.to, limits.Silent), unproved(read[id], v.from, v.to, limits.Unread)...)
	}
	var late map[string][]span
	if limits.Told {
		late = dropLate(down, probes, stalls, limits.Late)
	}

	var all []Level
	for i, c := range configurations {
		until := end
		if i+1 < len(configurations) {
			until = configurations[i+1].Before
		}
		if until <= c.At {
			continue
		}
		edges := []time.Duration{c.At, until}
		for _, m := range c.Members {
			for _, d := range down[m.ID] {
				edges = append(edges, clamp(d.from, c.At, until), clamp(d.to, c.At, until))
			}
		}
		slices.Sort(edges)
		edges = slices.Compact(edges)
		for k := 1; k < len(edges); k++ {
			here := span{edges[k-1], edges[k]}
			l := Level{From: here.from, To: here.to}
			var onlyLate []string
			for _, m := range c.Members {
				if m.Learner {
					continue
				}
				l.Voters++
				switch {
				case !overlaps(down[m.ID], here):
					l.Healthy++
				case overlaps(late[m.ID], here):
					onlyLate = append(onlyLate, m.String())
				default:
					l.Down = append(l.Down, m.String())
				}
			}
			// A quorum of voters was up while the cluster acknowledged writes, and those that were refused were not
			// among it: where there are such, writes have to go on as if no leader had to be elected.
			allowed := limits.Late
			if len(l.Down) > 0 {
				allowed = min(allowed, election)
			}
			if l.Spare() < 0 && l.Healthy+len(onlyLate) >= l.Quorum() && longest(writes, l.From, l.To).Length()-stalled(stalls, span{l.From, l.To}) <= allowed {
				l.Healthy += len(onlyLate)
			} else {
				l.Down = append(l.Down, onlyLate...)
			}
			all = append(all, l)
		}
	}
	return all
}

// dropLate takes out the times in which a member was no more than late: no question to it failed by anything but its
// own time limit. It returns those in which it was late for longer than that, or after it had refused, which it leaves
// in: a member that was restarted is late from the last question that it refused to the first that it answered.
func dropLate(down map[string][]span, probes []Probe, stalls []Stall, late time.Duration) map[string][]span {
	lives := map[string][]string{} // who has answered at an endpoint
	for _, p := range probes {
		if p.Member != "" && !slices.Contains(lives[p.Endpoint], p.Member) {
			lives[p.Endpoint] = append(lives[p.Endpoint], p.Member)
		}
	}
	failed := map[string][]span{}
	for _, p := range probes {
		if p.Error == "" || strings.Contains(p.Error, "DeadlineExceeded") || strings.Contains(p.Error, "deadline exceeded") {
			continue
		}
		for _, member := range lives[p.Endpoint] {
			failed[member] = append(failed[member], span{p.Start, p.End})
		}
	}
	longer := map[string][]span{}
	for member, spans := range down {
		var kept []span
		for _, d := range spans {
			told := d.from // until when the member was told down; from then on it is late
			for _, f := range failed[member] {
				if f.overlaps(d) {
					told = max(told, min(f.to, d.to))
				}
			}
			if told > d.from {
				kept = append(kept, span{d.from, told})
			} else if d.to-d.from-stalled(stalls, d) <= late {
				continue
			}
			if told < d.to {
				kept, longer[member] = append(kept, span{told, d.to}), append(longer[member], span{told, d.to})
			}
		}
		down[member] = kept
	}
	return longer
}

// stalled is for how long of a time the machine's disk took nothing.
func stalled(stalls []Stall, in span) (sum time.Duration) {
	for _, s := range stalls {
		sum += max(min(s.To, in.to)-max(s.From, in.from), 0)
	}
	return sum
}

// overlaps tells whether two times share a moment.
func (s span) overlaps(other span) bool { return s.from < other.to && s.to > other.from }

// overlaps tells whether any of the times shares a moment with another.
func overlaps(spans []span, with span) bool {
	return slices.ContainsFunc(spans, with.overlaps)
}

func clamp(t, low, high time.Duration) time.Duration { return min(max(t, low), high) }

// short are the times in which there were too few healthy voters for longer than is tolerated, each at the
// moment from which on it was: its beginning is the last proof, and may lie in the phase before.
func short(all []Level, limits Limits) []Violation {
	var broken []Violation
	for i := 0; i < len(all); i++ {
		if !lacking(all[i], limits) {
			continue
		}
		worst, from := all[i], all[i].From
		for i+1 < len(all) && lacking(all[i+1], limits) {
			i++
			if all[i].Spare() < worst.Spare() || all[i].Spare() == worst.Spare() && all[i].lasts() > worst.lasts() {
				worst = all[i]
			}
		}
		if lasted := all[i].To - from; lasted > limits.Tolerance {
			broken = append(broken, Violation{from + limits.Tolerance, fmt.Sprintf("no quorum of healthy voters for %v: %s", lasted.Round(time.Millisecond), worst)})
		}
	}
	return broken
}

func lacking(l Level, limits Limits) bool {
	return l.Spare() < 0 && !(limits.Single && l.Voters == 1)
}
