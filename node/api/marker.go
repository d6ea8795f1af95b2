package api

// Phase is how far a host has come into its cluster.
type Phase string

// Phases of a host.
const (
	PhaseForming Phase = "forming" // a create is under way, or was cut short
	PhaseJoining Phase = "joining" // the member was, or is about to be, added to a living cluster as a learner; it votes on nothing yet
	PhaseFormed  Phase = "formed"  // the member votes, or is about to be promoted: it must never start again without its data
)

// Marker is what a host records of the cluster that it belongs to. It is the first thing that an
// operation writes, so that a host is never half done without saying whose work that is.
type Marker struct {
	Cluster        string `json:"cluster"`              // the cluster's name
	Owner          string `json:"owner"`                // random token of the Terraform object that manages it
	Member         string `json:"member"`               // the member's name
	Phase          Phase  `json:"phase"`                // how far it has come into it
	Token          string `json:"token"`                // etcd's initial-cluster-token
	InitialCluster string `json:"initial_cluster"`      // etcd's initial-cluster, sorted by name
	DataDir        string `json:"data_dir"`             // absolute path
	ClientPort     int    `json:"client_port"`          // the port that clients use
	PeerPort       int    `json:"peer_port"`            // the port that members use
	MetricsPort    int    `json:"metrics_port"`         // on loopback: metrics and health
	ClusterID      string `json:"cluster_id,omitempty"` // hexadecimal, once formed
	MemberID       string `json:"member_id,omitempty"`  // hexadecimal, once formed
	// Store is the SHA-256 of the store that the member was given: another one that is selected was put
	// there by somebody else.
	Store string `json:"store,omitempty"`
	// Mount is the mount point of the file system that the data directory lay on when the host was
	// prepared. The host itself fills it in, and its guard wants to find it again.
	Mount string `json:"mount,omitempty"`
	// Added are the peer URLs of learners that a change of membership is about to add through this member,
	// or has added, and that were not yet seen to the end: by them a later run knows what is ours to clean
	// up. OpAddLearner adds to them before it asks etcd; a Configure replaces them.
	Added []string `json:"added,omitempty"`
	// Rebuild is the text of the configuration that the member's data was begun with: with another one it is to be built
	// anew. Empty: there was none.
	Rebuild string `json:"rebuild,omitempty"`
}
