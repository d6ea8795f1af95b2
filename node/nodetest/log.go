package nodetest

import (
	"hash/fnv"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// entry is one entry of a cluster's log, or a run of them. It never changes: members that have the same
// last entry have the same log, and two logs contradict each other where neither holds the other's last.
type entry struct {
	prev  *entry // nil: the cluster began with it
	index uint64
	term  uint64
	state state // of the cluster, once this is applied
}

// state is what a cluster has agreed on. Its slices are never written to.
type state struct {
	members   []listed
	revision  int64  // 1: nothing was ever put
	bumped    int64  // by how much a restore has raised the revision
	content   string // tells apart what was put
	version   minor  // the cluster version
	downgrade minor  // target of the downgrade that is under way; 0: none
	alarms    []string
}

// listed is an entry of the member list.
type listed struct {
	id, name, peerURL string // name: empty until it has started
	clientURLs        []string
	learner           bool
}

// member is the data that a member has written: what remains of it when its process ends.
type member struct {
	cluster string // cluster ID
	id      string // member ID
	name    string
	term    uint64
	last    *entry // nil: it has never been in a quorum, or has nothing yet of what its quorum agreed on
	index   uint64 // of its last entry; it may lie within the run that comes after last
	storage minor  // version of its database

	// known is what it was told when it began: by its flags, or by the cluster that it joined. It goes by
	// that until its log has come far enough to have itself in it.
	known state

	proofs int // how many of its processes were compared with the others, before a restored cluster is opened

	damaged string // part that a process ends on: log or database; empty: both can be read
	corrupt string // tells its database apart from what its log says; empty: it is as it should be
	dbSize  int64  // of its database, where that is more than what it needs
	dbUsed  int64  // likewise
}

// state is the member's own view of its cluster.
func (m *member) state() state {
	if m.last == nil || m.last.state.find(m.id) < 0 && m.known.find(m.id) >= 0 {
		return m.known
	}
	return m.last.state
}

// lastTerm is the term of the member's last entry.
func (m *member) lastTerm() uint64 {
	if m.last == nil {
		return 0
	}
	return m.last.term
}

// append adds a run of n entries to the log of a leader.
func (m *member) append(n uint64, s state) *entry {
	m.last = &entry{prev: m.last, index: m.index + n, term: m.term, state: s}
	m.index = m.last.index
	return m.last
}

// follow takes the leader's log over, up to an index. What a member has, it keeps.
func (m *member) follow(leader *member, index uint64) {
	m.term = leader.term
	if index <= m.index && m.last != nil {
		return
	}
	last := leader.last
	for last != nil && last.index > index {
		last = last.prev
	}
	if last != nil && (m.last == nil || last.index >= m.last.index) {
		m.last = last
	}
	m.index = max(m.index, index)
}

// holds tells whether an entry is in the log that ends with e.
func (e *entry) holds(other *entry) bool {
	if other == nil {
		return true
	}
	for e != nil && e.index > other.index {
		e = e.prev
	}
	return e == other
}

// find is the place of a member in the list; less than 0: it is not in it.
func (s state) find(id string) int {
	return slices.IndexFunc(s.members, func(l listed) bool { return l.id == id })
}

// at is the entry for a peer URL; less than 0: there is none.
func (s state) at(peerURL string) int {
	return slices.IndexFunc(s.members, func(l listed) bool { return l.peerURL == peerURL })
}

// stored is the revision that a snapshot shows, which is that of the newest record in it; 0: nothing was ever put.
func (s state) stored() int64 {
	if s.revision == 1 {
		return 0
	}
	return s.revision
}

// raised is a state with its revisions raised by a restore, from that of the newest record in it.
func (s state) raised(by int64) state {
	begins := max(1, s.stored()+by)
	s.revision, s.bumped = begins, s.bumped+begins-s.revision
	return s
}

// keys is how many keys there are: one for each put.
func (s state) keys() int { return int(s.revision - 1 - s.bumped) }

// voters are the IDs of those who vote.
func (s state) voters() (ids []string) {
	for _, l := range s.members {
		if !l.learner {
			ids = append(ids, l.id)
		}
	}
	return ids
}

// votes tells whether a member is a voter.
func (s state) votes(id string) bool {
	i := s.find(id)
	return i >= 0 && !s.members[i].learner
}

// quorum is how many voters have to agree.
func (s state) quorum() int { return len(s.voters())/2 + 1 }

// with is the state with one entry of the list changed, or added.
func (s state) with(l listed) state {
	s.members = slices.Clone(s.members)
	if i := s.find(l.id); i >= 0 {
		s.members[i] = l
	} else {
		s.members = append(s.members, l)
	}
	return s
}

// without is the state with one entry of the list gone. The alarms that it raised stay.
func (s state) without(id string) state {
	s.members = slices.DeleteFunc(slices.Clone(s.members), func(l listed) bool { return l.id == id })
	return s
}

// list is the member list in the words of the contract.
func (s state) list() []api.ListedMember {
	var list []api.ListedMember
	for _, l := range s.members {
		list = append(list, api.ListedMember{ID: l.id, Name: l.name, PeerURLs: []string{l.peerURL}, ClientURLs: l.clientURLs, Learner: l.learner})
	}
	slices.SortFunc(list, func(a, b api.ListedMember) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// hashAt is the hash of what a member holds up to a revision that it has.
func (m *member) hashAt(revision int64) uint32 {
	e := m.last
	for e != nil && e.prev != nil && e.prev.state.revision >= revision {
		e = e.prev
	}
	sum := fnv.New32a()
	content := ""
	if e != nil {
		content = e.state.content
	}
	_, _ = sum.Write([]byte(digest("hash", m.cluster, content, m.corrupt)))
	return sum.Sum32() ^ uint32(revision)
}
