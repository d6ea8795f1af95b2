package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// clusters is on how many generated clusters each property of the planner is tried. For a soak:
//
//	go test ./upgrade -run TestPlans -rapid.checks 200000 -rapid.seed $RANDOM -timeout 1h
//
// A failure prints the cluster and the seed (-rapid.seed) that it was drawn by.
const clusters = 2000

// TestPlansAreSafe takes every plan step by step, by etcd's rules and the gates. After any of them, what is left is
// exactly what the first plan had left; and at its end the configuration is met, or somebody is told what to do.
func TestPlansAreSafe(t *testing.T) {
	sample.Check(t, clusters, func(t *rapid.T) {
		e := draw(t, conditions)
		planned, err := e.planned(t)
		if err != nil {
			return
		}
		began := show(e.status())
		rest := planned
		for i, step := range planned.Steps {
			e.must(t, step)
			if i+1 < len(planned.Steps) && rapid.IntRange(0, 3).Draw(t, "looks") > 0 {
				continue // to look after each step of each plan takes four times as long
			}
			if rest, err = e.planned(t); err != nil {
				t.Fatalf("refused after %s: %v\nbegan as %s", step, err, began)
			}
			if left := planned.Steps[i+1:]; !slices.Equal(left, rest.Steps) {
				t.Fatalf("after %s the rest is another (-first +now):\n%s\nbegan as %s\nnow %s", step, cmp.Diff(left, rest.Steps), began, show(e.status()))
			}
		}
		// Who of several is named can depend on who leads, which cannot be known before.
		if len(planned.Deferred) != len(rest.Deferred) {
			t.Fatalf("other things are held at the end (-first +now):\n%s\nbegan as %s", cmp.Diff(planned.Deferred, rest.Deferred), began)
		}
		if planned.Unsigned != nil {
			return // a member needs a certificate that nobody can sign
		}
		left := e.unmet()
		silent := slices.ContainsFunc(e.status().Members, func(s membership.MemberStatus) bool { return s.State == membership.Unreachable })
		if len(left) > 0 && len(planned.Deferred) == 0 && !silent {
			t.Fatalf("it ends without a word, and %v\nbegan as %s\nended as %s", left, began, show(e.status()))
		}
		if len(left) > 0 && !e.explained() {
			t.Fatalf("a dead end: %v, held: %v\nbegan as %s\nended as %s", left, planned.Deferred, began, show(e.status()))
		}
	})
}

// TestPlansResume cuts runs off in the middle of any step, any number of times: the next one goes on from
// there, and the last one ends with the configuration met, where there is nothing that only somebody else can mend.
func TestPlansResume(t *testing.T) {
	sample.Check(t, clusters, func(t *rapid.T) {
		e := draw(t, hopeful)
		e.restless = rapid.Bool().Draw(t, "restless")
		began := show(e.status())
		var did []string
		patience := rapid.IntRange(0, 12).Draw(t, "cuts")
		for taken := 0; ; taken++ {
			planned, err := e.advised(t)
			if err != nil && e.notYet(t, err) {
				continue
			}
			if err != nil {
				if taken > 0 || e.active() >= quorum(len(e.voters())) && e.serves {
					t.Fatalf("refused: %v\nbegan as %s\nthen %s\nnow %s", err, began, strings.Join(did, "\n"), show(e.status()))
				}
				return // it was lost from the beginning
			}
			if len(planned.Steps) == 0 {
				if left := e.unmet(); len(left) > 0 || len(planned.Deferred) > 0 {
					t.Fatalf("%v, held %v\nbegan as %s\nthen %s\nnow %s", left, planned.Deferred, began, strings.Join(did, "\n"), show(e.status()))
				}
				return
			}
			if taken > 20 {
				t.Fatalf("it comes to no end\nbegan as %s\nthen %s", began, strings.Join(did, "\n"))
			}
			whole := len(planned.Steps)
			if patience > 0 {
				patience--
				whole = rapid.IntRange(0, whole-1).Draw(t, "cut after")
			}
			for _, step := range planned.Steps[:whole] {
				did = append(did, step.String())
				e.must(t, step)
			}
			if whole < len(planned.Steps) {
				step, way := planned.Steps[whole], rapid.IntRange(0, 4).Draw(t, "way")
				tried := e.clone()
				tried.must(t, step) // it would have been safe
				did = append(did, fmt.Sprintf("%s, cut off at %d", step, way))
				e.cut(step, way)
			}
		}
	})
}

// TestPlansMeetFaults has hosts fail between steps, and come back: no step is unsafe whatever has failed, each
// stop says what to do, and once all that failed is back, as far as it has not lost its data, the configuration is met.
func TestPlansMeetFaults(t *testing.T) {
	sample.Check(t, clusters, func(t *rapid.T) {
		e := draw(t, conditions)
		e.restless = rapid.Bool().Draw(t, "restless")
		for range rapid.IntRange(1, 4).Draw(t, "faults") {
			planned, err := e.advised(t)
			if err != nil {
				break
			}
			e.run(t, planned.Steps[:rapid.IntRange(0, len(planned.Steps)).Draw(t, "fault after")])
			m := rapid.SampledFrom(e.list).Draw(t, "whom")
			e.inflict(m.address, rapid.SampledFrom([]string{"lost", "missing", "unreachable", "barred", "stopped", "unmounted", "foreign", "broken"}).Draw(t, "fault"))
			e.heartbeat()
			if rapid.Bool().Draw(t, "restart") {
				e.forget()
			}
		}
		for _, h := range e.hosts {
			if h.taken {
				*h = machine{}
			}
			h.silent, h.barred, h.unmounted = false, false, false
		}
		e.heartbeat()
		began := show(e.status())
		for range 20 {
			planned, err := e.advised(t)
			if err != nil && e.notYet(t, err) {
				continue
			}
			if err != nil {
				if e.serves {
					t.Fatalf("it serves, and is refused: %v\nin %s", err, show(e.status()))
				}
				return
			}
			if len(planned.Steps) == 0 {
				if left := e.unmet(); len(left) > 0 {
					t.Fatalf("%v, held %v\nmended: %s\nnow %s", left, planned.Deferred, began, show(e.status()))
				}
				return
			}
			e.run(t, planned.Steps)
		}
		t.Fatalf("it comes to no end\nmended: %s", began)
	})
}

// TestPlansOfConvergedClusters holds that nothing is done to a cluster that is as desired.
func TestPlansOfConvergedClusters(t *testing.T) {
	sample.Check(t, clusters, func(t *rapid.T) {
		e := draw(t, []string{""})
		planned, err := e.advised(t)
		if err != nil && e.notYet(t, err) {
			planned, err = e.advised(t)
		}
		if err != nil && !e.serves {
			return // so many are renumbered that the others are no quorum
		}
		if err != nil {
			t.Fatalf("a healthy cluster is refused: %v\n%s", err, show(e.status()))
		}
		for _, step := range planned.Steps {
			e.must(t, step)
		}
		for range 3 { // a part may be done before that
			if planned.Unsigned == nil || !e.notYet(t, planned.Unsigned) {
				break
			}
			if planned, err = e.advised(t); err != nil {
				t.Fatalf("a healthy cluster is refused: %v\n%s", err, show(e.status()))
			}
			for _, step := range planned.Steps {
				e.must(t, step)
			}
		}
		if left := e.unmet(); len(left) > 0 {
			t.Fatalf("%v\n%s", left, show(e.status()))
		}
		for _, forgets := range []bool{false, true} {
			if forgets {
				e.forget()
			}
			if planned, err := e.advised(t); err != nil || len(planned.Steps) > 0 || len(planned.Deferred) > 0 {
				t.Fatalf("there is more to do: %v, held %v, %v", planned.Steps, planned.Deferred, err)
			}
		}
	})
}

// TestPlansRefuseUnmanagedMembers holds that a member that nobody knows stops everything, whatever else there is.
func TestPlansRefuseUnmanagedMembers(t *testing.T) {
	sample.Check(t, clusters, func(t *rapid.T) {
		e := draw(t, conditions)
		e.list = append(e.list, &entry{id: "ffff", address: "192.0.2.98", name: "who", started: true, learner: rapid.Bool().Draw(t, "learner")})
		if planned, err := e.planned(t); err == nil || !strings.Contains(err.Error(), "ID ffff") {
			t.Fatalf("planned: %v, %v", planned.Steps, err)
		}
	})
}
