package bootstrap

import (
	"fmt"

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
