package api

import "time"

// ObserveRequest asks for everything that the host knows about the cluster. It always succeeds
// where the host can be read at all: what could not be found out says so in its own place.
type ObserveRequest struct {
	// DataDir is where the data is to lie, for a host that has no marker yet. Empty: nobody knows yet.
	DataDir string `json:"data_dir"`
	// Ports are those that the cluster is to use, to learn who listens on them.
	Ports []int `json:"ports"`
}

// AwaitRequest waits until the member is ready (its unit active, a linearizable read done, as many
// members in its list as given, each with a name) or the time is over, and answers what it then
// observes. It is no error for the time to be over.
type AwaitRequest struct {
	ObserveRequest
	Members int           `json:"members"`
	Timeout time.Duration `json:"timeout"` // nanoseconds; at most ten minutes
}

// Observation is what one host says of itself and of its member.
type Observation struct {
	Facts        Facts                  `json:"facts"`
	Store        Store                  `json:"store"`
	Marker       *Marker                `json:"marker"` // nil: this host carries no such cluster
	Unit         UnitState              `json:"unit"`
	Flags        []string               `json:"flags"` // the lines of the flags file; nil where there is none
	Data         Data                   `json:"data"`
	Listeners    []Listener             `json:"listeners"`    // on the ports that were asked for
	Certificates map[string]Certificate `json:"certificates"` // by key name, and "peer-ca", "client-ca"
	Member       Member                 `json:"member"`
}

// Facts are what the host is.
type Facts struct {
	Hostname     string    `json:"hostname"`
	MachineID    string    `json:"machine_id"`
	BootID       string    `json:"boot_id"`
	OS           string    `json:"os"`           // PRETTY_NAME of os-release
	Kernel       string    `json:"kernel"`       // release
	Architecture string    `json:"architecture"` // as Go names it: amd64, arm64
	MemoryBytes  int64     `json:"memory_bytes"`
	Addresses    []string  `json:"addresses"` // of all interfaces, without prefix lengths
	Time         time.Time `json:"time"`      // the host's clock
}

// Store says which store answers and which are installed.
type Store struct {
	EtcdVersion string   `json:"etcd_version"` // of the store that answers
	SHA256      string   `json:"sha256"`       // of the store that answers
	Selected    string   `json:"selected"`     // hash that the cluster's link selects; empty: none
	Installed   []string `json:"installed"`    // hashes, sorted
}

// UnitState is the state of the cluster's systemd unit, in systemd's own words.
type UnitState struct {
	Text        string `json:"text"`         // the unit file; empty: none
	LoadState   string `json:"load_state"`   // loaded, not-found, ...
	ActiveState string `json:"active_state"` // active, activating, inactive, failed, ...
	SubState    string `json:"sub_state"`    // running, dead, auto-restart, ...
	FileState   string `json:"file_state"`   // enabled, disabled, masked, ...
	Result      string `json:"result"`       // success, exit-code, ...
	MainPID     int    `json:"main_pid"`     // 0: none
	Restarts    int    `json:"restarts"`     // by systemd, since it was last started
	NeedReload  bool   `json:"need_reload"`  // the file has changed since systemd read it
	// Journal is the unit's last lines, at most 20, where it failed or systemd is starting it again.
	Journal []string `json:"journal"`
}

// Data is the state of the data directory.
type Data struct {
	Path       string   `json:"path"`
	Exists     bool     `json:"exists"`
	Empty      bool     `json:"empty"`      // nothing in it; lost+found and what was moved aside do not count
	HasMember  bool     `json:"has_member"` // it holds a member's data: a log
	Filesystem string   `json:"filesystem"` // ext4, xfs, ...; of the nearest parent that exists
	FreeBytes  int64    `json:"free_bytes"` // what is free there for etcd
	Aside      []string `json:"aside"`      // directories moved aside earlier, sorted
}

// Listener is a process that listens on a TCP port.
type Listener struct {
	Port    int    `json:"port"`
	Address string `json:"address"`
	PID     int    `json:"pid"` // 0: not known
	Process string `json:"process"`
	Ours    bool   `json:"ours"` // it is the main process of this cluster's unit
}

// Certificate is what the host holds for one key pair or bundle.
type Certificate struct {
	PEM    string `json:"pem"`     // empty: not there
	HasKey bool   `json:"has_key"` // the key is there and belongs to the certificate
	Error  string `json:"error"`   // why it could not be read; empty: it could
}

// Member is what the local member says, asked over loopback with the admin certificate.
type Member struct {
	Responding   bool           `json:"responding"` // it answered its status
	Error        string         `json:"error"`      // why it did not
	Ready        bool           `json:"ready"`      // /readyz on the metrics port says so
	Healthy      bool           `json:"healthy"`    // a linearizable read succeeded
	HealthError  string         `json:"health_error"`
	ClusterID    string         `json:"cluster_id"` // hexadecimal
	MemberID     string         `json:"member_id"`  // hexadecimal
	Leader       string         `json:"leader"`     // member ID, hexadecimal; empty: none
	Learner      bool           `json:"learner"`
	Version      string         `json:"version"` // of the server: 3.7.3
	RaftTerm     uint64         `json:"raft_term"`
	RaftIndex    uint64         `json:"raft_index"`
	AppliedIndex uint64         `json:"applied_index"`
	Revision     int64          `json:"revision"`
	DBSizeBytes  int64          `json:"db_size_bytes"`
	Members      []ListedMember `json:"members"` // its own view of the list, sorted by ID
	Alarms       []string       `json:"alarms"`  // "NOSPACE 8e9e05c52164694d"; sorted; empty too where there is no quorum to ask
}

// ListedMember is an entry of the member list.
type ListedMember struct {
	ID         string   `json:"id"`   // hexadecimal
	Name       string   `json:"name"` // empty: it has not started yet
	PeerURLs   []string `json:"peer_urls"`
	ClientURLs []string `json:"client_urls"`
	Learner    bool     `json:"learner"`
}
