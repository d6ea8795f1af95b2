package api

import "time"

// These operations are called on a healthy voter, which carries them out through its own client port with the
// administrator's certificate. Each may be repeated: what is done already succeeds. Owner must be the marker's in all
// of them.

// AddLearnerRequest adds a learner. etcd accepts one learner at a time, and none in the first 5 s after the start of
// the member that is asked, or in the second after the same peer URL was removed. The store retries for Timeout.
type AddLearnerRequest struct {
	Owner   string        `json:"owner"`
	PeerURL string        `json:"peer_url"`
	Timeout time.Duration `json:"timeout"` // nanoseconds
}

// AddedLearner is the learner, and the list that includes it. If a learner with this peer URL exists already, it is
// that one.
type AddedLearner struct {
	ID      string         `json:"id"` // hexadecimal
	Members []ListedMember `json:"members"`
}

// RemoveMemberRequest removes a member, voter or learner. It succeeds if the member is already gone.
type RemoveMemberRequest struct {
	Owner   string        `json:"owner"`
	ID      string        `json:"id"`      // hexadecimal
	Timeout time.Duration `json:"timeout"` // nanoseconds; etcd refuses for 5 s after a start of the member asked
}

// UpdateMemberRequest gives a voter, possibly the local member, another peer URL, at which the other members then
// reach it. A learner is refused: etcd before 3.5.31 and 3.6.12 made it a voter.
type UpdateMemberRequest struct {
	Owner   string        `json:"owner"`
	ID      string        `json:"id"` // hexadecimal
	PeerURL string        `json:"peer_url"`
	Timeout time.Duration `json:"timeout"` // how long to retry while etcd refuses for the moment
}

// PromoteRequest promotes a learner. The caller has to make sure that it has caught up: etcd itself promotes one that
// is a tenth of the log behind.
type PromoteRequest struct {
	Owner   string        `json:"owner"`
	ID      string        `json:"id"`      // hexadecimal
	Timeout time.Duration `json:"timeout"` // nanoseconds
}

// MoveLeaderRequest moves the leadership from the local member to another voter, and waits until that leads. If the
// local member does not lead, nothing is done.
type MoveLeaderRequest struct {
	Owner string `json:"owner"`
	To    string `json:"to"` // member ID, hexadecimal
}

// DowngradeRequest validates and enables a downgrade of the cluster, or cancels one. If a downgrade to the same
// version is under way, nothing is done.
type DowngradeRequest struct {
	Owner   string `json:"owner"`
	Version string `json:"version"` // minor version to downgrade to: 3.6; empty: cancel the downgrade under way
}

// DisarmRequest defragments the local member if that pays and, with Alarms, disarms its own NOSPACE alarm if its
// database is below its quota. It refuses if the database is not.
type DisarmRequest struct {
	// Corrupt disarms all CORRUPT alarms, and does nothing else. The caller must have compared the members' data.
	Corrupt bool   `json:"corrupt,omitempty"`
	Owner   string `json:"owner"`
	Alarms  bool   `json:"alarms"`
}

// SnapshotRequest saves a snapshot of the local member, a voter, beside its data, and verifies its trailing SHA-256
// and all of its keys. An unverified file never has a snapshot's name.
type SnapshotRequest struct {
	Owner string `json:"owner"`
	Keep  int    `json:"keep"` // at least 1; how many snapshots stay, including this one: the oldest go
}

// Snapshot is a verified snapshot on the host.
type Snapshot struct {
	Path      string `json:"path"`
	SHA256    string `json:"sha256"` // of the whole file
	SizeBytes int64  `json:"size_bytes"`
	Revision  int64  `json:"revision"`
	Keys      int    `json:"keys"`
	Version   string `json:"version"` // of the oldest etcd that starts from it: 3.7.0; empty: not known (etcd 3.4)

	TakenAt time.Time `json:"taken_at,omitzero"` // from its manifest; zero: not known
}

// RecoverRequest makes the local member the whole of a cluster that has lost its quorum: everything that it has logged
// counts as committed, and all other members are forgotten. Its data is copied aside before. ClusterID names the
// cluster, and must be the marker's.
type RecoverRequest struct {
	Owner     string `json:"owner"`
	ClusterID string `json:"cluster_id"`
	// Term and Index are those of the last entry in its log when it was chosen: a log that ends earlier is refused.
	Term    uint64        `json:"term,omitempty"`
	Index   uint64        `json:"index,omitempty"`
	Timeout time.Duration `json:"timeout"` // nanoseconds without progress in the member's start
}

// Recovered says where the copy of the data is.
type Recovered struct {
	Path string `json:"path"`
}
