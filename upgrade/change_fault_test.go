package upgrade_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// cut are the changes that are cut short at every call.
var cut = []string{"replace dead, new address", "replace healthy leader", "grow 1 to 3", "shrink 5 to 3", "upgrade", "downgrade", "readdress", "readdress, old address gone", "readdress the only one", "readdress the only one, gone",
	"renumbered, all of them", "renumbered, two of three", "another peer port", "recovered at another peer port", "recovered, a newer patch and settings",
	"authorities exchanged, settings", "authorities rotated, one is dead", "peers get another common name", "peers lose their common name, and one is dead"}

// allExpired is a cluster whose members nobody can start but by new certificates. Where power comes back, one that has
// been started is to be stopped again, which a run does that shows it.
const allExpired = "authorities exchanged, all expired and stopped"

// putsAfter tells whether a test puts a key right after a change that was cut short: not if the only member may be
// down, or if nobody served before the change.
func putsAfter(name string, o operation) bool {
	return o.members > 1 && !strings.HasPrefix(name, "renumbered") && !strings.HasPrefix(name, "recovered") && name != allExpired
}

// TestChangeSurvivesEveryFault has every call of a change fail once, and the run killed at it once. The next
// run, which was shown nothing, always finishes what was begun.
func TestChangeSurvivesEveryFault(t *testing.T) {
	for _, name := range append(slices.Clone(cut), allExpired) {
		t.Run(name, func(t *testing.T) {
			o := operations[name]
			for _, fault := range sample.EveryNth(t, 7, everyFaultOf(t, o)) {
				t.Run(describe(fault), func(t *testing.T) {
					t.Parallel()
					bubble(t, func(t *testing.T) {
						l := o.begin(t)
						shown := l.planned().Steps
						l.world.Inject(fault)
						_, err := l.change(context.Background(), shown)
						l.world.Heal()
						first := l.progress
						if putsAfter(name, o) {
							l.put()
						}
						l.mustConverge(1)
						if t.Failed() {
							t.Logf("after %v, in\n%s", err, strings.Join(first, "\n"))
						}
					})
				})
			}
		})
	}
}

// everyFaultOf is a failure of each call of a change, and a kill at each: before or after it takes effect, in
// turns. Reads, of which there are many, fail or are where the run is killed, in turns too.
func everyFaultOf(t *testing.T, o operation) (faults []nodetest.Fault) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		l := o.begin(t)
		shown := l.planned().Steps
		l.world.Forget()
		if _, err := l.change(context.Background(), shown); err != nil {
			t.Fatal(err)
		}
		faults = faultsOf(l.world)
	})
	return faults
}

// faultsOf are the faults of the calls that a world has had.
func faultsOf(world *nodetest.World) (faults []nodetest.Fault) {
	for i, c := range world.Calls() {
		for _, extent := range []nodetest.Extent{nodetest.Once, nodetest.Run} {
			if c.Changes() || (i%2 == 0) == (extent == nodetest.Once) {
				faults = append(faults, nodetest.Fault{Nth: i + 1, After: (i/2+int(extent))%2 == 0, Extent: extent})
			}
		}
	}
	return faults
}

// mustConverge repeats the change until it succeeds, and fails the test where it takes more than so many.
func (l *life) mustConverge(times int) {
	l.Helper()
	var last error
	for range times {
		if _, last = l.change(context.Background(), nil); last == nil {
			l.mustBeAsDesired()
			l.mustBeDone()
			return
		}
	}
	l.Errorf("%d changes have not made it what is wanted: %v\n%s", times, last, strings.Join(l.progress, "\n"))
}

// subject is the address of the host that a line of the progress log is about.
var subject = regexp.MustCompile(`^\d+/\d+ \w+[^(]*\(([0-9.]+)\)`)

// TestChangeSurvivesPowerCuts cuts the power of the host that a step is done to, at every step: before its first
// call to the host, or before one of the calls that follow. The power comes back, and the next run finishes.
func TestChangeSurvivesPowerCuts(t *testing.T) {
	for _, name := range cut {
		t.Run(name, func(t *testing.T) {
			o := operations[name]
			for _, at := range sample.EveryNth(t, callsOfAStep, everyPowerCutOf(t, o)) {
				t.Run(fmt.Sprintf("%d-%d", at.step, at.later), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						l := o.begin(t)
						shown := l.planned().Steps
						off := l.cutPowerAt(at.step, at.later)
						_, err := l.change(context.Background(), shown)
						first := l.progress
						l.atStep, l.world.Watch = nil, nil
						if *off == nil { // the step asks fewer calls of its host
							return
						}
						(*off).PowerOn()
						for range 3 {
							l.world.Tick()
						}
						if putsAfter(name, o) {
							l.put()
						}
						l.mustConverge(1)
						if t.Failed() {
							t.Logf("after %v, in\n%s", err, strings.Join(first, "\n"))
						}
					})
				})
			}
		})
	}
}

// callsOfAStep is before how many of a step's calls the power is cut, a life each.
const callsOfAStep = 3

// powerCut is before which call of which step, counted from 1, the power is cut.
type powerCut struct{ step, later int }

// everyPowerCutOf is all cuts at all steps of a change. Each step begins with another of its calls than the one before,
// so that a sample which has every step once has each call too.
func everyPowerCutOf(t *testing.T, o operation) (cuts []powerCut) {
	t.Helper()
	for step := range stepsOf(t, o) {
		for i := range callsOfAStep {
			cuts = append(cuts, powerCut{step + 1, (step + i) % callsOfAStep})
		}
	}
	return cuts
}

// stepsOf is how many steps a change takes.
func stepsOf(t *testing.T, o operation) (n int) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		l := o.begin(t)
		shown := l.planned().Steps
		n = l.countSteps(func() {
			if _, err := l.change(context.Background(), shown); err != nil {
				t.Fatal(err)
			}
		})
	})
	return n
}

// cutPowerAt cuts the power of the host of the nth step, when so many calls of the step have been made to it. It
// says which host that was, once it has.
func (l *life) cutPowerAt(nth, later int) **nodetest.Host {
	var off, target *nodetest.Host
	steps, calls := 0, 0
	l.atStep = func(line string) {
		if !beginsStep(line) {
			return
		}
		if steps++; steps != nth {
			target = nil
			return
		}
		target = l.host(l.cluster.Members[0].Name)
		if found := subject.FindStringSubmatch(line); found != nil {
			target = l.world.Host(found[1])
		}
	}
	l.world.Watch = func(c nodetest.Call) {
		if target == nil || off != nil || c.Address != target.Address {
			return
		}
		if calls++; calls > later {
			off = target
			off.PowerCut()
		}
	}
	return &off
}
