package api

import "time"

// Operations of the cluster are asked of a healthy voter, which carries them out through its own client
// port with the administrator's certificate. Each may be repeated: what is done already is done. Owner must
// be the marker's in all of them.

// AddLearnerRequest adds a learner. etcd takes one learner at a time, refuses any in the first 5 s after
// the start of the member that it is asked through, and in the second after the same peer URL was removed:
// the store tries again for as long as Timeout says.
type AddLearnerRequest struct {
	Owner   string        `json:"owner"`
	PeerURL string        `json:"peer_url"`
	Timeout time.Duration `json:"timeout"` // nanoseconds
}

// AddedLearner is the learner, and the list with it in it. Where a learner with this peer URL is there
// already, it is that one.
type AddedLearner struct {
	ID      string         `json:"id"` // hexadecimal
	Members []ListedMember `json:"members"`
}

// RemoveMemberRequest removes a member, voter or learner. It is no error for it to be gone.
type RemoveMemberRequest struct {
	Owner   string        `json:"owner"`
	ID      string        `json:"id"`      // hexadecimal
	Timeout time.Duration `json:"timeout"` // nanoseconds; etcd refuses for 5 s after the start of the member that it is asked through
}

// UpdateMemberRequest gives a voter another peer URL, under which the other members reach it from then on. It may be the
// local member. One that has that URL already is done. A learner is refused: etcd before 3.5.31 and 3.6.12 gave it a vote.
type UpdateMemberRequest struct {
	Owner   string        `json:"owner"`
	ID      string        `json:"id"` // hexadecimal
	PeerURL string        `json:"peer_url"`
	Timeout time.Duration `json:"timeout"` // for as long as etcd refuses for the moment
}

// PromoteRequest promotes a learner. The caller has made sure that it has caught up: etcd itself
// promotes one that is a tenth of the log behind.
type PromoteRequest struct {
	Owner   string        `json:"owner"`
	ID      string        `json:"id"`      // hexadecimal
	Timeout time.Duration `json:"timeout"` // nanoseconds
}

// MoveLeaderRequest moves the leadership from the local member to another voter, and waits until it is
// there. Where the local member does not lead, nothing is done.
type MoveLeaderRequest struct {
	Owner string `json:"owner"`
	To    string `json:"to"` // member ID, hexadecimal
}

// DowngradeRequest validates and enables a downgrade of the cluster, or cancels one. One that is under way
// to the same version is done.
type DowngradeRequest struct {
	Owner   string `json:"owner"`
	Version string `json:"version"` // line to go down to: 3.6; empty: cancel what is under way
}

// DisarmRequest defragments the local member where it pays, and, where Alarms says so, disarms its own alarm
// of kind NOSPACE where the reason is gone: the database is below its quota. It refuses where it is not.
type DisarmRequest struct {
	// Corrupt disarms all alarms that say that the data of members differs, and does nothing else: only whoever has
	// compared it may ask for that.
	Corrupt bool   `json:"corrupt,omitempty"`
	Owner   string `json:"owner"`
	Alarms  bool   `json:"alarms"`
}

// SnapshotRequest saves a snapshot of the local member, a voter, beside its data, and verifies it: its
// trailing SHA-256, and a read of all of its keys. What is not verified never bears a snapshot's name.
type SnapshotRequest struct {
	Owner string `json:"owner"`
	Keep  int    `json:"keep"` // at least 1; how many stay, this one included: the oldest go
}

// Snapshot is a verified snapshot on the host.
type Snapshot struct {
	Path      string `json:"path"`
	SHA256    string `json:"sha256"` // of the whole file
	SizeBytes int64  `json:"size_bytes"`
	Revision  int64  `json:"revision"`
	Keys      int    `json:"keys"`
	Version   string `json:"version"` // of the oldest etcd that starts from it: 3.7.0; empty: it does not say, as that of 3.4 or older

	TakenAt time.Time `json:"taken_at,omitzero"` // as what lies beside it says; zero: not known
}

// RecoverRequest makes the local member, alone, the cluster that has lost its quorum: everything it has
// logged counts as agreed, and all other members are forgotten. Its data is copied aside before. ClusterID
// names what is recovered, and must be the marker's.
type RecoverRequest struct {
	Owner     string        `json:"owner"`
	ClusterID string        `json:"cluster_id"`
	Term      uint64        `json:"term,omitempty"`  // of the last entry that its log had when it was chosen: one that ends earlier is refused
	Index     uint64        `json:"index,omitempty"` // likewise
	Timeout   time.Duration `json:"timeout"`         // nanoseconds in which the member may come no further on its way up
}

// Recovered says where the copy of the data lies.
type Recovered struct {
	Path string `json:"path"`
}
