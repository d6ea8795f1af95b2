package membership

import "fmt"

// Survives tells whether a voter that does not serve has its data and may be started.
func (s MemberStatus) Survives() bool {
	return s.Role == Voter && (s.State == Unhealthy || s.State == Stopped || s.Alone)
}

// Ranked tells whether it is known how the log of a voter ends that does not serve.
func (s MemberStatus) Ranked() bool { return s.Unread == "" && s.Index > 0 }

// HasNothing tells whether a member has nothing left to come back with.
func (s MemberStatus) HasNothing() bool {
	return s.State == Missing || s.State == Lost || s.State == Foreign
}

// WasPutBack tells whether a voter that does not serve ends before what it is known to have had, while another may still have
// that: somebody has put its machine, with all that it records, back to an older state, and its vote could lose what it has
// acknowledged. Where nobody can have it any more, or all were put back together, by purpose, there is nothing that it could lose.
func (p ClusterStatus) WasPutBack(s MemberStatus) bool {
	if !s.Survives() || !s.Ranked() || s.Index >= s.Had {
		return false
	}
	for _, v := range p.Voters() {
		switch {
		case v.Member == s.Member || v.HasNothing():
		case !v.Survives() || !v.Ranked(), v.Had > 0 && v.Index >= v.Had:
			return true
		}
	}
	return false
}

// PutBack says what a log tells that ends with an entry before one that it is known to have had.
func PutBack(index, had uint64) string {
	return fmt.Sprintf("its log ends with entry %d, and had entry %d at the last apply: its machine was put back to an older state", index, had)
}
