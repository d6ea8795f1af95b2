package bootstrap

import (
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

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
