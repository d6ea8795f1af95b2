package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Survivors of a lost quorum are ranked by the last entries of their logs, as raft ranks candidates: by term, then
// index. The log that ends last has every committed entry that any other survivor has. An entry that it lacks was
// committed only by voters that were not seen.

// compareLogs ranks two logs: the result is positive if a ends later.
func compareLogs(a, b membership.MemberStatus) int {
	return cmp.Or(cmp.Compare(a.Term, b.Term), cmp.Compare(a.Index, b.Index))
}

// unread returns why a member has no rank.
func unread(s membership.MemberStatus) string {
	return cmp.Or(s.Unread, "its log was not read")
}

// tellLogs says how the logs end, the last one first, and which could not be read. It is empty if there are none.
func tellLogs(p membership.ClusterStatus) string {
	voters := p.Voters()
	slices.SortStableFunc(voters, func(a, b membership.MemberStatus) int { return compareLogs(b, a) })
	var logs []string
	for _, s := range voters {
		switch {
		case s.Ranked():
			text := fmt.Sprintf("%s has term %d, index %d", s, s.Term, s.Index)
			if why := cannotLead(s); why != "" {
				text += " (" + why + ")"
			}
			logs = append(logs, text)
		case s.Unread != "" || s.Survives():
			logs = append(logs, fmt.Sprintf("%s is not ranked: %s", s, unread(s)))
		}
	}
	return strings.Join(logs, ", ")
}

// cannotLead returns why a member whose log was read cannot be recovered from, or "".
func cannotLead(s membership.MemberStatus) string {
	switch {
	case s.Damaged != "":
		return s.Damaged
	case !s.Survives() || s.Looping:
		return s.Why
	}
	return ""
}

// recommended says which survivor to recover from if nothing else is possible, or "" if there is none.
func recommended(p membership.ClusterStatus) string {
	able := slices.DeleteFunc(p.Voters(), func(s membership.MemberStatus) bool { return !s.Survives() || !s.Ranked() || s.Damaged != "" })
	if len(able) == 0 {
		return ""
	}
	// If two logs end alike, prefer a member that is not known to fail, and then one that is in the configuration.
	best := slices.MaxFunc(able, func(a, b membership.MemberStatus) int {
		return cmp.Or(compareLogs(a, b), membership.CompareTrue(!a.Looping, !b.Looping), membership.CompareTrue(a.Desired, b.Desired), cmp.Compare(b.Name, a.Name))
	})
	text := fmt.Sprintf("recover from the survivor with the highest term and index, %s", best)
	if !best.Desired {
		text += ", once it is back in the configuration"
	}
	var barred []string // a recovery is refused while these may serve
	for _, s := range p.Members {
		if s.Barred != "" && (s.Role == membership.Voter || s.Unlisted != "") {
			barred = append(barred, fmt.Sprintf("%s (%s)", s.Name, s.Barred))
		}
	}
	if len(barred) > 0 {
		text += fmt.Sprintf(", once these hosts let the run in, or are switched off: %s", strings.Join(barred, ", "))
	}
	if slices.ContainsFunc(p.Voters(), func(s membership.MemberStatus) bool { return s.Unread != "" }) {
		text += ", unless one that is not ranked turns out to have come further"
	}
	return text + ": what only the others had is lost then (see recover_from)"
}

// mayHaveMore returns the members that the list lacks, since its member may not have heard of them, and that may have
// what a survivor lacks. If such a member's log ends no later, the survivor has all of it that was agreed on.
func mayHaveMore(p membership.ClusterStatus, than membership.MemberStatus) (all []membership.MemberStatus) {
	for _, s := range p.Members {
		if s.Unlisted != "" && (s.Unread != "" || s.State == membership.Unreachable || s.Ranked() && compareLogs(s, than) > 0) {
			all = append(all, s)
		}
	}
	return all
}

// unheardOf names the desired members whose hosts could not be asked, and that nobody who was seen has heard of. Such a
// member is a new one, unless it was added through one that was not seen either.
func unheardOf(p membership.ClusterStatus, seed membership.MemberStatus) (names []string) {
	unseen := func(s membership.MemberStatus) bool {
		return s.Member != seed.Member && s.State == membership.Unreachable
	}
	if !slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool {
		return unseen(s) && (s.Role != membership.Absent || s.Unlisted != "")
	}) {
		return nil
	}
	for _, s := range p.Members {
		if unseen(s) && s.Desired && s.Role == membership.Absent && s.Unlisted == "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// tellUnlisted says what to do where members that were seen may vote, and the list lacks them. It is empty if no log of
// them ends later than those of all others.
func tellUnlisted(p membership.ClusterStatus, want membership.Spec) string {
	var last membership.MemberStatus
	for _, s := range p.Voters() {
		if s.Ranked() && compareLogs(s, last) > 0 {
			last = s
		}
	}
	var seen []membership.MemberStatus
	var said []string
	for _, s := range mayHaveMore(p, last) {
		if s.State != membership.Unreachable {
			seen, said = append(seen, s), append(said, fmt.Sprintf("%s: %s", s, isUnlisted(s)))
		}
	}
	if len(seen) == 0 {
		return ""
	}
	return strings.Join(said, ", ") + "; " + strings.TrimSuffix(askTheLogs(p, want, seen), "; ")
}

// isUnlisted says what a member is that the list lacks.
func isUnlisted(s membership.MemberStatus) string {
	return fmt.Sprintf("it is not in the list of %s, which has no quorum, so it was added since %[1]s was cut off, or was removed, or given up by an earlier recovery", s.Unlisted)
}

// askTheLogs says how members that the list lacks are counted: their hosts are asked if nobody tells a list. It is
// empty if there are none that were seen.
func askTheLogs(p membership.ClusterStatus, want membership.Spec, unlisted []membership.MemberStatus) string {
	for _, s := range unlisted {
		if s.State != membership.Unreachable {
			return fmt.Sprintf("if it was added since %s was cut off, stop %[1]s (systemctl stop etcd@%s on its host), and plan again: with nobody to tell a list, all former voters count; ", s.Unlisted, want.Name)
		}
	}
	return ""
}

// whatIsGivenUp says what a recovery gives up: how the log of the survivor ends, and what is known of all others. If
// the logs of a quorum were read, and none ends later, the survivor has everything that was acknowledged.
func whatIsGivenUp(p membership.ClusterStatus, seed membership.MemberStatus, others []membership.MemberStatus) string {
	read, later, had := 1, false, seed.Had
	var left []string
	for _, s := range others {
		what := "no data"
		had = max(had, s.Had)
		switch {
		case s.State == membership.Unreachable:
			what = "not seen"
		case s.Ranked():
			what = fmt.Sprintf("term %d, index %d", s.Term, s.Index)
			later = later || compareLogs(s, seed) > 0
			if s.Survives() {
				read++
			}
		case s.Unread != "":
			what = "log not read"
		}
		left = append(left, fmt.Sprintf("%s (%s)", s.Name, what))
	}
	for _, s := range p.Unmanaged {
		if s.Role == membership.Voter {
			left = append(left, cmp.Or(s.Name, s.ID)+" (not seen)")
		}
	}
	text := fmt.Sprintf("up to term %d, index %d", seed.Term, seed.Index)
	if seed.Corrupt {
		text += "; its data has the CORRUPT alarm in it: members held different data when that was raised, and it is not known whether this one is right"
	}
	if len(left) == 0 {
		return text
	}
	text += fmt.Sprintf("; %s are given up, and join anew", strings.Join(left, ", "))
	if had > seed.Index && !later {
		return text + fmt.Sprintf("; entries up to %d were acknowledged, and are in no log that was read: they are lost", had)
	}
	// Where the list may lack voters, the quorum may be another one.
	unheard := unheardOf(p, seed)
	unlisted := len(unheard) > 0 || slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool { return s.Unlisted != "" })
	if read >= membership.Quorum(p.Size()) && !later && !unlisted {
		return text + "; the logs of a quorum were read, so that no acknowledged write is lost"
	}
	text += "; writes that only they had are lost"
	if len(unheard) > 0 {
		text += fmt.Sprintf("; not seen, and in no marker that was seen: %s, which may serve, if an apply that was cut off has added it", strings.Join(unheard, ", "))
	}
	return text
}
