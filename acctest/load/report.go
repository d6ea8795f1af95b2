package load

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Report is all that a run has recorded. It is computed from whole once Stop has returned it.
type Report struct {
	Config         Config
	Limits         Limits // of Config, to be changed where a fault was meant: an election takes longer than Unread
	Puts           []Put  // in the order of their ends
	Ended          []Ended
	Marks          []Mark
	Configurations []Configuration
	Views          []View
	Probes         []Probe
	Moves          []Move
	Stalls         []Stall
	End            time.Duration // when the run was told to stop

	command Command
	id      string
	done    map[string]int
}

// take adds an answer. What an order failed with ends the run.
func (r *Report) take(a answer) error {
	switch {
	case a.Put != nil:
		r.Puts = append(r.Puts, *a.Put)
	case a.Ended != nil:
		r.Ended = append(r.Ended, *a.Ended)
	case a.Mark != nil:
		r.Marks = append(r.Marks, *a.Mark)
	case a.Configuration != nil:
		r.Configurations = append(r.Configurations, *a.Configuration)
	case a.View != nil:
		r.Views = append(r.Views, *a.View)
	case a.Probe != nil:
		r.Probes = append(r.Probes, *a.Probe)
	case a.Move != nil:
		r.Moves = append(r.Moves, *a.Move)
	case a.Stall != nil:
		r.Stalls = append(r.Stalls, *a.Stall)
	case a.Done != nil:
		if a.Done.Error != "" {
			return errors.New(a.Done.Error)
		}
		if r.done == nil {
			r.done = map[string]int{}
		}
		r.done[a.Done.Order]++
		r.End = a.Done.At
	default:
		return fmt.Errorf("an answer that says nothing")
	}
	return nil
}

// sort puts the puts in order.
func (r *Report) sort() {
	slices.SortStableFunc(r.Puts, func(a, b Put) int { return cmp.Compare(a.End, b.End) })
}

// warm tells whether each mode has had a put acknowledged.
func (r *Report) warm() bool {
	for _, m := range r.Config.Modes {
		if !slices.ContainsFunc(r.Puts, func(p Put) bool { return p.Mode == m && p.Outcome == Acknowledged }) {
			return false
		}
	}
	return true
}

// yardstick checks the moves from the given one on.
func (r *Report) yardstick(from int) Yardstick {
	return yardstickOf(slices.Sorted(slices.Values(ends(r.Puts))), r.Moves[from:])
}

// levels are the healthy voters over the whole run.
func (r *Report) levels(limits Limits) []Level {
	return levels(r.Configurations, r.Probes, slices.Sorted(slices.Values(ends(r.Puts))), r.Stalls, r.End, limits)
}

// ends are those of the acknowledged puts.
func ends(puts []Put) []time.Duration {
	var all []time.Duration
	for _, p := range puts {
		if p.Outcome == Acknowledged {
			all = append(all, p.End)
		}
	}
	return all
}

// Phase is what happened between two marks. A put belongs to the phase that it ended in.
type Phase struct {
	Name     string
	From, To time.Duration
	Writes   Writes          // of all modes
	By       map[Mode]Writes // of each mode
	Changes  []Change        // of the membership, in order
	Leads    []Lead          // those that became leader
	Lowest   Level           // with the fewest healthy voters to spare; zero: nothing was sampled
}

// Writes is what became of puts.
type Writes struct {
	Acknowledged int
	Refused      int // failed, and surely not done
	Unknown      int // failed, and may have been done
	Kinds        map[string]int
	Examples     []Put // the first that failed, at most five
	Gap          Gap
	P50, P99     time.Duration // of what acknowledged puts took
}

// Failed is how many puts their caller saw fail.
func (w Writes) Failed() int { return w.Refused + w.Unknown }

// Phases are all phases, in order. What was before the first mark was not ready yet, and is in none.
func (r *Report) Phases() []Phase {
	all := r.levels(r.Limits.complete())
	changed, _ := changes(r.Configurations)
	led := leads(r.Probes)
	var phases []Phase
	for i, m := range r.Marks {
		p := Phase{Name: m.Name, From: m.At, To: r.End, By: map[Mode]Writes{}}
		if i+1 < len(r.Marks) {
			p.To = r.Marks[i+1].At
		}
		within := func(at time.Duration) bool { return at >= p.From && (at < p.To || i+1 == len(r.Marks)) }
		writing := func(modes ...Mode) Writes {
			puts := slices.DeleteFunc(slices.Clone(r.Puts), func(p Put) bool { return !slices.Contains(modes, p.Mode) })
			return writesOf(puts, within, p.From, min(p.To, r.wrote(modes...)))
		}
		p.Writes = writing(r.Config.Modes...)
		for _, mode := range r.Config.Modes {
			p.By[mode] = writing(mode)
		}
		for _, c := range changed {
			if within(c.At) {
				p.Changes = append(p.Changes, c)
			}
		}
		for k, l := range led {
			if within(l.Seen) && k > 0 {
				p.Leads = append(p.Leads, l)
			}
		}
		p.Lowest = lowest(all, p.From, p.To, r.Limits.complete().Tolerance)
		phases = append(phases, p)
	}
	return phases
}

// Phase is the last phase of a name, and empty where there is none.
func (r *Report) Phase(name string) Phase {
	var found Phase
	for _, p := range r.Phases() {
		if p.Name == name {
			found = p
		}
	}
	return found
}

// wrote is until when puts were started in any of the modes.
func (r *Report) wrote(modes ...Mode) time.Duration {
	until := time.Duration(0)
	for _, m := range modes {
		i := slices.IndexFunc(r.Ended, func(e Ended) bool { return e.Mode == m })
		if i < 0 {
			return r.End
		}
		until = max(until, r.Ended[i].At)
	}
	return until
}

// lowest is the level with the least to spare between from and to, and of those the longest. A level that
// reaches in for no longer than is tolerated counts only where there is no other.
func lowest(all []Level, from, to, tolerance time.Duration) Level {
	var worst Level
	for _, l := range all {
		l.From, l.To = max(l.From, from), min(l.To, to)
		if l.From >= l.To {
			continue
		}
		worse := l.Spare() < worst.Spare() || l.Spare() == worst.Spare() && l.lasts() > worst.lasts()
		switch brief, worstBrief := l.lasts() <= tolerance, worst.lasts() <= tolerance; {
		case worst.Voters == 0, brief && worstBrief && l.lasts() > worst.lasts(), !brief && worstBrief, !brief && worse:
			worst = l
		}
	}
	return worst
}

// writesOf assesses the puts, in the order of their ends, that ended within a phase.
func writesOf(puts []Put, within func(time.Duration) bool, from, to time.Duration) Writes {
	w := Writes{Kinds: map[string]int{}, Gap: longest(ends(puts), from, to)}
	var took []time.Duration
	for _, p := range puts {
		if !within(p.End) {
			continue
		}
		switch p.Outcome {
		case Acknowledged:
			w.Acknowledged++
			took = append(took, p.End-p.Start)
			continue
		case Refused:
			w.Refused++
		default:
			w.Unknown++
		}
		w.Kinds[kind(p.Error)]++
		if len(w.Examples) < 5 {
			w.Examples = append(w.Examples, p)
		}
	}
	if slices.Sort(took); len(took) > 0 {
		w.P50, w.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	return w
}

// address is what differs in errors of one kind.
var address = regexp.MustCompile(`(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):\d+`)

func kind(text string) string { return address.ReplaceAllString(text, "ADDRESS") }

// Violations are the rules that the cluster broke: one change of membership at a time, one learner at a
// time, and a quorum of healthy voters, all as the package's documentation says it. The yardstick's own phase is
// measured and not checked: there nothing but etcd moves the leadership, and on a busy machine such a move ends in
// an election.
func (r *Report) Violations() []Violation {
	limits := r.Limits.complete()
	_, many := changes(r.Configurations)
	unhealthy := slices.DeleteFunc(short(r.levels(limits), limits), func(v Violation) bool { return r.phaseAt(v.At) == bareMove })
	broken := slices.Concat(many, unhealthy)
	slices.SortStableFunc(broken, func(a, b Violation) int { return cmp.Compare(a.At, b.At) })
	return broken
}

// Err is an error that holds all Violations; nil: there are none.
func (r *Report) Err() error {
	var errs []error
	for _, v := range r.Violations() {
		errs = append(errs, fmt.Errorf("%s: %s", r.phaseAt(v.At), v))
	}
	return errors.Join(errs...)
}

func (r *Report) phaseAt(at time.Duration) string {
	name := "before the first phase"
	for _, m := range r.Marks {
		if m.At <= at {
			name = m.Name
		}
	}
	return name
}

// String is the report to read, a few lines a phase.
func (r *Report) String() string {
	var text strings.Builder
	for _, p := range r.Phases() {
		fmt.Fprintf(&text, "%s (%v):\n", p.Name, (p.To - p.From).Round(time.Millisecond))
		if len(r.Config.Modes) > 0 {
			fmt.Fprintf(&text, "  all: %s\n", p.Writes)
		}
		for _, mode := range slices.Sorted(maps.Keys(p.By)) {
			w := p.By[mode]
			fmt.Fprintf(&text, "  %s: %s\n", mode, w)
			for _, kind := range slices.Sorted(maps.Keys(w.Kinds)) {
				fmt.Fprintf(&text, "    %d times %s\n", w.Kinds[kind], kind)
			}
		}
		if p.Lowest.Voters > 0 {
			fmt.Fprintf(&text, "  at worst %s; leader changed %d times\n", p.Lowest, len(p.Leads))
		}
		for _, c := range p.Changes {
			fmt.Fprintf(&text, "  after %v: %s\n", (c.At - p.From).Round(time.Millisecond), c)
		}
	}
	for _, e := range r.Ended {
		if e.Held > 0 {
			fmt.Fprintf(&text, "%s: %d puts were held back, with %d under way\n", e.Mode, e.Held, r.Config.InFlight)
		}
	}
	for _, v := range r.Violations() {
		fmt.Fprintf(&text, "%s: %s\n", r.phaseAt(v.At), v)
	}
	return text.String()
}

func (w Writes) String() string {
	return fmt.Sprintf("%d acknowledged, %d failed (%d surely not done), longest gap %v, p50 %v, p99 %v", w.Acknowledged, w.Failed(), w.Refused,
		w.Gap.Length().Round(100*time.Microsecond), w.P50.Round(100*time.Microsecond), w.P99.Round(100*time.Microsecond))
}
