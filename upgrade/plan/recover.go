package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// recovery plans the recovery of a lost quorum that recover_from asks for: one survivor becomes the whole cluster, and
// the others join it anew. It is allowed only if there is no other way, and if the configuration names every other
// voter as given up. Any of them may hold writes that the survivor never received, or, if its host cannot be reached,
// may be serving clients at this moment.
func recovery(p membership.ClusterStatus, want membership.Spec) (membership.Step, error) {
	if quorumInReach(p, want) == nil {
		return membership.Step{}, nil
	}
	if want.Recover.Member == "" {
		if accountedFor(p, want) != nil {
			return membership.Step{}, nil // preconditions refuses it
		}
		recover, found := Renumbered(p, want)
		recover.Keeps = found && recover.Kind == membership.Recover && keepsCertificates(p, want, *p.Member(recover.Subject()))
		return recover, nil
	}
	refuse := func(rule, remedy string) (membership.Step, error) {
		return membership.Step{}, &membership.Refusal{Summary: "This recovery is refused", Attribute: "recover_from", Member: want.Recover.Member, Rule: rule, Remedy: remedy}
	}
	if s, serves := first(p.Voters(), func(s membership.MemberStatus) bool { return s.State == membership.Healthy }); serves {
		return refuse(fmt.Sprintf("the cluster is not recovered from it: %s serves linearizable reads, so the cluster has a quorum that cannot be seen from here", s),
			"fix the network to the other hosts, and plan again")
	}
	seed, found := first(p.Members, func(s membership.MemberStatus) bool {
		return s.Desired && s.Name == want.Recover.Member && s.Survives()
	})
	switch {
	case !found:
		remedy := "name a survivor in recover_from.member"
		if s, found := first(p.Members, func(s membership.MemberStatus) bool {
			return s.Name == want.Recover.Member && s.Desired && s.Unlisted != "" && s.State != membership.Unreachable
		}); found {
			remedy = strings.TrimSuffix(isUnlisted(s)+"; "+askTheLogs(p, want, []membership.MemberStatus{s}), "; ")
		}
		return refuse("the cluster cannot be recovered from it: no voter with its data is at its address", remedy)
	case !seed.Ranked():
		return refuse("the cluster is not recovered from it: "+unread(seed), "fix that and plan again, or name another survivor in recover_from.member")
	case seed.Damaged != "":
		return refuse("the cluster cannot be recovered from it: "+seed.Damaged, "name another survivor in recover_from.member, or restore a snapshot")
	}
	others := slices.DeleteFunc(p.Voters(), func(s membership.MemberStatus) bool { return s.Member == seed.Member })
	if s, found := first(others, func(s membership.MemberStatus) bool { return s.Barred != "" }); found {
		return refuse(fmt.Sprintf("the cluster is not recovered from it: %s may serve, or have come further: %s", s, s.Why), s.Barred+"; or switch its host off, and plan again")
	}
	var names []string
	var doubts []string // voters that may have more than the survivor, and cannot be brought up with it
	doubtful := map[string]string{}
	for _, s := range others {
		names = append(names, s.Name)
		further := s.Ranked() && compareLogs(s, seed) > 0
		switch {
		case further && s.Survives() && !s.Looping && s.Damaged == "":
			remedy := fmt.Sprintf("set recover_from.member to %q", s.Name)
			if !s.Desired {
				remedy = fmt.Sprintf("put %s back into the configuration at %s, and %s", s.Name, s.Address, remedy)
			}
			return refuse(fmt.Sprintf("the cluster is not recovered from it: %s has come further (term %d, index %d, against term %d, index %d)", s, s.Term, s.Index, seed.Term, seed.Index), remedy)
		case further:
			doubtful[s.Name] = fmt.Sprintf("%s has come further (term %d, index %d, against term %d, index %d), and does not come up: %s", s, s.Term, s.Index, seed.Term, seed.Index, cmp.Or(s.Damaged, s.Why))
		case s.Unread != "" || s.Survives() && !s.Ranked():
			doubtful[s.Name] = fmt.Sprintf("%s may have come further: %s", s, unread(s))
		}
	}
	instead := "" // of one that the list lacks nothing is recovered
	if len(doubtful) > 0 {
		instead = ", or recover from the one that has come further"
	}
	unlisted := mayHaveMore(p, seed)
	for _, s := range unlisted {
		if s.Barred != "" {
			return refuse(fmt.Sprintf("the cluster is not recovered from it: %s may serve, or have come further: %s", s, s.Why), s.Barred+"; or switch its host off, and plan again")
		}
		names = append(names, s.Name)
		switch {
		case s.Ranked():
			doubtful[s.Name] = fmt.Sprintf("%s has come further (term %d, index %d, against term %d, index %d): %s", s, s.Term, s.Index, seed.Term, seed.Index, isUnlisted(s))
		case s.Unread != "":
			doubtful[s.Name] = fmt.Sprintf("%s may have come further: %s; %s", s, unread(s), isUnlisted(s))
		}
	}
	others = append(others, unlisted...)
	for _, s := range p.Unmanaged {
		if s.Role == membership.Voter {
			names = append(names, cmp.Or(s.Name, s.ID))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names) // a member and its replacement have one name
	if named := slices.Sorted(slices.Values(want.Recover.Abandons)); !slices.Equal(slices.DeleteFunc(slices.Clone(named), mayBeNamed(p, seed, names)), names) {
		return refuse(fmt.Sprintf("the cluster is not recovered from it: the other voters, whose data is given up, are %s, and recover_from.abandons names %s", strings.Join(names, ", "), strings.Join(named, ", ")),
			"name exactly the voters that are given up, once it is certain that none of them serves anybody any more"+orThese(unheardOf(p, seed)))
	}
	for _, name := range slices.Sorted(maps.Keys(doubtful)) {
		if !slices.Contains(want.Recover.Loses, name) {
			doubts = append(doubts, doubtful[name])
		}
	}
	if len(doubts) > 0 {
		return refuse("the cluster is not recovered from it: "+strings.Join(doubts, "; "),
			"fix that and plan again"+instead+"; "+askTheLogs(p, want, unlisted)+"where it cannot be had, name it in recover_from.loses too: acknowledged writes that only it has are lost then")
	}
	for _, name := range want.Recover.Loses {
		if _, needed := doubtful[name]; !needed {
			return refuse(fmt.Sprintf("the cluster is not recovered from it: recover_from.loses names %s, and nothing suggests that it has writes that %s lacks", name, seed.Name),
				"take it out of recover_from.loses: it is for voters whose hosts were seen and whose logs could not be read, or end later and do not come up")
		}
	}
	if step, found := stageSeed(p, want, seed); found {
		return step, nil
	}
	recover := step(membership.Recover, seed)
	recover.Why, recover.Keeps = whatIsGivenUp(p, seed, others), keepsCertificates(p, want, seed)
	return recover, nil
}

// orThese adds the members that nobody who was seen has heard of.
func orThese(unheard []string) string {
	if len(unheard) == 0 {
		return ""
	}
	return fmt.Sprintf(", nor of those that were not seen and are in no marker that was seen: %s", strings.Join(unheard, ", "))
}

// mayBeNamed tells whether a member may be named as given up, and need not be: its host could not be asked, and nobody
// who was seen has heard of it, or its log has nothing that the survivor lacks.
func mayBeNamed(p membership.ClusterStatus, seed membership.MemberStatus, needed []string) func(name string) bool {
	return func(name string) bool {
		return !slices.Contains(needed, name) && slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool {
			return s.Name == name && s.Member != seed.Member && (s.State == membership.Unreachable || s.Unlisted != "")
		})
	}
}

// isRecovered tells whether an earlier run has recovered the cluster as recover_from asks: the survivor is its only
// voter.
func isRecovered(p membership.ClusterStatus, want membership.Spec) bool {
	voters := p.Voters()
	return len(voters) == 1 && p.Size() == 1 && voters[0].Desired && voters[0].Name == want.Recover.Member
}

// stageSeed installs the store that a survivor is to run on its host, unless it is there. A survivor that its current
// configuration may keep down gets everything desired.
func stageSeed(p membership.ClusterStatus, want membership.Spec, seed membership.MemberStatus) (membership.Step, bool) {
	c, version := &planner{ClusterStatus: p, want: want}, want.Version
	if !c.misconfigured(seed) {
		if version = seed.Version; !seed.Storeless {
			return membership.Step{}, false
		}
	}
	return c.stage(seed, version), seed.Staged != version
}

// keepsCertificates tells whether a member is recovered with the certificates that it has, so that its service waits
// for no signer: they are valid and name its address, and if it comes to trust the desired authorities alone, the
// desired one has signed them.
func keepsCertificates(p membership.ClusterStatus, want membership.Spec, seed membership.MemberStatus) bool {
	if seed.From != "" || seed.NeedsCertificates() {
		return false
	}
	return !Misconfigured(p, want, seed.Member) || seed.Issued.By == p.Signers.First()
}

// recovered applies a recovery to a cluster: one voter is left, and hosts with the remains of the others.
func recovered(p *membership.ClusterStatus, want membership.Spec, did membership.Step) {
	whole := Misconfigured(*p, want, did.Subject())
	for i := range p.Members {
		s := &p.Members[i]
		if s.Member == did.Subject() {
			if whole {
				s.Outdated, s.Behind, s.Version, s.OldStore = nil, false, want.Version, false
			}
			if whole || !did.Keeps { // else it is started as it is
				issue(*p, s, did)
			}
			certify(s, did)
			s.State, s.Unsynced, s.Why, s.Looping, s.Alone, s.Disabled = membership.Healthy, true, "", false, false, false
			s.Move = membership.Move{}
			p.Leader = s.ID
			continue
		}
		s.Role, s.ID, s.Started, s.Unlisted = membership.Absent, "", false, ""
		ended(s)
		s.Move = membership.Move{}
	}
	p.Unmanaged, p.Saved = nil, false
}

// A cluster whose machines have lost the addresses that its members know each other by has no quorum to update its
// list. All members are there, and can be reached by their new addresses, so the planner can tell that nothing is
// lost.

// Renumbered plans the recovery of a cluster that was renumbered as a whole, or so far that the rest is no quorum: the
// member whose log ends last becomes the cluster, at its new address, and the others join it anew. It needs no
// recover_from, but requires that the log of every voter was read, so that no write can be lost, and that nothing but
// the addresses separates the members: any other fault or difference is for the user to decide on.
func Renumbered(p membership.ClusterStatus, want membership.Spec) (membership.Step, bool) {
	voters := p.Voters()
	lost := withLostAddress(p)
	if p.Corrupt || len(p.Unseen) > 0 || len(voters) < p.Size() || len(lost) == 0 || len(voters)-len(lost) >= membership.Quorum(len(voters)) {
		return membership.Step{}, false
	}
	for _, s := range voters {
		if !s.Survives() || !s.Ranked() || s.Damaged != "" || s.Corrupt || s.Differs || s.Failed != "" || s.Looping && (!s.Gone || s.Moved) {
			return membership.Step{}, false
		}
	}
	seed := slices.MaxFunc(voters, compareSeeds)
	if len(mayHaveMore(p, seed)) > 0 || compareLogs(slices.MaxFunc(voters, compareLogs), seed) > 0 || !canBeSeed(seed) || slices.ContainsFunc(voters, func(s membership.MemberStatus) bool { return s.Had > seed.Index }) {
		return membership.Step{}, false
	}
	if step, found := stageSeed(p, want, seed); found {
		return step, true
	}
	var others []string
	for _, s := range voters {
		if s.Member != seed.Member {
			others = append(others, fmt.Sprintf("%s (term %d, index %d)", s.Name, s.Term, s.Index))
		}
	}
	recover := step(membership.Recover, seed)
	recover.Why = fmt.Sprintf("up to term %d, index %d; %s join it anew, their data moved aside; all logs were read, and none ends later, so that no acknowledged write is lost; "+
		"the members cannot reach each other, since their machines lack the addresses that the cluster knows: %s", seed.Term, seed.Index, strings.Join(others, ", "), strings.Join(lost, ", "))
	return recover, true
}

// canBeSeed tells whether a member can become the whole cluster with nothing but a new address.
func canBeSeed(s membership.MemberStatus) bool { return s.Desired && !s.Behind && !s.Storeless }

// compareSeeds prefers a member that can be the seed, then the one whose log ends last, then one that is at its
// address.
func compareSeeds(a, b membership.MemberStatus) int {
	return cmp.Or(membership.CompareTrue(canBeSeed(a), canBeSeed(b)), compareLogs(a, b), membership.CompareTrue(a.From == "", b.From == ""))
}

// withLostAddress lists the members whose machines have lost the addresses that the cluster knows.
func withLostAddress(p membership.ClusterStatus) (all []string) {
	for _, s := range p.Voters() {
		if s.Gone && !s.Moved {
			all = append(all, fmt.Sprintf("%s (%s)", s.Name, membership.HostOf(s.From)))
		}
	}
	return all
}
