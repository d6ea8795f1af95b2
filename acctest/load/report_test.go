package load

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

const ms = time.Millisecond

func TestGap(t *testing.T) {
	ends := []time.Duration{10 * ms, 20 * ms, 50 * ms, 60 * ms, 200 * ms, 210 * ms}
	for _, test := range []struct {
		from, to time.Duration
		want     Gap
	}{
		{10 * ms, 60 * ms, Gap{20 * ms, 50 * ms}},
		{0, 15 * ms, Gap{0, 10 * ms}},
		{55 * ms, 100 * ms, Gap{60 * ms, 200 * ms}},
		{100 * ms, 110 * ms, Gap{60 * ms, 200 * ms}},
		{150 * ms, 205 * ms, Gap{60 * ms, 200 * ms}},
		{205 * ms, 400 * ms, Gap{210 * ms, 400 * ms}},
		{300 * ms, 400 * ms, Gap{210 * ms, 400 * ms}},
		{30 * ms, 30 * ms, Gap{30 * ms, 30 * ms}},
	} {
		if got := longest(ends, test.from, test.to); got != test.want {
			t.Errorf("between %v and %v the longest gap is %v, want %v", test.from, test.to, got, test.want)
		}
	}
	if got := longest(nil, 1*ms, 5*ms); got != (Gap{1 * ms, 5 * ms}) {
		t.Errorf("where nothing was acknowledged, the gap is %v", got)
	}
}

func TestYardstick(t *testing.T) {
	ends := []time.Duration{0, 10 * ms, 40 * ms, 50 * ms, 1000 * ms, 1007 * ms, 2000 * ms, 2050 * ms, 2060 * ms, 2400 * ms}
	y := yardstickOf(ends, []Move{{Start: 15 * ms, End: 20 * ms}, {Start: 1001 * ms, End: 1002 * ms}, {Start: 2010 * ms, End: 2010 * ms}})
	if len(y.Gaps) != 3 || y.Worst != (Gap{1007 * ms, 2000 * ms}) || y.Median != (Gap{50 * ms, 1000 * ms}) {
		t.Errorf("%+v", y)
	}
}

func TestPhases(t *testing.T) {
	r := &Report{
		Config: Config{Modes: []Mode{Balanced, Each}},
		Marks:  []Mark{{"one", 100 * ms}, {"two", 200 * ms}},
		End:    300 * ms,
		Puts: []Put{
			{Mode: Each, Outcome: Acknowledged, Start: 40 * ms, End: 50 * ms},
			{Mode: Each, Outcome: Acknowledged, Start: 90 * ms, End: 110 * ms},
			{Mode: Balanced, Outcome: Acknowledged, Start: 120 * ms, End: 130 * ms},
			{Mode: Balanced, Outcome: Unknown, Start: 150 * ms, End: 210 * ms, Error: "read tcp 192.0.2.1:33412: reset"},
			{Mode: Balanced, Outcome: Refused, Start: 150 * ms, End: 220 * ms, Error: "read tcp 192.0.2.1:33413: reset"},
			{Mode: Each, Outcome: Acknowledged, Start: 220 * ms, End: 240 * ms},
		},
	}
	one, two := r.Phase("one"), r.Phase("two")
	if one.Writes.Acknowledged != 2 || one.Writes.Failed() != 0 || one.Writes.Gap != (Gap{130 * ms, 240 * ms}) || one.Writes.P99 != 20*ms {
		t.Errorf("%+v", one)
	}
	if w := two.By[Balanced]; w.Refused != 1 || w.Unknown != 1 || w.Acknowledged != 0 || w.Kinds["read tcp ADDRESS: reset"] != 2 || w.Gap != (Gap{130 * ms, 300 * ms}) {
		t.Errorf("%+v", w)
	}
	if w := two.By[Each]; w.Failed() != 0 || w.Gap != (Gap{110 * ms, 240 * ms}) {
		t.Errorf("%+v", w)
	}
	// A writer that came to its own end leaves no gap after it.
	r.Ended = []Ended{{Mode: Each, At: 245 * ms}, {Mode: Balanced, At: 240 * ms}}
	if w := r.Phase("two").By[Balanced]; w.Gap != (Gap{130 * ms, 240 * ms}) {
		t.Errorf("%+v", w.Gap)
	}
	if text := r.String(); !strings.Contains(text, "two (100ms)") || !strings.Contains(text, "2 times read tcp ADDRESS: reset") {
		t.Error(text)
	}
}

// voters are a membership: names, learners with a "+" in front.
func voters(before, at time.Duration, names ...string) Configuration {
	c := Configuration{Before: before, At: at}
	for _, name := range names {
		plain := strings.TrimPrefix(name, "+")
		c.Members = append(c.Members, Member{ID: plain, Name: plain, Learner: plain != name})
	}
	return c
}

func TestChanges(t *testing.T) {
	for _, test := range []struct {
		after  []string
		want   string
		broken int
	}{
		{[]string{"a", "b", "c"}, "", 0},
		{[]string{"a", "b", "c", "+d"}, "add learner d=d", 0},
		{[]string{"a", "b", "c", "d"}, "add voter d=d", 0},
		{[]string{"a", "b"}, "remove voter c=c", 0},
		{[]string{"a", "b", "+d"}, "remove voter c=c, add learner d=d", 1},
		{[]string{"a", "b", "c", "+d", "+e"}, "add learner d=d, add learner e=e", 2},
		{[]string{"a", "b", "+c"}, "demote c=c", 0},
	} {
		got, broken := changes([]Configuration{voters(0, 0, "a", "b", "c"), voters(10*ms, 20*ms, test.after...)})
		if joined(got) != test.want || len(broken) != test.broken {
			t.Errorf("to %v: %q with %v, want %q with %d violations", test.after, joined(got), broken, test.want, test.broken)
		}
	}
	got, broken := changes([]Configuration{voters(0, 0, "a", "+b"), voters(0, 1*ms, "a", "b"), voters(1*ms, 2*ms, "b"), voters(2*ms, 3*ms, "b", "+c"), voters(3*ms, 4*ms, "b")})
	if joined(got) != "promote b=b, remove voter a=a, add learner c=c, remove learner c=c" || len(broken) != 0 {
		t.Errorf("%s with %v", joined(got), broken)
	}
}

// alive are the answers of a member that answers everything, every 50 ms.
func alive(member string, from, to time.Duration) []Probe {
	var probes []Probe
	for at := from; at <= to; at += 50 * ms {
		probes = append(probes, Probe{Member: member, Endpoint: member, Start: at, End: at + ms, Leader: "a"}, Probe{Member: member, Endpoint: member, Read: true, Start: at, End: at + ms})
	}
	return probes
}

// answering are the answers of a member that refuses linearizable reads.
func answering(member string, from, to time.Duration) []Probe {
	return slices.DeleteFunc(alive(member, from, to), func(p Probe) bool { return p.Read })
}

// failing are the questions to a member that nobody answers, with an error, every 50 ms.
func failing(member, err string, from, to time.Duration) []Probe {
	var probes []Probe
	for at := from + ms; at < to; at += 50 * ms {
		probes = append(probes, Probe{Endpoint: member, Start: at, End: at + ms, Error: err})
	}
	return probes
}

// acknowledged are puts that end every 100 ms.
func acknowledged(from, to time.Duration) []Put {
	var puts []Put
	for at := from; at < to; at += 100 * ms {
		puts = append(puts, Put{Outcome: Acknowledged, Start: at, End: at})
	}
	return puts
}

func learning(member string, from, to time.Duration) []Probe {
	probes := answering(member, from, to)
	for i := range probes {
		probes[i].Learner = true
	}
	return probes
}

func TestHealth(t *testing.T) {
	const end = 10 * time.Second
	abc := []Configuration{voters(0, 0, "a", "b", "c")}
	with := slices.Concat[[]Probe]
	for name, test := range map[string]struct {
		configurations []Configuration
		probes         []Probe
		limits         Limits
		lowest         string // of the whole
		broken         bool
		puts           []Put
	}{
		"all well": {abc, with(alive("a", 0, end), alive("b", 0, end), alive("c", 0, end)), Limits{}, "3 of 3", false, nil},
		"one restarts": {abc, with(alive("a", 0, end), alive("b", 0, end), alive("c", 0, 2*time.Second), alive("c", 3*time.Second, end)),
			Limits{}, "2 of 3 voters healthy, quorum 2, not c=c for 999ms", false, nil},
		"a blink is none": {abc, with(alive("a", 0, end), alive("b", 0, end), alive("c", 0, 2*time.Second), alive("c", 2250*ms, end)), Limits{}, "3 of 3", false, nil},
		"one after the other": {abc, with(alive("a", 0, end), alive("b", 0, 4*time.Second), alive("b", 5*time.Second, end),
			alive("c", 0, 3*time.Second), alive("c", 4050*ms, end)), Limits{}, "2 of 3", false, nil},
		"two overlap": {abc, with(alive("a", 0, end), alive("b", 0, 4*time.Second), alive("b", 6*time.Second, end),
			alive("c", 0, 3*time.Second), alive("c", 5*time.Second, end)), Limits{}, "1 of 3 voters healthy, quorum 2, not b=b and c=c for 999ms", true, nil},
		"cut off: it answers, and cannot read": {abc, with(alive("a", 0, end), alive("b", 0, end), alive("c", 0, time.Second), answering("c", time.Second, end)),
			Limits{}, "2 of 3", false, nil},
		"an election": {abc, with(answering("a", 0, end), answering("b", 0, end), answering("c", 0, end),
			alive("a", 0, 2*time.Second), alive("b", 0, 2*time.Second), alive("c", 0, 2*time.Second),
			alive("a", 3500*ms, end), alive("b", 3500*ms, end), alive("c", 3500*ms, end)), Limits{}, "0 of 3", true, nil},
		"an election that was meant": {abc, with(answering("a", 0, end), answering("b", 0, end), answering("c", 0, end),
			alive("a", 0, 2*time.Second), alive("b", 0, 2*time.Second), alive("c", 0, 2*time.Second),
			alive("a", 3500*ms, end), alive("b", 3500*ms, end), alive("c", 3500*ms, end)), Limits{Unread: 3 * time.Second}, "3 of 3", false, nil},
		"dead to the end":      {abc, with(alive("a", 0, end), alive("b", 0, 9*time.Second), alive("c", 0, 8*time.Second)), Limits{}, "1 of 3", true, nil},
		"never heard of":       {abc, with(alive("a", 0, end), alive("b", 0, end)), Limits{}, "2 of 3", false, nil},
		"a learner is no help": {[]Configuration{voters(0, 0, "a", "b", "c", "+d")}, with(alive("a", 0, end), learning("d", 0, end)), Limits{}, "1 of 3", true, nil},
		"a learner is no need": {[]Configuration{voters(0, 0, "a", "+d")}, alive("a", 0, end), Limits{}, "1 of 1", false, nil},
		"promoted, and reads": {[]Configuration{voters(0, 0, "a", "+b"), voters(4990*ms, 5*time.Second, "a", "b")},
			with(alive("a", 0, end), learning("b", 0, 5*time.Second), alive("b", 5200*ms, end)), Limits{}, "2 of 2", false, nil},
		"promoted, and does not": {[]Configuration{voters(0, 0, "a", "+b"), voters(4990*ms, 5*time.Second, "a", "b")},
			with(alive("a", 0, end), learning("b", 0, 4*time.Second)), Limits{}, "1 of 2 voters healthy, quorum 2, not b=b for 5s", true, nil},
		"removed, then stopped": {[]Configuration{voters(0, 0, "a", "b"), voters(4990*ms, 5*time.Second, "a")},
			with(alive("a", 0, end), alive("b", 0, 5*time.Second)), Limits{}, "1 of 1", false, nil},
		"the only one": {[]Configuration{voters(0, 0, "a")}, with(alive("a", 0, time.Second), alive("a", 2*time.Second, end)), Limits{}, "0 of 1", true, nil},
		"the only one, as planned": {[]Configuration{voters(0, 0, "a")}, with(alive("a", 0, time.Second), alive("a", 2*time.Second, end)),
			Limits{Single: true}, "0 of 1", false, nil},
		"two are late on a busy machine": {abc, with(alive("a", 0, end), alive("b", 0, 4*time.Second), failing("b", "context deadline exceeded", 4*time.Second, 6*time.Second), alive("b", 6*time.Second, end),
			alive("c", 0, 3*time.Second), alive("c", 5*time.Second, end)), Limits{Told: true}, "3 of 3", false, nil},
		"two are late for too long": {abc, with(alive("a", 0, end), alive("b", 0, 2*time.Second), alive("b", 6*time.Second, end),
			alive("c", 0, 2*time.Second), alive("c", 6*time.Second, end)), Limits{Told: true}, "1 of 3", true, nil},
		"two overlap, and are told so": {abc, with(alive("a", 0, end), alive("b", 0, 4*time.Second), failing("b", "connection refused", 4*time.Second, 6*time.Second), alive("b", 6*time.Second, end),
			alive("c", 0, 3*time.Second), failing("c", "connection refused", 3*time.Second, 5*time.Second), alive("c", 5*time.Second, end)), Limits{Told: true}, "1 of 3", true, nil},
		"all are late for long on a busy machine, and write": {abc, with(alive("a", 0, 2*time.Second), alive("a", 6*time.Second, end),
			alive("b", 0, 2*time.Second), alive("b", 6*time.Second, end), alive("c", 0, 2*time.Second), alive("c", 6*time.Second, end)),
			Limits{Told: true}, "3 of 3", false, acknowledged(0, end)},
		"all are late for long, and nothing is written": {abc, with(alive("a", 0, 2*time.Second), alive("a", 6*time.Second, end),
			alive("b", 0, 2*time.Second), alive("b", 6*time.Second, end), alive("c", 0, 2*time.Second), alive("c", 6*time.Second, end)),
			Limits{Told: true}, "0 of 3", true, slices.Concat(acknowledged(0, 2*time.Second), acknowledged(6*time.Second, end))},
		"one is late for long, another refuses, and they write": {abc, with(alive("a", 0, end), alive("b", 0, 2*time.Second), alive("b", 6*time.Second, end),
			alive("c", 0, 3*time.Second), failing("c", "connection refused", 3*time.Second, 5*time.Second), alive("c", 5*time.Second, end)),
			Limits{Told: true}, "2 of 3", false, acknowledged(0, end)},
		"one is late for long, another refuses, and writes pause": {abc, with(alive("a", 0, end), alive("b", 0, 2*time.Second), alive("b", 6*time.Second, end),
			alive("c", 0, 3*time.Second), failing("c", "connection refused", 3*time.Second, 5*time.Second), alive("c", 5*time.Second, end)),
			Limits{Told: true}, "1 of 3", true, slices.Concat(acknowledged(0, 3200*ms), acknowledged(4800*ms, end))},
		"one comes back slowly while another refuses, and they write": {abc, with(alive("a", 0, end),
			alive("b", 0, 2*time.Second), failing("b", "connection refused", 2*time.Second, 3*time.Second), failing("b", "context deadline exceeded", 3*time.Second, 6*time.Second), alive("b", 6*time.Second, end),
			alive("c", 0, 3500*ms), failing("c", "connection refused", 3500*ms, 5*time.Second), alive("c", 5*time.Second, end)),
			Limits{Told: true}, "2 of 3", false, acknowledged(0, end)},
		"one comes back slowly while another refuses, and writes pause": {abc, with(alive("a", 0, end),
			alive("b", 0, 2*time.Second), failing("b", "connection refused", 2*time.Second, 3*time.Second), failing("b", "context deadline exceeded", 3*time.Second, 6*time.Second), alive("b", 6*time.Second, end),
			alive("c", 0, 3500*ms), failing("c", "connection refused", 3500*ms, 5*time.Second), alive("c", 5*time.Second, end)),
			Limits{Told: true}, "1 of 3", true, slices.Concat(acknowledged(0, 3600*ms), acknowledged(4800*ms, end))},
	} {
		t.Run(name, func(t *testing.T) {
			r := Report{Limits: test.limits, Configurations: test.configurations, Probes: test.probes, Puts: test.puts, End: end}
			limits := test.limits.complete()
			all := r.levels(limits)
			if got := lowest(all, 0, end, limits.Tolerance).String(); !strings.HasPrefix(got, test.lowest) {
				t.Errorf("at worst %s, want %s", got, test.lowest)
			}
			if broken := r.Violations(); len(broken) > 0 != test.broken || (r.Err() != nil) != test.broken {
				t.Errorf("violations: %v", broken)
			}
		})
	}
}

// TestYardstickIsNotChecked: an election that etcd's own move of the leadership ends in is none of the operations that
// are checked by it, and one in any other phase is.
func TestYardstickIsNotChecked(t *testing.T) {
	const end = 10 * time.Second
	var probes []Probe
	for _, member := range []string{"a", "b", "c"} {
		probes = slices.Concat(probes, alive(member, 0, 2*time.Second), failing(member, "etcdserver: no leader", 2*time.Second, 3500*ms), alive(member, 3500*ms, end))
	}
	for name, checked := range map[string]bool{bareMove: false, "replace c": true} {
		r := Report{Limits: Limits{Told: true}, Configurations: []Configuration{voters(0, 0, "a", "b", "c")}, Probes: probes, End: end,
			Marks: []Mark{{Name: name, At: time.Second}, {Name: "after " + name, At: 5 * time.Second}}}
		if broken := r.Violations(); len(broken) > 0 != checked {
			t.Errorf("%s: violations: %v", name, broken)
		}
	}
}

// TestStallsAreNoLateness: members that are late while the disk of their machine takes nothing are not down for it, and
// those that are late for longer are.
func TestStallsAreNoLateness(t *testing.T) {
	const end = 10 * time.Second
	for name, test := range map[string]struct {
		stalls []Stall
		broken bool
	}{
		"no stall":                {nil, true},
		"a stall all the while":   {[]Stall{{1900 * time.Millisecond, 7 * time.Second}}, false},
		"a stall of a part of it": {[]Stall{{2 * time.Second, 3 * time.Second}, {4 * time.Second, 5500 * time.Millisecond}}, false},
		"a short stall":           {[]Stall{{2 * time.Second, 2700 * time.Millisecond}}, true},
		"a stall before":          {[]Stall{{0, 2 * time.Second}}, true},
	} {
		var probes []Probe
		for _, member := range []string{"a", "b", "c"} {
			probes = append(append(probes, alive(member, 0, 2*time.Second)...), alive(member, 7*time.Second, end)...)
		}
		r := Report{Limits: Limits{Told: true}, Configurations: []Configuration{voters(0, 0, "a", "b", "c")}, Probes: probes, Stalls: test.stalls, End: end,
			Puts: slices.Concat(acknowledged(0, 2*time.Second), acknowledged(7*time.Second, end))}
		if broken := r.Violations(); len(broken) > 0 != test.broken {
			t.Errorf("%s: violations: %v", name, broken)
		}
	}
}

func TestLeads(t *testing.T) {
	says := func(member, leader string, term uint64, at time.Duration) Probe {
		return Probe{Member: member, Leader: leader, Term: term, End: at}
	}
	got := leads([]Probe{
		says("a", "a", 2, 1), says("b", "a", 2, 2), says("a", "a", 2, 3),
		says("a", "a", 3, 4), // the old leader, which has read the new term
		says("c", "a", 3, 5), says("b", "b", 2, 6), says("b", "b", 3, 7), says("b", "b", 3, 8), {Leader: "c", Member: "c", Term: 9, Error: "late"},
	})
	if want := []Lead{{"a", 2, 1}, {"b", 3, 7}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestVerdict(t *testing.T) {
	put := func(sequence int, outcome Outcome, revision int64) Put {
		at := time.Duration(sequence) * 10
		return Put{Sequence: sequence, Outcome: outcome, Revision: revision, Start: at, End: at + 5}
	}
	puts := []Put{put(1, Acknowledged, 11), put(2, Acknowledged, 12), put(3, Refused, 0), put(4, Unknown, 0), put(5, Unknown, 0), put(6, Acknowledged, 15)}
	name := func(sequence int) string { return fmt.Sprintf("key %d", sequence) }
	endpoints := []string{"x", "y"}
	good := func() []entry {
		var all []entry
		for _, endpoint := range endpoints {
			all = append(all, entry{endpoint, 1, 11, 1, true}, entry{endpoint, 2, 12, 1, true}, entry{endpoint, 4, 13, 1, true}, entry{endpoint, 6, 15, 1, true})
		}
		return all
	}
	v := verdict(puts, good(), endpoints, name)
	if v.Err() != nil || v.Acknowledged != 3 || v.Found != 1 || v.Gone != 1 {
		t.Errorf("nothing is wrong, and: %v, %+v", v.Err(), v)
	}
	for what, test := range map[string]struct {
		spoil func(entries []entry) []entry
		want  string
	}{
		"gone through one endpoint": {func(e []entry) []entry { return e[:len(e)-1] }, "lost: key 6, acknowledged at revision 15 through : read through y, it is not there"},
		"an older revision":         {func(e []entry) []entry { e[1].Revision = 9; return e }, "lost: key 2"},
		"another value":             {func(e []entry) []entry { e[0].Intact = false; return e }, "lost: key 1"},
		"written twice":             {func(e []entry) []entry { e[0].Revision, e[0].Version = 14, 2; return e }, "done more often than said: key 1"},
		"refused, and done":         {func(e []entry) []entry { return append(e, entry{"x", 3, 14, 1, true}) }, "done more often than said: key 3"},
	} {
		if err := verdict(puts, test.spoil(good()), endpoints, name).Err(); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
}

func TestHistory(t *testing.T) {
	name := func(sequence int) string { return fmt.Sprint(sequence) }
	put := func(sequence int, start, end time.Duration, revision int64) Put {
		return Put{Sequence: sequence, Outcome: Acknowledged, Start: start, End: end, Revision: revision}
	}
	// Puts that overlap may be ordered either way.
	reused, disordered := history([]Put{put(1, 0, 10, 3), put(2, 5, 15, 2), put(3, 20, 30, 4)}, name)
	if len(reused)+len(disordered) > 0 {
		t.Errorf("%v %v", reused, disordered)
	}
	reused, disordered = history([]Put{put(1, 0, 10, 9), put(2, 20, 30, 5), put(3, 40, 50, 5), put(4, 60, 70, 10)}, name)
	if len(reused) != 1 || len(disordered) != 2 {
		t.Errorf("%v %v", reused, disordered)
	}
}

func TestOutcomeOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		sent bool
		want Outcome
	}{
		{rpctypes.ErrNoSpace, true, Refused},
		{rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner), true, Refused},
		{rpctypes.ErrLeaderChanged, true, Unknown},
		{rpctypes.ErrTimeout, true, Unknown},
		{rpctypes.ErrTimeout, false, Refused},
	} {
		if got, _ := outcomeOf(test.err, test.sent); got != test.want {
			t.Errorf("%v (sent: %v) is %s, want %s", test.err, test.sent, got, test.want)
		}
	}
}

func TestComplete(t *testing.T) {
	endpoints := []string{"http://127.0.0.1:1"}
	for name, c := range map[string]Config{
		"no endpoints": {Rate: 1}, "nothing to do": {Endpoints: endpoints}, "negative": {Endpoints: endpoints, Rate: -1},
		"half of TLS": {Endpoints: endpoints, Rate: 1, Cert: "x"}, "an odd mode": {Endpoints: endpoints, Rate: 1, Modes: []Mode{"odd"}},
	} {
		if _, err := c.complete(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c, err := Config{Endpoints: endpoints, Rate: 300}.complete()
	if err != nil || len(c.Modes) != 2 || c.Prefix == "" || c.Timeout == 0 || c.InFlight == 0 || c.Limits.Unread == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	first, again, next := value("id", 7, 4096), value("id", 7, 4096), value("id", 8, 4096)
	if first != again || len(first) != 4096 || first == next {
		t.Error("a value is not its sequence's own")
	}
}
