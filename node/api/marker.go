package api

import "strings"

// Phase says how far a host's membership has come.
type Phase string

// Phases of a host.
const (
	PhaseForming Phase = "forming" // a create is under way, or was interrupted
	PhaseJoining Phase = "joining" // the member was, or is about to be, added to a running cluster as a learner
	PhaseFormed  Phase = "formed"  // the member votes, or is about to be promoted: it must never start without its data
)

// Marker is a host's record of the cluster that it belongs to. An operation writes it first, so that a half-configured
// host always says whom it belongs to.
type Marker struct {
	Cluster        string `json:"cluster"`              // the cluster's name
	Owner          string `json:"owner"`                // random token of the Terraform object that manages it
	Member         string `json:"member"`               // the member's name
	Phase          Phase  `json:"phase"`                // how far the membership has come
	Token          string `json:"token"`                // etcd's initial-cluster-token
	InitialCluster string `json:"initial_cluster"`      // etcd's initial-cluster, sorted by name
	DataDir        string `json:"data_dir"`             // absolute path
	ClientPort     int    `json:"client_port"`          // the port that clients use
	PeerPort       int    `json:"peer_port"`            // the port that members use
	MetricsPort    int    `json:"metrics_port"`         // on loopback: metrics and health
	ClusterID      string `json:"cluster_id,omitempty"` // hexadecimal, once formed
	MemberID       string `json:"member_id,omitempty"`  // hexadecimal, once formed
	// Store is the SHA-256 of the store that the member was given. If another one is selected, somebody else has put it
	// there.
	Store string `json:"store,omitempty"`
	// Mount is the mount point of the file system with the data directory, as of when the host was prepared. The host
	// fills it in, and its guard requires it.
	Mount string `json:"mount,omitempty"`
	// Former are the paths that lay beside the data when the host was claimed: snapshots, and what was moved aside, of
	// clusters that were there before. The host fills it in, and neither counts nor deletes them.
	Former []string `json:"former,omitempty"`
	// Added are the peer URLs of learners that an unfinished change is about to add, or has added, through this member:
	// they tell a later run what it may clean up. OpAddLearner records them before it asks etcd; OpConfigure replaces
	// them.
	Added []string `json:"added,omitempty"`
	// Rebuild is the rebuild text that the member's data began with: another text in the configuration asks for a
	// rebuild. Empty: there was none.
	Rebuild string `json:"rebuild,omitempty"`
}

// PeerURL is the URL by which other members reach the member; empty: InitialCluster does not name it.
func (m Marker) PeerURL() string {
	for _, member := range strings.Split(m.InitialCluster, ",") {
		if name, url, _ := strings.Cut(member, "="); name == m.Member {
			return url
		}
	}
	return ""
}
