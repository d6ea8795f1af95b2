package bootstrap_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestPlansByWaysDrawn draws clusters, up to two mistakes of where addresses lead, and plans. The right machine, the
// right member, or nothing: a plan changes no host that carries another member, another's, or a clone's, takes no
// member that serves for dead, and counts no machine twice. What can be seen of a mistake is refused with both sides
// named, and undoing it leads to the plan that there would have been without it.
func TestPlansByWaysDrawn(t *testing.T) {
	planned, refused := 0, 0
	all := map[int]bootstrap.Reports{}
	for _, size := range []int{3, 5} {
		all[size] = alive(t, cluster(fiveAddresses[:size]...))
	}
	sample.Check(t, 3000, func(rt *rapid.T) {
		s := drawSite(rt, all)
		before, wanted, wantedErr := s.planned()
		s.mustBeRight(rt, before, wanted, wantedErr)
		if len(before.Mistakes) > 0 {
			rt.Fatalf("there is no mistake, and refused is\n%+v", before.Mistakes)
		}
		var made []mistake
		for n := range rapid.IntRange(1, 2).Draw(rt, "mistakes") {
			made = append(made, s.drawMistake(rt, fmt.Sprintf("mistake %d", n+1)))
		}
		for n := range made {
			is := s.with(made[:n+1]...)
			p, got, err := is.planned()
			is.mustBeRight(rt, p, got, err)
			if err != nil {
				refused++
			} else {
				planned++
			}
			if rt.Failed() {
				rt.Fatalf("with %+v", made[:n+1])
			}
		}
		_, got, err := s.planned()
		if diff := cmp.Diff(said(wanted, wantedErr), said(got, err)); diff != "" {
			rt.Fatalf("undone: (-before +after)\n%s", diff)
		}
	})
	if planned == 0 || refused == 0 {
		t.Errorf("%d plans and %d refusals: that shows little", planned, refused)
	}
}

// said is a plan as it is shown, or why it is refused.
func said(planned plan.Plan, err error) (lines []string) {
	if err != nil {
		return []string{err.Error()}
	}
	for _, step := range planned.Steps {
		lines = append(lines, step.String())
	}
	for _, deferred := range planned.Deferred {
		lines = append(lines, deferred.Error())
	}
	return lines
}

// throughOthers are the kinds of steps on a member that are done on other hosts than its own.
var throughOthers = []membership.Kind{membership.Remove, membership.MoveLeader, membership.Promote}

// mustBeRight holds what a plan may do as things really are, and what it has to say.
func (s site) mustBeRight(rt *rapid.T, p membership.ClusterStatus, planned plan.Plan, err error) {
	fail := func(format string, args ...any) {
		rt.Errorf("%s\n%s\nplan: %s\nmistakes: %v", fmt.Sprintf(format, args...), s, strings.Join(said(planned, err), "\n      "), p.Mistakes)
	}
	mistaken := func(m membership.Member) string {
		for _, r := range p.Mistakes {
			if r.Member == m.Name && r.At == m.Address {
				return r.Error()
			}
		}
		return ""
	}
	for _, r := range p.Mistakes {
		if !strings.Contains(r.Error(), fmt.Sprintf("%s (%s): its ", r.Member, r.At)) && !strings.Contains(r.Error(), fmt.Sprintf("%s (%s): this is another address of the machine", r.Member, r.At)) {
			fail("it does not name the way: %s", r.Error())
		}
	}
	ids, machines := map[string]membership.Member{}, map[*machine]membership.Member{}
	for _, m := range s.members() {
		if says := s.mustSay(m); says != "" && !strings.Contains(mistaken(m), says) {
			fail("of %s it has to say %q", m, says)
		}
		to := s.ways[m]
		if to == nil || !slices.Contains(s.cluster.Members, m) || s.stale[m] {
			continue
		}
		if other, twice := machines[to]; twice && err == nil {
			fail("%s and %s are on one machine", m, other)
		}
		machines[to] = m
	}
	for _, v := range p.Voters() {
		if other, twice := ids[v.ID]; twice && v.ID != "" && err == nil {
			fail("%s and %s are one member", v, other)
		}
		ids[v.ID] = v.Member
		if (s.isKnownToServe(v.Member) || v.ID == v.Name+"1" && s.serves(v.Name)) && (v.State == membership.Lost || v.State == membership.Missing) && mistaken(v.Member) == "" {
			fail("%s serves, and is %s (%s)", v, v.State, v.Why)
		}
	}
	for _, v := range p.Members {
		if to := s.ways[v.Member]; v.From != "" && (to == nil || to.of != v.Name || !v.Desired) && err == nil {
			fail("%s is to be re-addressed from %s", v, v.From)
		}
	}
	for _, step := range planned.Steps {
		m, to := step.Subject(), s.ways[step.Subject()]
		switch {
		case step.Member == "" || step.Kind == membership.SyncConfiguration:
		case step.Kind == membership.Remove && s.isKnownToServe(m) && (!s.goes(m.Name) || strings.HasPrefix(step.Why, "dead") && to != nil && (to.of != "another" || to.report.Marker() != nil)):
			fail("%s, and it serves", step)
		case slices.Contains(throughOthers, step.Kind):
		case to == nil:
			fail("%s, and nobody answers there", step)
		case to.of == "another" || to.carries != "" && to.carries != m.Name:
			fail("%s, on %s", step, to.is)
		case to.clone && (to.carries != "" || s.isListed(m)) && (s.reached(m.Name) || !to.serves && s.serves(m.Name)):
			fail("%s, on %s", step, to.is)
		case to.carries == "" && s.isKnownToServe(m) && !s.goes(m.Name):
			fail("%s, on %s, and the member serves elsewhere", step, to.is)
		}
	}
}

// isListed tells whether the cluster lists a member at this very address.
func (s site) isListed(m membership.Member) bool {
	return s.own[m.Name] != nil && strings.HasPrefix(m.Address, "192.0.2.1")
}

// isKnownToServe tells whether a listed member serves, and others that were reached have connections with it.
func (s site) isKnownToServe(m membership.Member) bool {
	return s.isListed(m) && s.serves(m.Name)
}

func (s site) serves(name string) bool { return s.own[name].serves && !s.alone && s.told(name) }

// reached tells whether a member's own machine was reached at any address of that member.
func (s site) reached(name string) bool {
	return slices.ContainsFunc(s.members(), func(m membership.Member) bool {
		return m.Name == name && s.ways[m] == s.own[name] && s.own[name].carries != ""
	})
}

// goes tells whether a member is to leave its machine, as far as can be known: one that is wanted at another address,
// where a machine answers that carries nothing, is to move there.
func (s site) goes(name string) bool {
	return s.leaves[name] || slices.ContainsFunc(s.cluster.Members, func(m membership.Member) bool {
		return m.Name == name && !s.isListed(m) && s.ways[m] != nil && s.ways[m].carries == "" && s.ways[m].of != "another"
	})
}

// mustSay is what has to be said of where an address leads, if it can be seen that this is not where it ought to lead.
func (s site) mustSay(m membership.Member) string {
	to := s.ways[m]
	switch {
	case to == nil, s.isOld(m), !s.isListed(m) && !slices.Contains(s.cluster.Members, m): // nobody goes that way
		return ""
	case to.carries != "" && to.carries != m.Name:
		return "member " + to.carries
	case s.reached(m.Name) && to.carries == "" && s.isListed(m) && to != s.own[m.Name]:
		return "while the one that carries it answers at"
	case s.reached(m.Name) && to != s.own[m.Name] && to.carries == m.Name:
		return "is a clone of the other"
	case s.reached(m.Name), !s.serves(m.Name):
		return ""
	case to.clone && !to.serves && (to.carries != "" || s.isListed(m)):
		return "while the member has connections with"
	case !s.isListed(m):
		return ""
	case to.of == "another" && to.report.Marker() != nil:
		return "that another state manages, while the member has connections with"
	case to.carries == "" && to.of != "another" && !to.clone:
		return "carries nothing of it, while the member has connections with"
	}
	return ""
}

// isOld tells whether a member is to be re-addressed from this address, and was reached at its new one.
func (s site) isOld(m membership.Member) bool {
	return slices.ContainsFunc(s.cluster.Members, func(other membership.Member) bool {
		return other.Name == m.Name && other != m && s.ways[other] != nil && s.ways[other].carries == m.Name
	})
}

func (s site) String() string {
	var lines []string
	for _, m := range s.members() {
		line := m.String()
		if slices.Contains(s.cluster.Members, m) {
			line += ", desired"
		}
		switch to := s.ways[m]; {
		case to == nil:
			line += ": no answer"
		default:
			line += ": " + to.is
		}
		if s.stale[m] {
			line += ", before its boot"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
