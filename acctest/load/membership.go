package load

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Change is a change of the membership.
type Change struct {
	Kind   string        // "add learner", "promote", "add voter", "remove voter", "remove learner", "demote"
	Member Member        // as it was listed before it was removed, or after what else was done
	Before time.Duration // it was done between Before and At
	At     time.Duration
}

func (c Change) String() string {
	return fmt.Sprintf("%s %s", c.Kind, c.Member)
}

func (m Member) String() string { return cmp.Or(m.Name, "(unstarted)") + "=" + m.ID }

// Violation is a rule that was broken.
type Violation struct {
	At   time.Duration
	What string
}

func (v Violation) String() string {
	return fmt.Sprintf("at %v: %s", v.At.Round(time.Millisecond), v.What)
}

// changes are the changes between successive memberships, and the rules that they break: one change of
// one member at a time, and one learner at a time.
func changes(configurations []Configuration) ([]Change, []Violation) {
	var all []Change
	var broken []Violation
	var last Configuration
	for i, c := range configurations {
		if i > 0 {
			step := between(last, c)
			if len(step) > 1 {
				broken = append(broken, Violation{c.At, fmt.Sprintf("%d changes of membership within %v: %s",
					len(step), (c.At - c.Before).Round(time.Millisecond), joined(step))})
			}
			all = append(all, step...)
		}
		var learners []Member
		for _, m := range c.Members {
			if m.Learner {
				learners = append(learners, m)
			}
		}
		if len(learners) > 1 {
			broken = append(broken, Violation{c.At, fmt.Sprintf("%d learners at once: %s", len(learners), joined(learners))})
		}
		last = c
	}
	return all, broken
}

// between are the changes that make one membership the other, removals first.
func between(a, b Configuration) []Change {
	var removed, other []Change
	change := func(kind string, m Member) Change { return Change{kind, m, b.Before, b.At} }
	for _, was := range a.Members {
		if _, ok := find(b.Members, was.ID); ok {
			continue
		}
		kind := "remove voter"
		if was.Learner {
			kind = "remove learner"
		}
		removed = append(removed, change(kind, was))
	}
	for _, is := range b.Members {
		was, ok := find(a.Members, is.ID)
		switch {
		case !ok && is.Learner:
			other = append(other, change("add learner", is))
		case !ok:
			other = append(other, change("add voter", is))
		case was.Learner && !is.Learner:
			other = append(other, change("promote", is))
		case !was.Learner && is.Learner:
			other = append(other, change("demote", is))
		}
	}
	return append(removed, other...)
}

func find(members []Member, id string) (Member, bool) {
	i := slices.IndexFunc(members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

func joined[T fmt.Stringer](list []T) string {
	var texts []string
	for _, element := range list {
		texts = append(texts, element.String())
	}
	return strings.Join(texts, ", ")
}

// Lead is a member that became leader.
type Lead struct {
	Member string // ID
	Term   uint64
	Seen   time.Duration // first
}

// leads are the leaders in the order of their terms. A member's status does not read its term and its
// leader at one moment, so that in a change it may name the old leader with the new term, or the other way
// round: a term's leader is the member that most often said of itself to be it.
func leads(probes []Probe) []Lead {
	type claim struct {
		term   uint64
		member string
	}
	said, seen := map[claim]int{}, map[claim]time.Duration{}
	for _, p := range probes {
		if p.Error != "" || p.Leader == "" || p.Leader != p.Member {
			continue
		}
		c := claim{p.Term, p.Member}
		if said[c]++; said[c] == 1 {
			seen[c] = p.End
		}
	}
	won := map[uint64]claim{}
	for c, times := range said {
		other, taken := won[c.term]
		if !taken || times > said[other] || times == said[other] && seen[c] > seen[other] {
			won[c.term] = c
		}
	}
	var all []Lead
	for _, term := range slices.Sorted(maps.Keys(won)) {
		all = append(all, Lead{won[term].member, term, seen[won[term]]})
	}
	return all
}
