// Package model is what the members of a simulated cluster have written and agreed on: their logs, the state that these
// come to, the versions by which they may read it, and the processes that serve it. It knows no hosts.
package model

import (
	"hash/fnv"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Entry is one entry of a cluster's log, or a run of them. It never changes: members that have the same
// last entry have the same log, and two logs contradict each other where neither holds the other's last.
type Entry struct {
	Prev  *Entry // nil: the cluster began with it
	Index uint64
	Term  uint64
	State State // of the cluster, once this is applied
}

// What can be damaged of a member's data.
const (
	Log      = "log"
	Database = "database"
)

// State is what a cluster has agreed on. Its slices are never written to.
type State struct {
	Members   []Listed
	Revision  int64  // 1: nothing was ever put
	Bumped    int64  // by how much a restore has raised the revision
	Content   string // tells apart what was put
	Version   Minor  // the cluster version
	Downgrade Minor  // target of the downgrade that is under way; 0: none
	Alarms    []string
}

// Listed is an entry of the member list.
type Listed struct {
	ID, Name, PeerURL string // name: empty until it has started
	ClientURLs        []string
	Learner           bool
}

// Member is the data that a member has written: what remains of it when its process ends.
type Member struct {
	Cluster string // cluster ID
	ID      string // member ID
	Name    string
	Term    uint64
	Last    *Entry // nil: it has never been in a quorum, or has nothing yet of what its quorum agreed on
	Index   uint64 // of its last entry; it may lie within the run that comes after last
	Storage Minor  // version of its database

	// Known is what it was told when it began: by its flags, or by the cluster that it joined. It goes by
	// that until its log has come far enough to have itself in it.
	Known State

	Proofs int // how many of its processes were compared with the others, before a restored cluster is opened

	Damaged string // part that a process ends on: log or database; empty: both can be read
	Corrupt string // tells its database apart from what its log says; empty: it is as it should be
	DBSize  int64  // of its database, where that is more than what it needs
	DBUsed  int64  // likewise
}

// State is the member's own view of its cluster.
func (m *Member) State() State {
	if m.Last == nil || m.Last.State.Find(m.ID) < 0 && m.Known.Find(m.ID) >= 0 {
		return m.Known
	}
	return m.Last.State
}

// LastTerm is the term of the member's last entry.
func (m *Member) LastTerm() uint64 {
	if m.Last == nil {
		return 0
	}
	return m.Last.Term
}

// Append adds a run of n entries to the log of a leader.
func (m *Member) Append(n uint64, s State) *Entry {
	m.Last = &Entry{Prev: m.Last, Index: m.Index + n, Term: m.Term, State: s}
	m.Index = m.Last.Index
	return m.Last
}

// Follow takes the leader's log over, up to an index. What a member has, it keeps.
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

// Find is the place of a member in the list; less than 0: it is not in it.
func (s State) Find(id string) int {
	return slices.IndexFunc(s.Members, func(l Listed) bool { return l.ID == id })
}

// At is the entry for a peer URL; less than 0: there is none.
func (s State) At(peerURL string) int {
	return slices.IndexFunc(s.Members, func(l Listed) bool { return l.PeerURL == peerURL })
}

// Stored is the revision that a snapshot shows, which is that of the newest record in it; 0: nothing was ever put.
func (s State) Stored() int64 {
	if s.Revision == 1 {
		return 0
	}
	return s.Revision
}

// Raised is a state with its revisions raised by a restore, from that of the newest record in it.
func (s State) Raised(by int64) State {
	begins := max(1, s.Stored()+by)
	s.Revision, s.Bumped = begins, s.Bumped+begins-s.Revision
	return s
}

// Keys is how many keys there are: one for each put.
func (s State) Keys() int { return int(s.Revision - 1 - s.Bumped) }

// Voters are the IDs of those who vote.
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

// Quorum is how many voters have to agree.
func (s State) Quorum() int { return len(s.Voters())/2 + 1 }

// With is the state with one entry of the list changed, or added.
func (s State) With(l Listed) State {
	s.Members = slices.Clone(s.Members)
	if i := s.Find(l.ID); i >= 0 {
		s.Members[i] = l
	} else {
		s.Members = append(s.Members, l)
	}
	return s
}

// Without is the state with one entry of the list gone. The alarms that it raised stay.
func (s State) Without(id string) State {
	s.Members = slices.DeleteFunc(slices.Clone(s.Members), func(l Listed) bool { return l.ID == id })
	return s
}

// List is the member list in the words of the contract.
func (s State) List() []api.ListedMember {
	var list []api.ListedMember
	for _, l := range s.Members {
		list = append(list, api.ListedMember{ID: l.ID, Name: l.Name, PeerURLs: []string{l.PeerURL}, ClientURLs: l.ClientURLs, Learner: l.Learner})
	}
	slices.SortFunc(list, func(a, b api.ListedMember) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// HashAt is the hash of what a member holds up to a revision that it has.
func (m *Member) HashAt(revision int64) uint32 {
	e := m.Last
	for e != nil && e.Prev != nil && e.Prev.State.Revision >= revision {
		e = e.Prev
	}
	sum := fnv.New32a()
	content := ""
	if e != nil {
		content = e.State.Content
	}
	_, _ = sum.Write([]byte(Digest("hash", m.Cluster, content, m.Corrupt)))
	return sum.Sum32() ^ uint32(revision)
}
