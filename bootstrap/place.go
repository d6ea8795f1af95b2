package bootstrap

import (
	"maps"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// place says what a member is in the member list. Where nobody can be asked for the list, whoever was a
// voter still is one: that is whoever has a marker or is named by one, and where no marker can be read, all.
func (c Cluster) place(s *membership.MemberStatus, list memberList, report Report, ways ways) {
	if !list.known {
		s.Role, s.Started = membership.Voter, true
		switch marker := report.Marker(); {
		case marker != nil && marker.Phase == api.PhaseJoining:
			s.Role = membership.Learner
		case marker != nil:
			s.ID = marker.MemberID
		case report.Err == nil && report.Observation == nil && report.Contact.Machine == "":
			s.Role, s.Started = membership.Absent, false // nobody has looked at it: it is new
		case list.named != nil && !atAny(s.Member, slices.Collect(maps.Keys(list.named))), ways.vacated(s.Member):
			s.Role, s.Started = membership.Absent, false // it is new, and a change that was to bring it has not come so far
		}
		return
	}
	entry, found := c.entryOf(*s, list.entries, report, ways)
	if !found {
		return
	}
	if s.From == "" && len(entry.PeerURLs) > 0 && !slices.Contains(entry.PeerURLs, c.PeerURL(s.Member)) {
		s.From = entry.PeerURLs[0] // it cannot be asked, has lost what it was, or leaves, and all are to have another port
	}
	s.ID, s.Role, s.Started = entry.ID, membership.Voter, entry.Name != ""
	if entry.Learner {
		s.Role = membership.Learner
	}
}

// entryOf is a member's entry of the member list. Another member may leave its address, or somebody may have added one there
// with another port: the entry that its host has recorded goes first, and else none that has another name. Then comes the one
// at its very URL. Where its host has recorded none, or cannot be asked, the one of its name follows, and then any at its
// address, since all may be to have another port.
func (c Cluster) entryOf(s membership.MemberStatus, entries []api.ListedMember, report Report, ways ways) (api.ListedMember, bool) {
	desired := []func(api.ListedMember) bool{func(e api.ListedMember) bool { return e.ID == ways.to[s.Member].id }}
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
			return !atAny(s.Member, e.PeerURLs) || e.Name != "" && e.Name != s.Name && e.ID != recorded
		})
	}
	for _, is := range desired {
		if i := slices.IndexFunc(entries, is); i >= 0 {
			return entries[i], true
		}
	}
	return api.ListedMember{}, false
}

// unmanaged is the entry of a member that is neither in the configuration nor in the state.
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
