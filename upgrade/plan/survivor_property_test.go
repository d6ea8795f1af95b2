package plan_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// logged is a voter's log by raft's rules: the term of each entry, at its index from 1 on.
type logged []int

func (l logged) term() int {
	if len(l) == 0 {
		return 0
	}
	return l[len(l)-1]
}

// later tells whether a candidate with this log gets the vote of a voter with the other one.
func (l logged) later(than logged) bool {
	return cmp.Or(cmp.Compare(l.term(), than.term()), cmp.Compare(len(l), len(than))) >= 0
}

// holds tells whether the entry at an index is in a log.
func (l logged) holds(index, term int) bool { return len(l) >= index && l[index-1] == term }

// drawLogs plays terms of a cluster of n by raft's rules: who leads has the votes of a quorum, whoever hears of it
// takes its log over, and what a quorum has of the leader's own term is agreed on, with all before it.
func drawLogs(t *rapid.T, n int) (logs []logged, agreed map[int]int) {
	logs, agreed = make([]logged, n), map[int]int{}
	for term := 1; term <= 6; term++ {
		leader := rapid.IntRange(0, n-1).Draw(t, "candidate")
		votes := 0
		heard := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "hear of it")
		for i, l := range logs {
			if i == leader || heard[i] && logs[leader].later(l) {
				votes++
			}
		}
		if votes < quorum(n) {
			continue
		}
		for range rapid.IntRange(1, 3).Draw(t, "entries") {
			logs[leader] = append(slices.Clone(logs[leader]), term)
			have := 0
			reached := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "reached")
			for i := range logs {
				if i != leader && !reached[i] {
					continue
				}
				have++
				logs[i] = slices.Clone(logs[leader])
			}
			if have >= quorum(n) {
				for i, term := range logs[leader] {
					agreed[i+1] = term
				}
			}
		}
	}
	return logs, agreed
}

// TestTheRightSurvivor draws clusters of three and five by raft's own rules, every mixture of what their hosts can have
// come to, and who is to be recovered from. A plan that recovers has its survivor's log end no earlier than that of
// anybody who was seen and may come up; it loses nothing that was agreed on and that anybody holds who was seen, unless
// by name; and where it says that nothing is lost, nothing is, also if the list is an old one that lacks voters. Whom a
// refusal recommends has the last log too.
func TestTheRightSurvivor(t *testing.T) {
	recovered, recommended, lossless, unlisted := 0, 0, 0, 0
	sample.Check(t, clusters, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{3, 5}).Draw(t, "n")
		logs, agreed := drawLogs(t, n)
		conditions := []string{"stopped", "unhealthy", "looping", "lost", "missing", "unreachable", "blocked", "foreign", "unread", "damaged", "rolled back", "barred", "alone"}
		p, want := membership.ClusterStatus{ClusterVersion: "3.7"}, membership.Spec{Name: "prod", Version: "3.7.3"}
		for i := range n {
			m := member(string(rune('a' + i)))
			s := membership.MemberStatus{Member: m, Desired: true, ID: "id-" + m.Address, Role: membership.Voter, Started: true, Version: "3.7.3", Traces: true}
			condition := rapid.SampledFrom(conditions).Draw(t, "condition of "+m.Name)
			switch condition {
			case "lost", "missing", "unreachable", "foreign", "blocked", "unhealthy", "stopped":
				s.State = membership.State(condition)
			case "rolled back":
				s.State = membership.Lost
			case "barred":
				s.State, s.Barred = membership.Unreachable, "set ssh.user"
			case "alone": // its recovery was cut short
				s.State, s.Alone = membership.Blocked, true
			default:
				s.State = membership.Unhealthy
			}
			s.Why = reasons[s.State]
			switch condition {
			case "looping":
				s.Looping = true
			case "unread":
				s.Unread = "its log cannot be read"
			case "damaged":
				s.Looping, s.Damaged = true, "its database cannot be read"
			case "blocked", "foreign":
				s.Unread = s.Why
			}
			if slices.Contains([]string{"stopped", "unhealthy", "looping", "damaged", "rolled back", "alone"}, condition) {
				s.Term, s.Index = uint64(logs[i].term()), uint64(len(logs[i]))
			}
			// The list may be that of a member which was cut off before others were added.
			if lacks := n == 5 && i > 2 && rapid.Bool().Draw(t, "the list lacks "+m.Name); lacks {
				s.Role, s.ID, s.Started = membership.Absent, "", false
				if s.State != membership.Missing {
					s.Unlisted = "a"
				}
			}
			p.Members, want.Members = append(p.Members, s), append(want.Members, m)
		}
		planned, err := plan.Change(p, want)
		mayLead := func(s membership.MemberStatus) bool {
			return s.Survives() && s.Index > 0 && s.Damaged == ""
		}
		further := func(a, b membership.MemberStatus) bool {
			return cmp.Or(cmp.Compare(a.Term, b.Term), cmp.Compare(a.Index, b.Index)) > 0
		}
		if err != nil {
			if _, text, says := strings.Cut(err.Error(), "highest term and index, "); says {
				recommended++
				best := p.Members[text[0]-'a']
				for _, s := range p.Members {
					if s.Barred != "" && !strings.Contains(text, fmt.Sprintf("let the run in, or are switched off: %s", s.Name)) && !strings.Contains(text, "), "+s.Name+" (set ssh.user)") {
						t.Fatalf("%s is recommended, which is refused while %s was not asked: %s", best, s, err)
					}
					if mayLead(s) && further(s, best) {
						t.Fatalf("%s is recommended, and %s has come further: %s", best, s, err)
					}
				}
			}
		}

		seed := rapid.SampledFrom(p.Members).Draw(t, "seed")
		counts := func(s, seed membership.MemberStatus) bool {
			return s.Role == membership.Voter || s.Unlisted != "" && (s.State == membership.Unreachable || s.Unread != "" || further(s, seed))
		}
		want.Recover.Member = seed.Name
		for _, s := range p.Members {
			if s.Member == seed.Member || !counts(s, seed) {
				continue
			}
			want.Recover.Abandons = append(want.Recover.Abandons, s.Name)
		}
		if len(want.Recover.Abandons) > 0 && rapid.Bool().Draw(t, "loses any") {
			want.Recover.Loses = rapid.SliceOfDistinct(rapid.SampledFrom(want.Recover.Abandons), rapid.ID).Draw(t, "loses")
		}
		reach := plan.Plan{}
		if reach, err = plan.Change(p, want); err != nil {
			return
		}
		if len(reach.Steps) == 0 || reach.Steps[0].Kind != membership.Recover {
			if fmt.Sprint(reach.Steps) != fmt.Sprint(planned.Steps) {
				t.Fatalf("it recovers nothing, and the plan is another:\n%v\n%v", reach.Steps, planned.Steps)
			}
			return
		}
		recovered++
		if slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool { return s.Unlisted != "" && counts(s, seed) }) {
			unlisted++
		}
		text := reach.Steps[0].String()
		kept := logs[seed.Name[0]-'a']
		for i, s := range p.Members {
			if s.Barred != "" && s.Member != seed.Member {
				t.Fatalf("%s, and %s answers and was not asked", text, s)
			}
			named := slices.Contains(want.Recover.Loses, s.Name)
			if mayLead(s) && !s.Looping && further(s, seed) || further(s, seed) && !named {
				t.Fatalf("%s, and %s has come further", text, s)
			}
			seen := s.State == membership.Unhealthy || s.State == membership.Stopped || s.State == membership.Blocked || s.State == membership.Foreign
			if named || !seen {
				continue
			}
			for index, term := range agreed {
				if logs[i].holds(index, term) && !kept.holds(index, term) {
					t.Fatalf("%s, and entry %d of term %d is lost, which %s has", text, index, term, s)
				}
			}
		}
		if strings.Contains(text, "no acknowledged write is lost") {
			lossless++
			for index, term := range agreed {
				if !kept.holds(index, term) {
					t.Fatalf("%s, and entry %d of term %d is lost", text, index, term)
				}
			}
		}
		for _, s := range p.Members {
			if s.Member != seed.Member && counts(s, seed) && !strings.Contains(text, " "+s.Name+" (") {
				t.Fatalf("%s, and nothing is said of %s", text, s)
			}
		}
	})
	if !testing.Short() && (recovered == 0 || recommended == 0 || lossless == 0 || unlisted == 0) {
		t.Errorf("recovered %d times (%d with members that the list lacks), recommended %d times, lost nothing %d times: that shows little", recovered, unlisted, recommended, lossless)
	}
}
