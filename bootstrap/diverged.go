package bootstrap

import (
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// AlarmCorrupt is etcd's alarm that the data of members differs.
const AlarmCorrupt = "CORRUPT"

// diverge finds the voters whose data is not that of a quorum of them, where an alarm says that it differs, or one does
// not start for that. Without a quorum that serves and holds the same, nobody can say who is right, or nothing can be
// changed without who is wrong. One that does not start has met another's data, which may be the wrong one: where it is
// not known what it holds itself, it is judged once all that serve hold the same.
func diverge(p *membership.ClusterStatus) {
	if !p.Corrupt && !slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool { return s.Differs }) {
		return
	}
	holders := map[string]int{}
	for _, s := range p.Healthy() {
		if s.Data != "" {
			holders[s.Data]++
		}
	}
	right := ""
	for data, n := range holders {
		if n >= membership.Quorum(p.Size()) {
			right = data
		}
	}
	if right == "" {
		return
	}
	p.Agreed = p.Corrupt
	alike := !slices.ContainsFunc(p.Healthy(), func(s membership.MemberStatus) bool { return s.Data != right })
	for i := range p.Members {
		s := &p.Members[i]
		other := s.Data != "" && s.Data != right
		unstarted := s.State == membership.Unhealthy && s.Differs
		if s.Role == membership.Voter && (other && (s.State == membership.Healthy || unstarted) || alike && unstarted && s.Data == "") {
			s.State, s.Diverged, s.Why = membership.Lost, true, "its data differs from that of a quorum"
		}
	}
}
