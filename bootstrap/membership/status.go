package membership

import (
	"cmp"
	"slices"
	"strings"
)

// Role is a member's role in etcd's member list.
type Role string

// Roles of a member.
const (
	Absent  Role = ""        // not in the list
	Learner Role = "learner" // receives the log, and does not vote
	Voter   Role = "voter"
)

// State is the condition of a member, as observed on its host.
type State string

// States of a member.
const (
	Healthy   State = "healthy"   // a linearizable read succeeds; a learner answers and follows a leader
	Unhealthy State = "unhealthy" // it runs, and does not serve
	Stopped   State = "stopped"   // it does not run, and has all that it needs
	Missing   State = "missing"   // the host carries no part of this cluster, or only a join that never began
	// Lost: the member must never start again. Its data is gone, another's, older than it was, or of a member that was
	// removed.
	Lost         State = "lost"
	Blocked      State = "blocked"       // it must not start before the host is fixed, e.g. its file system mounted
	Foreign      State = "foreign"       // the host is someone else's, or unfit (Unfit): it is not to be touched
	StoreMissing State = "store missing" // every store is gone; the member's state is known once one is back
	Unreachable  State = "unreachable"   // the host could not be observed: what runs there is not known
)

// MemberStatus is what is known of a member at one address. While a member is replaced there are two: at the address
// that it leaves, and at the one where its replacement joins.
type MemberStatus struct {
	Member
	Desired bool // the configuration has this member at this address

	ID      string // in etcd's list, hexadecimal; empty: it is not in it
	Role    Role
	Started bool // it has published its name since it was added
	// Unlisted is the name of the member whose list lacks this one, if that has no quorum and may not have heard of it:
	// it may vote, or was removed, or given up by a recovery. Empty: the list is the cluster's.
	Unlisted string

	Move

	State State
	Unfit bool   // its state is foreign because the host lacks something that a member needs
	Why   string // the reason for the state, for display
	// Barred is the remedy if its host answers, keeps the run out, and may serve. Empty: nothing keeps the run out, or
	// nobody answers.
	Barred   string
	Version  string   // of etcd, that it runs or would run: 3.7.3; empty: not known
	Staged   string   // version of etcd whose store this run has installed and tried the flags with; empty: none
	Outdated []string // differences from what is desired that need a restart; sorted
	Unasked  bool     // it is outdated only by its unit, or by flags that the provider sets by itself
	Invalid  string   // why its certificates have to be renewed; empty: they are valid
	// NoClients tells that its list of revoked certificates is missing, or cannot be read: it lets no client in, and so
	// cannot be asked.
	NoClients bool
	// Due says which of its certificates are valid and have to be renewed by now, and when they expire; empty: none.
	Due string
	// Exhausted says which of these would end no later if it were renewed, since its authority or one above ends;
	// empty: none.
	Exhausted string
	Issued    Issued  // the authorities that signed its certificates, and that it trusts
	Serves    Served  // which certificates it serves, until it is restarted, that are not those of its files
	Peering   Peering // the common name of its peer certificate, and the one that it demands of its peers
	Active    bool    // its unit is active: it has served since its process started, so its configuration allows that
	Failed    string  // the step on it that failed in this run, which then leaves it alone; empty: none
	Lacks     bool    // that step did not begin: it needs certificates which cannot be signed now
	Waits     bool    // that step did not begin: it is not safe beside members that need certificates
	Certified bool    // this run has renewed its certificates
	Storeless bool    // its store is gone from its host, where another store answers: it cannot be started
	Closed    string  // which of its ports its host would not let it bind after a restart; empty: none known
	Disabled  bool    // its unit does not start at boot
	Unsynced  bool    // its configuration names other members than the cluster has
	Behind    bool    // its cluster has agreed on a newer minor version of etcd than it would run: it cannot start
	Unready   bool    // it serves and does not report ready: it was just promoted
	// Rebuild is the configured rebuild text if the member's data did not begin with it; empty: no rebuild is asked
	// for.
	Rebuild   string
	Unbacked  string // how its host's backups differ from what is desired; empty: not at all
	Unrenewed string // how the way in which its host renews certificates by itself does; empty: not at all
	// Unfiltered is how its host's firewall differs from what is desired, apart from the peers that it lets in. Empty:
	// it does not.
	Unfiltered string
	// Admits are the addresses of the peers that its host's firewall lets in, sorted, with commas between them. Empty:
	// the host has no firewall.
	Admits string
	// NoNftables is why its host can have no firewall, though one is desired. Empty: it can, or that is not known.
	NoNftables string

	OldStore bool // its store may not understand how its host is to renew certificates, and this build's does
	OldRuns  bool // its host's backups run by units of an older store, which a newer one would write differently
	// OldRenewals tells the same of its host's renewals of certificates.
	OldRenewals bool
	Data        string // identifies its data, if members' data was compared; empty: it was not
	Differs     bool   // it does not start, since a peer holds different data
	Diverged    bool   // a quorum of the voters agrees on other data
	Cramped     bool   // its host has no room for a snapshot of it
	Restoring   string // source and begin of the restore under way on its host; empty: none
	Traces      bool   // something of the cluster is on the host: configuration or data
	Looping     bool   // its process ends after each start
	// Alone: a recovery of the member was interrupted. It may start by force, or as the only member, and never among
	// others.
	Alone bool
	Term  uint64 // of the last entry of its log, for a voter that does not serve; 0: none, or not known
	Index uint64 // likewise
	Had   uint64 // log entry that it is known to have had on disk; 0: not known
	// Unread is why the end of its log is not known though its host was observed and may have one; empty: it is known,
	// or there is none.
	Unread  string
	Damaged string // why no etcd starts on its data, though its log could be read; empty: none known
	Corrupt bool   // it does not serve, and its database has the CORRUPT alarm
}

// KeepsCertificates tells whether the member's certificates stay, and only what lies beside them is to change.
func (s MemberStatus) KeepsCertificates() bool {
	return strings.HasPrefix(s.Invalid, OldRevocations) || strings.HasPrefix(s.Invalid, OldChain)
}

// LacksCertificates tells whether the member may not serve before its certificates, or what lies beside them, are
// renewed. Which intermediates follow them matters to its clients alone.
func (s MemberStatus) LacksCertificates() bool {
	return s.Invalid != "" && !strings.HasPrefix(s.Invalid, OldChain)
}

// NeedsCertificates tells whether certificates have to be signed before the member may serve.
func (s MemberStatus) NeedsCertificates() bool { return s.Invalid != "" && !s.KeepsCertificates() }

// Issued says which authorities matter to a member. The zero value: that is not known.
type Issued struct {
	By Authorities // those that signed its certificates
	// Trusts are the authorities that its process trusts, which it reads once, when it starts; for a stopped member,
	// those in its files.
	Trusts Authorities
	Files  Authorities // those that its files name
}

// Served says of a member's certificate for peers, and of that for clients, how the one that it serves differs from the
// one in its file; empty: it does not. It may be of any authority that the others trust.
type Served struct{ Peers, Clients string }

// Peering says by which common name a member's peers know it, and which one it demands of them. A member that demands
// one refuses every peer with another, in both directions.
type Peering struct {
	Known   bool   // its host was observed
	Named   string // common name of the peer certificate in its file; empty: it has none that can be read
	Demands string // that its process was started with, or would be; empty: it takes any
	Written string // that its flags demand, from its next start on
}

// Move says what a member is re-addressed from.
type Move struct {
	// From is the peer URL at which the cluster lists the member, or at which it still runs, if the desired one
	// differs. The machine is the same. Empty: it is not re-addressed.
	From    string
	Moved   bool // the cluster lists it at its new URL already
	There   bool // it runs by its new URL already, or would: only the member list has the old one
	Unheard bool // nobody answers at the old address: the plan assumes that no other machine runs the member there
	Gone    bool // the machine has lost the old address, so the member cannot be reached there
}

// UnmanagedMember is an entry of etcd's member list that is neither in the configuration nor in the state.
type UnmanagedMember struct {
	ID      string
	Name    string // empty: it has never started
	PeerURL string
	Role    Role
	Ours    bool // an earlier, interrupted change of this cluster added it
}

// ClusterStatus is what is known of a cluster, compared with what is desired of it. It is a value: planners read it,
// and work out what steps make of it.
type ClusterStatus struct {
	Members   []MemberStatus // sorted by name, then address
	Unmanaged []UnmanagedMember
	// Unseen are peer URLs in members' configurations that belong to no known member, if nobody can be asked for the
	// list.
	Unseen   []string
	Mistakes []Refusal // addresses that lead to the wrong machine or member: no step is taken while there are any
	Leader   string    // member ID; empty: none is known

	// Trusts are the authorities that members are to trust, and Signers those that can sign their certificates, as
	// desired. Zero: authorities are not compared. Ended are those of which no certificate holds: they, or those above
	// them, have expired, or are not valid yet.
	Trusts  Authorities
	Signers Signers
	Ended   Authorities
	// PeerName is the common name that peer certificates are to have, and that members are to demand. Empty: each has
	// its member's name, and members demand none.
	PeerName string
	// Unsigned: nothing can be signed now. Members that are down come up with the certificates that they have, if these
	// are valid.
	Unsigned bool

	Corrupt bool // the alarm CORRUPT is raised
	Agreed  bool // a quorum of the voters holds the same data, though the alarm is raised
	Saved   bool // this run has taken a snapshot and verified it
	// Full are the IDs of the members, also of removed ones, whose alarm NOSPACE is raised: a database has reached its
	// quota. Sorted.
	Full []string

	ClusterVersion string // minor version that the members have agreed on: 3.7; empty: not known
	Downgrade      string // minor version that a downgrade under way goes to: 3.6; empty: none
	Lowered        bool   // every member's storage is at Downgrade
}

// SortStatuses sorts members as ClusterStatus has them.
func SortStatuses(members []MemberStatus) {
	slices.SortFunc(members, func(a, b MemberStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
}

// Clone returns a copy that shares nothing with the original.
func (p ClusterStatus) Clone() ClusterStatus {
	p.Members, p.Unmanaged, p.Mistakes = slices.Clone(p.Members), slices.Clone(p.Unmanaged), slices.Clone(p.Mistakes)
	p.Unseen, p.Full = slices.Clone(p.Unseen), slices.Clone(p.Full)
	for i := range p.Members {
		p.Members[i].Outdated = slices.Clone(p.Members[i].Outdated)
	}
	return p
}

// Voters returns the members that vote.
func (p ClusterStatus) Voters() []MemberStatus {
	return p.filter(func(s MemberStatus) bool { return s.Role == Voter })
}

// FilterRemedy is what to do about a host that cannot filter.
const FilterRemedy = "take firewall out of the configuration, or give the host a kernel with nftables"

// Peers returns the addresses that firewalls let in as peers: those at which etcd's list has members, whoever they are,
// and those of all desired members, since a host lets a member in before it joins. A member that was removed is not
// among them. If no host can tell the list, everybody who may be in it counts as a member.
func (p ClusterStatus) Peers() (addresses []string) {
	for _, s := range p.Members {
		if s.Desired || s.Role != Absent {
			addresses = append(addresses, s.Address)
		}
		if s.From != "" && s.Role != Absent {
			addresses = append(addresses, HostOf(s.From))
		}
	}
	for _, s := range p.Unmanaged {
		addresses = append(addresses, HostOf(s.PeerURL))
	}
	for _, peerURL := range p.Unseen {
		addresses = append(addresses, HostOf(peerURL))
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// Learners returns the learners.
func (p ClusterStatus) Learners() []MemberStatus {
	return p.filter(func(s MemberStatus) bool { return s.Role == Learner })
}

// Healthy returns the voters that serve.
func (p ClusterStatus) Healthy() []MemberStatus {
	return p.filter(func(s MemberStatus) bool { return s.Role == Voter && s.State == Healthy })
}

// Size returns the number of voters, including unmanaged ones.
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

// HasQuorum tells whether the serving voters are a quorum.
func (p ClusterStatus) HasQuorum() bool {
	healthy := 0
	for i := range p.Members {
		if s := &p.Members[i]; s.Role == Voter && s.State == Healthy {
			healthy++
		}
	}
	return healthy >= Quorum(p.Size())
}

// Member returns the status of the member of this name and address, or nil.
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
