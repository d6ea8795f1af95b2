// Package model is what the members of a simulated cluster have written and agreed on: their logs, the states that
// these lead to, the versions that can read them, and the processes that serve them. It knows no hosts.
package model

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Entry is one entry of a cluster's log, or a run of equal entries. It never changes. Members that have the same last
// entry have the same log, and two logs contradict each other if neither contains the other's last entry.
type Entry struct {
	Prev  *Entry // nil: the cluster began with this entry
	Index uint64
	Term  uint64
	State State // of the cluster once this entry is applied
}

// The parts of a member's data that can be damaged.
const (
	Log      = "log"
	Database = "database"
)

// State is what a cluster has agreed on. Its slices are never written to.
type State struct {
	Members   []Listed
	Revision  int64  // 1: nothing was ever written
	Bumped    int64  // how far a restore has raised the revision
	Compacted int64  // the revision up to which it is compacted
	Before    int64  // the one before that
	Content   string // differs for different contents
	Version   Minor  // the cluster version
	Downgrade Minor  // target of the downgrade under way; 0: none
	Alarms    []string
}

// Listed is an entry of the member list.
type Listed struct {
	ID, Name, PeerURL string // the name is empty until the member has started
	ClientURLs        []string
	Learner           bool
}

// Member is the data that a member has written: what remains when its process ends.
type Member struct {
	Cluster string // cluster ID
	ID      string // member ID
	Name    string
	Term    uint64
	Last    *Entry // nil: it has never been in a quorum, or has nothing of what its quorum agreed on
	Index   uint64 // of its last entry, which may lie within the run that comes after Last
	Storage Minor  // version of its database

	// Known is the state that the member was given when it began: by its flags, or by the cluster that it joined. The
	// member goes by this state until its log lists the member itself.
	Known State

	// Told is the entry that the member has told the leader of ToldTerm to have, and lacks since it was put back.
	Told, ToldTerm uint64

	Proofs int // how many of its processes were compared with the others before a restored cluster is opened

	Damaged string // the part that makes its processes end: log or database; empty: none
	Corrupt string // differs for databases that contradict their log; empty: the database is right
	Missed  int64  // the revision of a write that is in its log and not in its database; 0: none
	DBSize  int64  // of its database, if larger than what it needs
	DBUsed  int64  // likewise
}

// State returns the member's own view of its cluster.
func (m *Member) State() State {
	if m.Last == nil || m.Last.State.Find(m.ID) < 0 && m.Known.Find(m.ID) >= 0 {
		return m.Known
	}
	return m.Last.State
}

// BeyondLog is raft's panic over a leader who knows what the member has told it, and lacks.
func (m *Member) BeyondLog() string {
	return fmt.Sprintf("panic: tocommit(%d) is out of range [lastIndex(%d)]. Was the raft log corrupted, truncated, or lost?", m.Told, m.Index)
}

// IsBeyondLog tells whether the member has told a leader more than it has. A leader that was elected since asks what it
// has; nil: none leads.
func (m *Member) IsBeyondLog(leader *Member) bool {
	return leader != nil && m.Told > m.Index && leader.Term == m.ToldTerm
}

// LastTerm returns the term of the member's last entry.
func (m *Member) LastTerm() uint64 {
	if m.Last == nil {
		return 0
	}
	return m.Last.Term
}

// Append appends a run of n entries to the log of a leader.
func (m *Member) Append(n uint64, s State) *Entry {
	m.Last = &Entry{Prev: m.Last, Index: m.Index + n, Term: m.Term, State: s}
	m.Index = m.Last.Index
	return m.Last
}

// Follow copies the leader's log up to an index. The member keeps what it has.
func (m *Member) Follow(leader *Member, index uint64) {
	m.Term = leader.Term
	if index <= m.Index && m.Last != nil {
		return
	}
	last := leader.Last
	for last != nil && last.Index > index {
		last = last.Prev
	}
	if last != nil && (m.Last == nil || last.Index >= m.Last.Index) {
		m.Last = last
	}
	m.Index = max(m.Index, index)
}

// Holds tells whether an entry is in the log that ends with e.
func (e *Entry) Holds(other *Entry) bool {
	if other == nil {
		return true
	}
	for e != nil && e.Index > other.Index {
		e = e.Prev
	}
	return e == other
}

// Find returns the index of a member in the list, or less than 0 if it is not in it.
func (s State) Find(id string) int {
	return slices.IndexFunc(s.Members, func(l Listed) bool { return l.ID == id })
}

// At returns the index of the entry for a peer URL, or less than 0 if there is none.
func (s State) At(peerURL string) int {
	return slices.IndexFunc(s.Members, func(l Listed) bool { return l.PeerURL == peerURL })
}

// Stored returns the revision that a snapshot shows, which is that of its newest record, or 0 if there is none.
func (s State) Stored() int64 {
	if s.Revision == 1 {
		return 0
	}
	return s.Revision
}

// Raised returns the state with its revisions raised by a restore, from that of its newest record, and compacted up to
// there.
func (s State) Raised(by int64) State {
	begins := max(1, s.Stored()+by)
	s.Revision, s.Bumped = begins, s.Bumped+begins-s.Revision
	s.Compacted, s.Before = begins, 0
	return s
}

// Keys returns the number of keys: each write has a key of its own.
func (s State) Keys() int { return int(s.Revision - 1 - s.Bumped) }

// Voters returns the IDs of the voters.
func (s State) Voters() (ids []string) {
	for _, l := range s.Members {
		if !l.Learner {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// Votes tells whether a member is a voter.
func (s State) Votes(id string) bool {
	i := s.Find(id)
	return i >= 0 && !s.Members[i].Learner
}

// Quorum returns how many voters have to agree.
func (s State) Quorum() int { return len(s.Voters())/2 + 1 }

// With returns the state with one entry of the list changed, or added.
func (s State) With(l Listed) State {
	s.Members = slices.Clone(s.Members)
	if i := s.Find(l.ID); i >= 0 {
		s.Members[i] = l
	} else {
		s.Members = append(s.Members, l)
	}
	return s
}

// Without returns the state with one entry of the list removed. The alarms that the member raised stay.
func (s State) Without(id string) State {
	s.Members = slices.DeleteFunc(slices.Clone(s.Members), func(l Listed) bool { return l.ID == id })
	return s
}

// List returns the member list as hosts report it.
func (s State) List() []api.ListedMember {
	var list []api.ListedMember
	for _, l := range s.Members {
		list = append(list, api.ListedMember{ID: l.ID, Name: l.Name, PeerURLs: []string{l.PeerURL}, ClientURLs: l.ClientURLs, Learner: l.Learner})
	}
	slices.SortFunc(list, func(a, b api.ListedMember) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Revision returns the revision of a member's database.
func (m *Member) Revision() int64 { return m.RevisionIn(m.State()) }

// RevisionIn returns the revision that a member's database has in a state.
func (m *Member) RevisionIn(s State) int64 {
	if m.Missed == 0 || s.Revision < m.Missed {
		return s.Revision
	}
	return s.Revision - 1
}

// HashAt returns the hash of what a member holds up to a revision that it has.
func (m *Member) HashAt(revision int64) uint32 {
	e, corrupt := m.Last, m.Corrupt
	if m.Missed > 0 && revision >= m.Missed {
		corrupt += " without a write"
	}
	for e != nil && e.Prev != nil && e.Prev.State.Revision >= revision {
		e = e.Prev
	}
	sum := fnv.New32a()
	content := ""
	if e != nil {
		content = e.State.Content
	}
	_, _ = sum.Write([]byte(Digest("hash", m.Cluster, content, corrupt)))
	return sum.Sum32() ^ uint32(revision)
}
