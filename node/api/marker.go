package api

// Phase is how far a host has come into its cluster.
type Phase string

// Phases of a host.
const (
	PhaseForming Phase = "forming" // a create is under way, or was cut short
	PhaseFormed  Phase = "formed"  // the cluster was handed over; `new` is never used again
)

// Marker is what a host records of the cluster that it belongs to. It is the first thing that an
// operation writes, so that a host is never half done without saying whose work that is.
type Marker struct {
	Cluster        string `json:"cluster"`              // the cluster's name
	Owner          string `json:"owner"`                // random token of the Terraform object that manages it
	Member         string `json:"member"`               // the member's name
	Phase          Phase  `json:"phase"`                // forming or formed
	Token          string `json:"token"`                // etcd's initial-cluster-token
	InitialCluster string `json:"initial_cluster"`      // etcd's initial-cluster, sorted by name
	DataDir        string `json:"data_dir"`             // absolute path
	ClientPort     int    `json:"client_port"`          // the port that clients use
	PeerPort       int    `json:"peer_port"`            // the port that members use
	MetricsPort    int    `json:"metrics_port"`         // on loopback: metrics and health
	ClusterID      string `json:"cluster_id,omitempty"` // hexadecimal, once formed
	MemberID       string `json:"member_id,omitempty"`  // hexadecimal, once formed
}
