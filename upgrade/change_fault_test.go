package upgrade_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// cut are the changes that are cut short at every call.
var cut = []string{"replace dead, new address", "replace healthy leader", "grow 1 to 3", "shrink 5 to 3", "upgrade", "downgrade", "readdress", "readdress, old address gone", "readdress the only one", "readdress the only one, gone",
	"renumbered, all of them", "renumbered, two of three", "another peer port", "recovered at another peer port", "recovered, a newer patch and settings",
	"authorities exchanged, settings", "authorities rotated, one is dead", "peers get another common name", "peers lose their common name, and one is dead",
	"a firewall", "no firewall any more", "replaced behind a firewall", "re-addressed behind a firewall"}

// allExpired is a cluster whose members need new certificates before they can start. When power comes back, a member
// that was started has to be stopped again, which only a run that has shown the stop does.
const allExpired = "authorities exchanged, all expired and stopped"

// putsAfter tells whether a test puts a key right after a change that was cut short: not if the only member may be
// down, or if nobody served before the change.
func putsAfter(name string, o operation) bool {
	return o.members > 1 && !strings.HasPrefix(name, "renumbered") && !strings.HasPrefix(name, "recovered") && name != allExpired
}

// TestChangeSurvivesEveryFault makes every call of a change fail once, and kills the run at every call once. The next
// run, whose plan was shown no steps, always finishes the change.
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

// everyFaultOf returns a failure of each call of a change, and a kill at each, alternately before and after the call
// takes effect. Reads, which are many, get only one of the two, alternately.
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

// faultsOf returns the faults for the calls that a world has received.
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

// mustConverge repeats the change until it succeeds, and fails the test after more than this many attempts. One that is
// refused since peers count connections on is made again after minutes, as the refusal says.
func (l *life) mustConverge(times int) {
	l.Helper()
	var last error
	for range times {
		if _, last = l.change(context.Background(), nil); last != nil && strings.Contains(last.Error(), "its connections end within a few minutes: plan again then") {
			time.Sleep(3 * time.Minute)
			_, last = l.change(context.Background(), nil)
		}
		if last == nil {
			l.mustBeAsDesired()
			l.mustBeDone()
			return
		}
	}
	l.Errorf("%d changes have not made it what is wanted: %v\n%s", times, last, strings.Join(l.progress, "\n"))
}

// subject returns the address of the host that a line of the progress log is about.
var subject = regexp.MustCompile(`^\d+/\d+ \w+[^(]*\(([0-9.]+)\)`)

// TestChangeSurvivesPowerCuts cuts the power of the host that a step works on, at every step: before the first call to
// the host, or before a later one. The power comes back, at once or after the run, and the next run finishes: what the
// run observed of the host before, it does nothing by.
func TestChangeSurvivesPowerCuts(t *testing.T) {
	for _, name := range cut {
		t.Run(name, func(t *testing.T) {
			o := operations[name]
			for _, at := range sample.EveryNth(t, 2*callsOfAStep, everyPowerCutOf(t, o)) {
				t.Run(fmt.Sprintf("%d-%d-%t", at.step, at.later, at.booted), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						l := o.begin(t)
						shown := l.planned().Steps
						off := l.cutPowerAt(at)
						_, err := l.change(context.Background(), shown)
						first := l.progress
						l.atStep, l.world.Watch = nil, nil
						if *off == nil { // the step makes fewer calls to its host
							return
						}
						if !at.booted {
							(*off).PowerOn()
						}
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

// callsOfAStep says before how many of a step's calls the power is cut, each in a life of its own.
const callsOfAStep = 3

// powerCut says before which call of which step the power is cut. Both count from 1.
type powerCut struct {
	step, later int
	booted      bool // the power is back before that call
}

// everyPowerCutOf returns power cuts at all calls of all steps of a change. Each step begins with another call than the
// step before, so that a sample with every step once also has each call, with the host off and booted.
func everyPowerCutOf(t *testing.T, o operation) (cuts []powerCut) {
	t.Helper()
	for step := range stepsOf(t, o) {
		for i := range 2 * callsOfAStep {
			cuts = append(cuts, powerCut{step + 1, (step + i) % callsOfAStep, (step+i)%2 == 0})
		}
	}
	return cuts
}

// stepsOf returns how many steps a change takes.
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

// cutPowerAt cuts the power of a step's host. The result says which host that was, once it has happened.
func (l *life) cutPowerAt(at powerCut) **nodetest.Host {
	var off, target *nodetest.Host
	steps, calls := 0, 0
	l.atStep = func(line string) {
		if !beginsStep(line) {
			return
		}
		if steps++; steps != at.step {
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
		if calls++; calls > at.later {
			off = target
			off.PowerCut()
			if at.booted {
				off.PowerOn()
			}
		}
	}
	return &off
}
