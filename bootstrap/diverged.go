package bootstrap

import "github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"

// AlarmCorrupt is etcd's alarm that the data of members differs.
const AlarmCorrupt = "CORRUPT"

// diverge finds the voters whose data is not that of a quorum of them, where an alarm says that it differs. Without a
// quorum that holds the same, nobody can say who is right.
func diverge(p *membership.Picture) {
	if !p.Corrupt {
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
	if p.Agreed = right != ""; !p.Agreed {
		return
	}
	for i := range p.Seats {
		if s := &p.Seats[i]; s.Role == membership.Voter && s.State == membership.Serving && s.Data != "" && s.Data != right {
			s.State, s.Diverged, s.Why = membership.Lost, true, "its data differs from that of a quorum"
		}
	}
}
