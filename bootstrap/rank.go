package bootstrap

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// rank records how the log of a voter that does not serve ends, as it lies on disk, whether its unit runs or not. A
// running member itself only knows what is committed, which is less than what it has logged. A serving voter has
// everything committed, and is not ranked.
func rank(s *membership.MemberStatus, report Report) {
	o := report.Observation
	switch {
	case s.State == membership.Healthy || s.State == membership.Unreachable || s.State == membership.Missing:
		return
	case s.State == membership.Foreign || o == nil:
		s.Unread = s.Why
		return
	case o.GuardCheck == api.GuardMount: // what lies below the mount point is not its data
		s.Unread = o.Guard
		return
	case !o.Data.HasMember:
		return
	case o.Data.Log == nil:
		s.Unread = fmt.Sprintf("its host runs an older store, which does not report it: stop its unit there (systemctl stop %s), and plan again", api.Unit(o.Marker.Cluster))
		return
	case o.Marker.Member != s.Name: // the log is another member's
		return
	case o.Data.Log.Error != "":
		s.Unread = "its log cannot be read: " + o.Data.Log.Error
		return
	}
	l := o.Data.Log
	if differs(l.ClusterID, o.Marker.ClusterID) || differs(l.MemberID, o.Marker.MemberID) {
		if s.State != membership.Lost {
			s.Unread = fmt.Sprintf("its data directory holds the log of member %s of cluster %s", l.MemberID, l.ClusterID)
		}
		return
	}
	s.Term, s.Index, s.Corrupt, s.Had = l.Term, l.Index, l.Corrupt, l.Acknowledged
	switch {
	case o.Data.Damage != "":
		s.Damaged = o.Data.Damage
	case l.DatabaseError != "":
		s.Damaged = "its database cannot be read: " + l.DatabaseError
	case l.Applied > l.Index:
		s.Damaged = fmt.Sprintf("its log ends before what its database has applied (index %d)", l.Applied)
		s.Had = l.Applied // its log had it: etcd logs an entry before it applies it
	}
}

// differs tells whether an ID differs from the recorded one, if both are known.
func differs(id, recorded string) bool { return recorded != "" && id != "" && id != recorded }

// AlarmCorrupt is etcd's alarm that members hold different data.
const AlarmCorrupt = "CORRUPT"

// markDiverged marks the voters whose data is not that of a quorum, if the alarm CORRUPT is raised or a voter does not
// start because of different data. Without a serving quorum that holds the same data, it cannot be told who is right,
// or nothing can be changed without the wrong members. A voter that does not start may have met wrong data at a peer:
// if its own data is not known, it is marked only once all serving members hold the same.
func markDiverged(p *membership.ClusterStatus) {
	if !p.Corrupt && !slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool { return s.Differs }) {
		return
	}
	holders := map[string]int{}
	for _, s := range p.Healthy() {
		if s.Data != "" {
			holders[s.Data]++
		}
	}
	agreed := ""
	for data, n := range holders {
		if n >= membership.Quorum(p.Size()) {
			agreed = data
		}
	}
	if agreed == "" {
		return
	}
	p.Agreed = p.Corrupt
	alike := !slices.ContainsFunc(p.Healthy(), func(s membership.MemberStatus) bool { return s.Data != agreed })
	for i := range p.Members {
		s := &p.Members[i]
		other := s.Data != "" && s.Data != agreed
		unstarted := s.State == membership.Unhealthy && s.Differs
		if s.Role == membership.Voter && (other && (s.State == membership.Healthy || unstarted) || alike && unstarted && s.Data == "") {
			s.State, s.Diverged, s.Why = membership.Lost, true, "its data differs from that of a quorum"
		}
	}
}

// memberList is etcd's member list.
type memberList struct {
	entries []api.ListedMember
	known   bool
	// cutOff is the member whose list it is, if it has no quorum: it may not have heard of members that were added
	// since. nil: the list is the cluster's, or its member stands alone since a recovery.
	cutOff *api.Observation
	// named are the peer URLs of the members that the hosts' markers name, unless the list is the cluster's; nil: no
	// marker could be read.
	named map[string]bool
}

// memberList returns the list of the healthy member that has applied the most. If there is none, it returns that of a
// member that stands alone, or else of the one whose log ends last of those that answer, as survivors are ranked.
func (c Cluster) memberList(owner string, reports Reports) memberList {
	var best *api.Observation
	for _, m := range c.AllMembers(reports) {
		o := reports[m].Observation
		if o == nil || o.Marker == nil || o.Marker.Owner != owner || len(o.Member.Members) == 0 {
			continue
		}
		if o.Marker.ClusterID != "" && o.Member.ClusterID != "" && o.Marker.ClusterID != o.Member.ClusterID {
			continue
		}
		if best == nil || compareTellers(*o, *best) > 0 {
			best = o
		}
	}
	switch {
	case best == nil:
		return memberList{named: namedMembers(owner, reports)}
	case best.Member.Healthy || isAlone(best.Member):
		return memberList{entries: best.Member.Members, known: true}
	}
	return memberList{entries: best.Member.Members, known: true, cutOff: best, named: namedMembers(owner, reports)}
}

// compareTellers compares members by whose list counts: the result is positive if a's does.
func compareTellers(a, b api.Observation) int {
	if a.Member.Healthy && b.Member.Healthy {
		return cmp.Compare(a.Member.AppliedIndex, b.Member.AppliedIndex)
	}
	end := func(o api.Observation) (term, index uint64) {
		if l := o.Data.Log; l != nil && l.Error == "" {
			return l.Term, l.Index
		}
		return o.Member.RaftTerm, max(o.Member.RaftIndex, o.Member.AppliedIndex)
	}
	termA, indexA := end(a)
	termB, indexB := end(b)
	return cmp.Or(membership.CompareTrue(a.Member.Healthy, b.Member.Healthy), membership.CompareTrue(isAlone(a.Member), isAlone(b.Member)), cmp.Compare(termA, termB), cmp.Compare(indexA, indexB),
		cmp.Compare(a.Member.AppliedIndex, b.Member.AppliedIndex))
}

// isAlone tells whether a member is the only one that it knows: it was recovered, or never had others.
func isAlone(m api.Member) bool { return len(m.Members) == 1 && m.Members[0].ID == m.MemberID }

// mayLack returns whose list a list is if it may lack a member: its host has the data of a former voter of the cluster,
// or could not be asked. Empty: it may not. A new member whose host could not be asked, and that no host which was seen
// knows of, was never added as far as can be seen: a recovery names it (plan's unheardOf), and need not give it up.
func (c Cluster) mayLack(l memberList, s membership.MemberStatus, report Report, owner string) string {
	if l.cutOff == nil || s.Role != membership.Absent || s.State == membership.Missing {
		return ""
	}
	marker, o := report.Marker(), report.Observation
	switch {
	case report.Err != nil && marker == nil && slices.Contains(c.Inspects, s.Member) && !hasAddress(s.Member, slices.Collect(maps.Keys(l.named))):
		return ""
	case report.Err != nil: // whatever it carries
	case marker == nil || marker.Owner != owner || marker.Phase != api.PhaseFormed || differs(marker.ClusterID, l.cutOff.Member.ClusterID),
		o != nil && !o.Data.HasMember && o.GuardCheck != api.GuardMount,
		slices.ContainsFunc(l.entries, func(entry api.ListedMember) bool { return entry.ID == marker.MemberID }):
		return ""
	}
	return l.cutOff.Marker.Member
}

// namedMembers returns the peer URLs of all members that this owner's hosts know of: those that existed when the
// configuration was last written, and those that were to be added since.
func namedMembers(owner string, reports Reports) map[string]bool {
	var named map[string]bool
	for _, report := range reports {
		marker := report.Marker()
		if marker == nil || marker.Owner != owner {
			continue
		}
		if named == nil {
			named = map[string]bool{}
		}
		for entry := range strings.SplitSeq(marker.InitialCluster, ",") {
			_, url, _ := strings.Cut(entry, "=")
			named[url] = true
		}
		for _, url := range marker.Added {
			named[url] = true
		}
	}
	return named
}
