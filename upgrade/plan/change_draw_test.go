package plan_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// versions are what a cluster can be in the middle of, as to versions.
type versions struct {
	runs      []string // by its members; each of them by one at least
	agreed    string   // minor version
	downgrade string   // minor version
	desired   []string
}

var courses = []versions{
	{runs: []string{"3.7.3"}, agreed: "3.7", desired: []string{"3.7.3"}},
	{runs: []string{"3.7.2"}, agreed: "3.7", desired: []string{"3.7.3"}},
	{runs: []string{"3.6.16"}, agreed: "3.6", desired: []string{"3.6.16", "3.7.3"}},
	{runs: []string{"3.6.16", "3.7.3"}, agreed: "3.6", desired: []string{"3.6.16", "3.7.3"}},
	{runs: []string{"3.7.3"}, agreed: "3.6", desired: []string{"3.6.16", "3.7.3"}}, // about to agree on 3.7
	{runs: []string{"3.7.3"}, agreed: "3.7", desired: []string{"3.6.16"}},
	{runs: []string{"3.7.3"}, agreed: "3.7", downgrade: "3.6", desired: []string{"3.6.16", "3.7.3"}},
	{runs: []string{"3.7.3"}, agreed: "3.6", downgrade: "3.6", desired: []string{"3.6.16", "3.7.3"}},
	{runs: []string{"3.7.3", "3.6.16"}, agreed: "3.6", downgrade: "3.6", desired: []string{"3.6.16", "3.7.3"}},
}

// conditions are what can be wrong with a member's host: what can be mended without leaving here first.
var conditions = []string{"", "", "", "", "", "settings", "expired", "disabled", "unsynced", "stopped", "stopped settings", "starting", "expired stopped", "expired starting", "broken", "lost", "missing", "unreachable", "barred", "unmounted", "foreign"}

// hopeful are the conditions that apply mends by itself, or would without the others.
var hopeful = conditions[:len(conditions)-4]

// inflict does to a host what a condition says.
func (e *etcd) inflict(address, condition string) {
	h := e.at(address)
	stop := func() { h.running, h.ready = false, false }
	for word := range strings.FieldsSeq(condition) {
		switch word {
		case "settings":
			h.current = false
		case "expired":
			h.expired = h.marker
		case "disabled":
			h.disabled = h.marker
		case "unsynced":
			h.settled = "others"
		case "stopped":
			stop()
		case "starting":
			h.ready = false
		case "broken":
			// Of one that is not desired nobody says by what it ought to run. And one that is to be given another minor
			// version, which takes a quorum, stays down where that needs it: the apply fails with what its journal
			// says. So does one that is to be re-addressed.
			if h.ready = false; e.desired(address) && h.from == "" && membership.Minor(e.want.Version) == membership.Minor(h.version) {
				h.broken, h.current = true, false
				h.expired = false // what lies behind a certificate that does not hold, only the look after it sees
			}
		case "lost":
			stop()
			h.data, h.voted = "", h.marker
		case "missing":
			*h = machine{}
		case "unreachable":
			h.silent = true
		case "barred":
			h.silent, h.barred = true, true
		case "unmounted":
			stop()
			h.unmounted = h.marker // which says what is to be mounted
		case "foreign":
			*h = machine{taken: true}
		default:
			panic(word)
		}
	}
}

// draw draws a cluster, what is desired of it, and what is wrong with it.
func draw(t *rapid.T, wrong []string) *etcd {
	course := rapid.SampledFrom(courses).Draw(t, "versions")
	e := &etcd{hosts: map[string]*machine{}, serves: true, version: course.agreed, downgrade: course.downgrade}
	e.forget()
	n := rapid.IntRange(1, 7).Draw(t, "voters")
	if n < len(course.runs) {
		n = len(course.runs)
	}
	place := func(i, move int) membership.Member {
		return membership.Member{Name: string(rune('a' + i)), Address: fmt.Sprintf("192.0.2.%d", 11+i+20*move)}
	}
	join := func(m membership.Member, version string) *entry {
		e.ids++
		in := &entry{id: fmt.Sprintf("id %d", e.ids), address: m.Address, name: m.Name, started: true}
		e.list = append(e.list, in)
		*e.at(m.Address) = machine{marker: true, voted: true, data: in.id, running: true, ready: true, version: version, current: true}
		return in
	}
	for i := range n {
		m := place(i, 0)
		version := rapid.SampledFrom(course.runs).Draw(t, "version of "+m.Name)
		if i < len(course.runs) {
			version = course.runs[i]
		}
		join(m, version)
		e.known = append(e.known, m)
	}

	// The configuration: any of those that are there, moved or not, and new ones.
	e.want = membership.Spec{Name: "prod", Version: rapid.SampledFrom(course.desired).Draw(t, "desired"), Carried: []string{"3.7.3", "3.6.16"}}
	size := rapid.SampledFrom(membership.Sizes()).Draw(t, "size")
	var names []int
	if rapid.Bool().Draw(t, "any") {
		names = rapid.SliceOfNDistinct(rapid.IntRange(0, 9), size, size, rapid.ID).Draw(t, "names")
	} else {
		for i := range size {
			names = append(names, i)
		}
	}
	for _, i := range names {
		move := 0
		if i < n && rapid.IntRange(0, 3).Draw(t, "moves") == 0 {
			move = 1
		}
		e.want.Members = append(e.want.Members, place(i, move))
	}
	e.want.Members = membership.Sort(e.want.Members)
	if rapid.Bool().Draw(t, "zones") {
		e.want.Zones = map[string]string{}
		for _, m := range e.want.Members {
			e.want.Zones[m.Name] = rapid.SampledFrom([]string{"", "r1", "r2", "r3"}).Draw(t, "zone of "+m.Name)
		}
	}

	for _, in := range e.voters() {
		e.at(in.address).settled = e.names()
	}
	all := len(wrong) > 1 && rapid.IntRange(0, 3).Draw(t, "renumbered as a whole") == 0
	e.leader = rapid.SampledFrom(e.voters()).Draw(t, "leader").id
	for _, in := range e.voters() {
		h := e.at(in.address)
		h.logged = 1 + rapid.Uint64Range(0, 2).Draw(t, "log of "+in.address)
		if e.desired(in.address) && (all || rapid.IntRange(0, 5).Draw(t, "re-addressed "+in.address) == 0) {
			h.from, h.gone = "https://"+strings.Replace(in.address, "192.0.2.", "203.0.113.", 1)+":2380", all || rapid.Bool().Draw(t, "lost")
			h.unheard = h.gone || rapid.Bool().Draw(t, "unheard")
			in.moved = !all && rapid.IntRange(0, 3).Draw(t, "in the list") == 0
		}
	}
	for _, in := range e.voters() {
		e.at(in.address).settled = e.names()
	}
	for _, in := range e.voters() {
		e.inflict(in.address, rapid.SampledFrom(wrong).Draw(t, "condition of "+in.address))
	}
	e.drawLearner(t, join)
	e.drawAuthorities(t)
	e.drawBeside(t)
	e.drawPeering(t)
	for _, m := range e.want.Members {
		if e.entry(m.Address) != nil {
			continue
		}
		switch left := rapid.IntRange(0, 9).Draw(t, "left on "+m.Address); {
		case left == 0: // of a member that was removed
			*e.at(m.Address) = machine{marker: true, voted: true, data: "removed", version: course.runs[0], current: true}
		case slices.Contains(wrong, "unreachable") && left == 1:
			e.inflict(m.Address, rapid.SampledFrom([]string{"unreachable", "barred", "foreign"}).Draw(t, "condition of "+m.Address))
		}
	}
	for _, m := range e.want.Members {
		if h := e.at(m.Address); h.marker && len(e.voters()) > 1 && size > 1 && rapid.IntRange(0, 9).Draw(t, "rebuild "+m.Name) == 0 {
			e.want.Rebuild = append(e.want.Rebuild, m.Name)
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "full") == 0 {
		ids := []string{"gone"}
		for _, m := range e.list {
			ids = append(ids, m.id)
		}
		e.full = rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 1, 2, rapid.ID).Draw(t, "full members")
	}
	if rapid.IntRange(0, 9).Draw(t, "leftover") == 0 {
		m := place(15, 0)
		e.known = append(e.known, m)
		*e.at(m.Address) = machine{marker: true, voted: true, data: "removed", version: course.runs[0]}
	}
	e.heartbeat()
	if course.agreed == "3.6" && course.downgrade == "" {
		e.version = "3.6" // it takes some seconds to rise
	}
	e.drawFirewall(t)
	return e
}

// drawLearner draws a learner that an earlier run has left, in any condition.
func (e *etcd) drawLearner(t *rapid.T, join func(membership.Member, string) *entry) {
	kind := rapid.SampledFrom([]string{"", "", "", "desired", "known", "unmanaged"}).Draw(t, "learner")
	m := membership.Member{Name: "x", Address: "192.0.2.99"}
	if kind == "desired" {
		i := slices.IndexFunc(e.want.Members, func(m membership.Member) bool { return e.entry(m.Address) == nil })
		if i < 0 {
			return
		}
		m = e.want.Members[i]
	}
	if kind == "" {
		return
	}
	// It was added when the voters were on one minor version, or some of them on the desired one.
	version := e.want.Version
	if membership.Minor(version) < e.version {
		version = "3.7.3"
	}
	in := join(m, version)
	in.learner, in.ours = true, true
	h := e.at(m.Address)
	h.voted = false
	if kind == "unmanaged" {
		return
	}
	if kind == "known" {
		e.known = append(e.known, m)
	}
	switch rapid.SampledFrom([]string{"", "added", "prepared", "begun", "stopped", "starting", "lost", "wiped"}).Draw(t, "condition of the learner") {
	case "added":
		in.name, in.started, *h = "", false, machine{}
	case "prepared":
		in.name, in.started, *h = "", false, machine{marker: true, version: version}
	case "begun":
		in.name, in.started, h.ready = "", false, false
	case "stopped":
		h.running, h.ready = false, false
	case "starting":
		h.ready = false
	case "lost":
		h.data, h.running, h.ready = "other", false, false
	case "wiped":
		*h = machine{}
	}
}

// planned returns what the planner says of the cluster as it is now. It checks what is true of every answer: the same
// question has the same answer, the question stays as it was, and what is not done is explained.
func (e *etcd) planned(t *rapid.T) (plan.Plan, error) {
	asked := e.status()
	planned, err := plan.Change(asked, e.want)
	e.left = map[string]bool{}
	for _, m := range planned.Lacking {
		e.left[m.Address] = true
	}
	if seen := e.status(); !reflect.DeepEqual(seen, asked) {
		t.Fatalf("planning has changed what was seen:\n%s", cmp.Diff(seen, asked))
	}
	if err == nil && len(planned.Steps) == 0 {
		return planned, nil
	}
	again, errAgain := plan.Change(asked, e.want)
	if !reflect.DeepEqual(planned, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
		t.Fatalf("two plans for one status: %v, %v\n%s", err, errAgain, cmp.Diff(planned, again))
	}
	if err != nil {
		mustHelp(t, err, e)
	}
	for _, deferred := range planned.Deferred {
		mustHelp(t, deferred, e)
	}
	return planned, err
}

// advised is planned, and refused where nothing is done while a certificate cannot be signed.
func (e *etcd) advised(t *rapid.T) (plan.Plan, error) {
	planned, err := e.planned(t)
	if err == nil && len(planned.Steps) == 0 {
		err = planned.Unsigned
	}
	return planned, err
}

// mustHelp fails the test where a refusal does not say why, or what to do.
func mustHelp(t *rapid.T, err error, e *etcd) {
	r, is := err.(*membership.Refusal)
	if !is || r.Rule == "" || r.Remedy == "" {
		t.Fatalf("of no help: %v\n%s", err, show(e.status()))
	}
}

// must takes a step that nothing may forbid.
func (e *etcd) must(t *rapid.T, step membership.Step) {
	t.Helper()
	if err := e.do(step); err != nil {
		t.Fatalf("%v\nin %sby\n  %s", err, show(e.status()), strings.Join(e.did, "\n  "))
	}
}

// run takes steps as a run would: one that waits in vain for a member ends there.
func (e *etcd) run(t *rapid.T, steps []membership.Step) {
	t.Helper()
	for _, step := range steps {
		if e.must(t, step); e.vain {
			e.vain = false
			e.forget()
			return
		}
	}
}

// show prints a status.
func show(p membership.ClusterStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "leader %q, agreed on %s, downgrade %q lowered %t, full %v, saved %t, unmanaged %v\n", p.Leader, p.ClusterVersion, p.Downgrade, p.Lowered, p.Full, p.Saved, p.Unmanaged)
	for _, s := range p.Members {
		fmt.Fprintf(&b, "  %s wanted %t %q %s id %q %s %v started %t invalid %q issued %v serves %v peering %v disabled %t unsynced %t traces %t staged %q from %q moved %t rebuild %q active %t looping %t\n", s, s.Desired, s.Role, s.State, s.ID, s.Version, s.Outdated, s.Started, s.Invalid, s.Issued, s.Serves, s.Peering, s.Disabled, s.Unsynced, s.Traces, s.Staged, s.From, s.Moved, s.Rebuild, s.Active, s.Looping)
	}
	return b.String()
}

// explained tells whether something is there that an apply cannot mend, and somebody has to.
func (e *etcd) explained() bool {
	for _, m := range e.status().Members {
		if m.State == membership.Unreachable || m.State == membership.Foreign || m.State == membership.Blocked {
			return true
		}
	}
	return false
}
