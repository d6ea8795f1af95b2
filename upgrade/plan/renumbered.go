package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

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
	if compareLogs(slices.MaxFunc(voters, compareLogs), seed) > 0 || !canBeSeed(seed) || slices.ContainsFunc(voters, func(s membership.MemberStatus) bool { return s.Had > seed.Index }) {
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
	return cmp.Or(compareTrue(canBeSeed(a), canBeSeed(b)), compareLogs(a, b), compareTrue(a.From == "", b.From == ""))
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
