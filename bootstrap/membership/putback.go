package membership

import "fmt"

// Survives tells whether a voter that does not serve has its data and may be started.
func (s MemberStatus) Survives() bool {
	return s.Role == Voter && (s.State == Unhealthy || s.State == Stopped || s.Alone)
}

// Ranked tells whether it is known how the log of a voter ends.
func (s MemberStatus) Ranked() bool { return s.Unread == "" && s.Index > 0 }

// HasNothing tells whether a member has nothing left to come back with.
func (s MemberStatus) HasNothing() bool {
	return s.State == Missing || s.State == Lost || s.State == Foreign
}

// WasPutBack tells whether the log of a voter that does not serve ends before an entry that it is known to have had,
// while another voter may still have that entry: the voter's machine was reset to an older state, and its vote could
// lose acknowledged writes. If no voter can have the entry any more, or all were reset together on purpose, there is
// nothing left to lose.
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

// PutBack describes a log that ends before an entry that it is known to have had. etcd takes a damaged length of a
// record for the end of its log, as it takes a record that a power cut has cut off, so that such a log cannot be told
// from an older one.
func PutBack(index, had uint64) string {
	return fmt.Sprintf("its log ends with entry %d, and it had entry %d before: its machine was reset to an older state, or its data is damaged", index, had)
}

// CompareTrue compares two truths: what is true comes after what is not.
func CompareTrue(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
