package bootstrap

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// rank says how the log of a voter ends that does not serve: by what lies on its disk, whatever its unit does. Of a member
// that runs, its own word would be what it knows to be agreed on, which is less than what it has logged. One that serves
// has all that was agreed on, and is not ranked.
func rank(s *membership.MemberStatus, report Report) {
	o := report.Observation
	switch {
	case s.State == membership.Healthy || s.State == membership.Unreachable || s.State == membership.Missing:
		return
	case s.State == membership.Foreign || o == nil:
		s.Unread = s.Why
		return
	case o.GuardCheck == api.GuardMount: // what lies under the mount point is not its data
		s.Unread = o.Guard
		return
	case !o.Data.HasMember:
		return
	case o.Data.Log == nil:
		s.Unread = fmt.Sprintf("its host runs an earlier store, which does not tell: stop its unit there (systemctl stop %s), and plan again", api.Unit(o.Marker.Cluster))
		return
	case o.Marker.Member != s.Name: // it is another member's
		return
	case o.Data.Log.Error != "":
		s.Unread = "its log cannot be read: " + o.Data.Log.Error
		return
	}
	l := o.Data.Log
	if another(l.ClusterID, o.Marker.ClusterID) || another(l.MemberID, o.Marker.MemberID) {
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
	}
}

// another tells whether an ID is not the one that was recorded, where one was.
func another(id, recorded string) bool { return recorded != "" && id != "" && id != recorded }
