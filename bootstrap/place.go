package bootstrap

import (
	"maps"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// setRole sets a member's role in the member list. If nobody can be asked for the list, all former voters still count:
// the hosts that carry a member or are named by a marker, and, if no marker can be read, all.
func (c Cluster) setRole(s *membership.MemberStatus, list memberList, report Report, routes routes) {
	if !list.known {
		s.Role, s.Started = membership.Voter, true
		switch marker := report.Marker(); {
		case marker != nil && marker.Phase == api.PhaseJoining:
			s.Role = membership.Learner
		case marker != nil && routes.to[s.Member].carries == s.Name:
			s.ID = marker.MemberID
		case report.Err == nil && report.Observation == nil && report.Contact.Machine == "":
			s.Role, s.Started = membership.Absent, false // its host was not observed: the member is new
		case list.named != nil && !hasAddress(s.Member, slices.Collect(maps.Keys(list.named))), routes.vacated(s.Member):
			// The member is new, and an interrupted change did not get to it; or it has left this host.
			s.Role, s.Started = membership.Absent, false
		case marker != nil && marker.Member == s.Name && s.State != membership.Foreign:
			s.ID = marker.MemberID
		}
		return
	}
	entry, found := c.entryOf(*s, list.entries, report, routes)
	if !found {
		return
	}
	if s.From == "" && len(entry.PeerURLs) > 0 && !slices.Contains(entry.PeerURLs, c.PeerURL(s.Member)) {
		// The member cannot be asked, has lost its data, or leaves, while all members get another port.
		s.From = entry.PeerURLs[0]
	}
	s.ID, s.Role, s.Started = entry.ID, membership.Voter, entry.Name != ""
	if entry.Learner {
		s.Role = membership.Learner
	}
}

// entryOf returns a member's entry in the member list. Another member may be leaving its address, or somebody may have
// added a member there with another port. So the entry that the member's host has recorded comes first, and entries
// with another name are skipped otherwise. Then comes the entry with its exact URL. If its host has recorded none or
// cannot be asked, the entry with its name follows, and then any entry at its address, since all members may be about
// to get another port.
func (c Cluster) entryOf(s membership.MemberStatus, entries []api.ListedMember, report Report, routes routes) (api.ListedMember, bool) {
	desired := []func(api.ListedMember) bool{func(e api.ListedMember) bool { return e.ID == routes.to[s.Member].id }}
	if s.From == "" {
		recorded, own := "", []string{c.PeerURL(s.Member)}
		if marker := report.Marker(); marker != nil {
			recorded, own = marker.MemberID, append(own, ownURL(*marker)...)
		}
		desired = []func(api.ListedMember) bool{
			func(e api.ListedMember) bool { return recorded != "" && e.ID == recorded },
			func(e api.ListedMember) bool {
				return slices.ContainsFunc(e.PeerURLs, func(url string) bool { return slices.Contains(own, url) })
			},
			func(e api.ListedMember) bool { return recorded == "" && e.Name == s.Name },
			func(api.ListedMember) bool { return recorded == "" },
		}
		entries = slices.DeleteFunc(slices.Clone(entries), func(e api.ListedMember) bool {
			return !hasAddress(s.Member, e.PeerURLs) || e.Name != "" && e.Name != s.Name && e.ID != recorded
		})
	}
	for _, is := range desired {
		if i := slices.IndexFunc(entries, is); i >= 0 {
			return entries[i], true
		}
	}
	return api.ListedMember{}, false
}

// unmanaged returns the entry of a member that is neither in the configuration nor in the state.
func unmanaged(entry api.ListedMember, owner string, reports Reports) membership.UnmanagedMember {
	s := membership.UnmanagedMember{ID: entry.ID, Name: entry.Name, Role: membership.Voter}
	if len(entry.PeerURLs) > 0 {
		s.PeerURL = entry.PeerURLs[0]
	}
	if entry.Learner {
		s.Role = membership.Learner
	}
	for _, report := range reports {
		if marker := report.Marker(); marker != nil && marker.Owner == owner && slices.Contains(marker.Added, s.PeerURL) {
			s.Ours = true
		}
	}
	return s
}
