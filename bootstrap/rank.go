package bootstrap

import (
	"fmt"
	"slices"

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
	s.Term, s.Index, s.Corrupt = l.Term, l.Index, l.Corrupt
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
// if its own data is not known, it is judged only once all serving members hold the same.
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
