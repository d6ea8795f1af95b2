package membership

import (
	"cmp"
	"slices"
)

// Role is what etcd's member list has of a member.
type Role string

// Roles of a member.
const (
	Absent  Role = ""        // not in the list
	Learner Role = "learner" // it receives the log, and votes on nothing
	Voter   Role = "voter"
)

// State is what was seen on a member's host.
type State string

// States of a member.
const (
	Healthy      State = "healthy"       // a linearizable read through it succeeds; of a learner: it answers and follows a leader
	Unhealthy    State = "unhealthy"     // it runs, and serves nobody
	Stopped      State = "stopped"       // it does not run, and has all that it needs to
	Missing      State = "missing"       // the host carries no part of this cluster, or no more than a join that never began
	Lost         State = "lost"          // it must never start again: its data is gone, another's, older than it was, or of a member that was removed
	Blocked      State = "blocked"       // it must not start before somebody has fixed the host: its file system is not mounted, say
	Foreign      State = "foreign"       // the host is someone else's, or unfit (Unfit): it is not to be touched
	StoreMissing State = "store missing" // every store is gone from the host: how its member is will be known once one is back
	Unreachable  State = "unreachable"   // the host could not be asked: what runs there is not known
)

// MemberStatus is what is known of a member at one address. A member that moves has two of them for a while: at the
// address that it leaves, and at the one that it comes to.
type MemberStatus struct {
	Member
	Desired bool // the configuration has this member at this address

	ID      string // in etcd's list, hexadecimal; empty: it is not in it
	Role    Role
	Started bool // it has published its name since it was added

	Move

	State     State
	Unfit     bool     // of a host that is taken: it is nobody's, and lacks something that a member needs
	Why       string   // what is behind the state, for those who read: the guard's words, an error
	Barred    string   // what lets a run into its host, which answers and may serve, where it could not be asked; empty: nothing keeps it out, or nobody answers
	Version   string   // of etcd, that it runs or would run: 3.7.3; empty: not known
	Staged    string   // version of etcd whose store this run has put on the host and tried the flags against; empty: none
	Outdated  []string // what it runs by that is not what is desired, and takes a restart to change; sorted
	Unasked   bool     // it is outdated by nothing that a configuration says: its unit, or flags that the provider sets by itself
	Invalid   string   // why its certificates have to be issued anew; empty: they hold
	Active    bool     // its unit is active: it has served since its process was started, so that what it runs by lets it
	Failed    string   // the step on it that failed in this run, which does nothing more to it; empty: none did
	Certified bool     // this run has issued its certificates anew
	Storeless bool     // the store that it runs by is gone from its host, where another answers: it cannot be started
	Closed    string   // which of its ports its host would not let it bind once it is restarted; empty: none that is known of
	Disabled  bool     // its unit does not come up with the machine
	Unsynced  bool     // its configuration names other members than there are
	Behind    bool     // its cluster has agreed on a newer line of etcd than it would run: it cannot start
	Unready   bool     // it serves, and does not call itself ready: it has just been given its vote
	Rebuild   string   // the text by which it is to be built anew, which its data was not begun with; empty: it is not to be
	Unbacked  string   // what is not as it is to be of how its host backs the cluster up; empty: nothing
	OldRuns   bool     // its host backs the cluster up by units of an older store, which a newer one would not write
	Data      string   // stands for what it holds, where an alarm says that data differs; empty: it was not compared
	Differs   bool     // it does not start, since a peer holds other data
	Diverged  bool     // a quorum of the voters holds other data, and the same
	Cramped   bool     // its host has no room for a snapshot of it
	Restoring string   // the restore that is under way on its host: its source, and since when; empty: none
	Traces    bool     // something of the cluster is on the host: configuration or data
	Looping   bool     // its process ends each time that it is started
	Alone     bool     // a recovery of it was cut short: it may start by force, or as the only member, and never among others
	Term      uint64   // of the last entry of its log, where it is a voter that does not serve; 0: there is none, or it is not known
	Index     uint64   // likewise
	Had       uint64   // entry of the log that it is known to have had on its disk; 0: not known
	Unread    string   // why it is not known how its log ends, though its host was seen and may hold it; empty: it is, or there is none
	Damaged   string   // why no etcd starts on its data, though its log could be read; empty: nothing is known against it
	Corrupt   bool     // it does not serve, and its database holds the CORRUPT alarm
}

// Move is what a member is re-addressed from.
type Move struct {
	// From is the peer URL at which the cluster knows the member, or at which it runs still, where that is not the one of
	// its configuration: the machine is the same, and its address is to be another. Empty: it is where it is to be.
	From    string
	Moved   bool // the cluster knows it by its new URL already
	There   bool // it runs by its new URL already, or would: the cluster alone knows it by the old one
	Unheard bool // nobody answers at the old address: that no other machine runs the same member there is taken for granted
	Gone    bool // the machine does not have the old address any more, so that the member cannot be reached there
}

// UnmanagedMember is an entry of etcd's member list that is no member of the configuration or the state.
type UnmanagedMember struct {
	ID      string
	Name    string // empty: it has never started
	PeerURL string
	Role    Role
	Ours    bool // a learner that an earlier change of ours has added, and did not see to its end
}

// ClusterStatus is what is known of a cluster, compared with what is desired of it. It is a value: planners read it, and
// say what steps make of it.
type ClusterStatus struct {
	Members   []MemberStatus // sorted by name, then address
	Unmanaged []UnmanagedMember
	Unseen    []string  // peer URLs that members' configurations name, and that are no known member's, where nobody can be asked for the list
	Mistakes  []Refusal // ways that lead to another machine or member than they ought to: nothing is done while there are any
	Leader    string    // member ID; empty: none is known
	Corrupt   bool      // an alarm says that members' data differs
	Agreed    bool      // a quorum of the voters holds the same data, where an alarm says that it differs
	Full      bool      // an alarm says that a database has reached its quota
	Saved     bool      // this run has taken a snapshot and verified it

	ClusterVersion string // line that the members have agreed on: 3.7; empty: not known
	Downgrade      string // line that a downgrade under way goes to: 3.6; empty: none
	Lowered        bool   // every member's storage has come down to Downgrade
}

// SortStatuses puts members into the order that ClusterStatus has them in.
func SortStatuses(members []MemberStatus) {
	slices.SortFunc(members, func(a, b MemberStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
}

// Clone is a copy that shares nothing with the first.
func (p ClusterStatus) Clone() ClusterStatus {
	p.Members, p.Unmanaged, p.Mistakes, p.Unseen = slices.Clone(p.Members), slices.Clone(p.Unmanaged), slices.Clone(p.Mistakes), slices.Clone(p.Unseen)
	for i := range p.Members {
		p.Members[i].Outdated = slices.Clone(p.Members[i].Outdated)
	}
	return p
}

// Voters are the members that vote.
func (p ClusterStatus) Voters() []MemberStatus {
	return p.filter(func(s MemberStatus) bool { return s.Role == Voter })
}

// Learners are the members that are learners.
func (p ClusterStatus) Learners() []MemberStatus {
	return p.filter(func(s MemberStatus) bool { return s.Role == Learner })
}

// Healthy are the voters that serve.
func (p ClusterStatus) Healthy() []MemberStatus {
	return p.filter(func(s MemberStatus) bool { return s.Role == Voter && s.State == Healthy })
}

// Size is how many members vote, unmanaged ones too.
func (p ClusterStatus) Size() int {
	n := 0
	for i := range p.Members {
		if p.Members[i].Role == Voter {
			n++
		}
	}
	for _, s := range p.Unmanaged {
		if s.Role == Voter {
			n++
		}
	}
	return n
}

// HasQuorum tells whether the voters that serve are a quorum.
func (p ClusterStatus) HasQuorum() bool {
	healthy := 0
	for i := range p.Members {
		if s := &p.Members[i]; s.Role == Voter && s.State == Healthy {
			healthy++
		}
	}
	return healthy >= Quorum(p.Size())
}

// Member is the status of the member of this name and address; nil: there is none.
func (p ClusterStatus) Member(m Member) *MemberStatus {
	for i := range p.Members {
		if p.Members[i].Member == m {
			return &p.Members[i]
		}
	}
	return nil
}

func (p ClusterStatus) filter(keep func(MemberStatus) bool) []MemberStatus {
	var kept []MemberStatus
	for _, s := range p.Members {
		if keep(s) {
			kept = append(kept, s)
		}
	}
	return kept
}
