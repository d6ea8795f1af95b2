package api

import "time"

// ObserveRequest asks for everything that the host knows about the cluster. It succeeds if the host can be read at
// all: what could not be found out says so in its own place.
type ObserveRequest struct {
	// DataDir is the desired data directory, for a host that has no marker yet. Empty: not known yet.
	DataDir string `json:"data_dir"`
	// Ports are the cluster's ports, to find out who listens on them.
	Ports []int `json:"ports"`
	// Patience is how long to wait for a member of a formed cluster that does not serve: one whose process is younger
	// than that, one that systemd is about to start, and, for at most 25 s, one that has served since its start. Zero:
	// do not wait; the member is sampled once.
	Patience time.Duration `json:"patience,omitempty"` // nanoseconds, at most 10 minutes
	// Firewall asks whether the host can filter who reaches its member.
	Firewall bool `json:"firewall,omitempty"`
	// Inventory are paths for which the first contact takes an inventory of the host; nil: none. Stores are not asked.
	Inventory []string `json:"-"`
}

// AwaitRequest waits until the member is ready (its unit active, a linearizable read done, the given number of members
// in its list, each with a name) or the timeout has passed, and returns the last observation. A timeout is no error.
// The wait ends early if the unit has failed, or systemd has restarted it three times since the call began.
//
// A learner copies all data before it is ready. Its timeout starts again whenever it makes progress, for up to a day.
type AwaitRequest struct {
	ObserveRequest
	Members int `json:"members"` // 0: any number, named or not
	// Learner awaits a learner: it is ready once it answers its status, knows a leader, and is a learner.
	Learner bool          `json:"learner"`
	Stalled bool          `json:"stalled"` // also end if the member is stalled, see Observation.Stalled
	Timeout time.Duration `json:"timeout"` // nanoseconds without progress; at most ten minutes
	// Serving are SHA-256 of certificates by key name: the wait also lasts until the member's ports serve these. Empty:
	// any.
	Serving map[string]string `json:"serving,omitempty"`
}

// ProbeRequest asks only for the local member's status. It is cheap enough to poll.
type ProbeRequest struct {
	// Waited is for how long the member was asked in vain already, nanoseconds: each question may take as long, since a
	// member on a starved host answers each one late.
	Waited time.Duration `json:"waited,omitempty"`
}

// HashRequest asks the local member, learner or voter, for the hash of its key space up to a revision, over its peer
// port: etcd answers for learners nowhere else.
type HashRequest struct {
	Revision int64 `json:"revision"` // 0: its latest
	CountAt  int64 `json:"count_at"` // also count the keys as of this revision, over its client port; 0: do not count
}

// Hash is the hash of a member's key space. Two members agree if all fields but Revision, the member's latest, and
// Keys are equal.
type Hash struct {
	Hash         uint32 `json:"hash"`
	HashRevision int64  `json:"hash_revision"` // the hash covers revisions up to this one
	// CompactRevision: the hash covers revisions after this one. Members that have compacted differently do not
	// compare.
	CompactRevision int64 `json:"compact_revision"`
	Revision        int64 `json:"revision"`
	Keys            int64 `json:"keys"` // 0: not counted
}

// TryRequest has an installed store parse flags as etcd does, and exit before it touches anything. The error for an
// unknown flag or an invalid value is etcd's own.
type TryRequest struct {
	Store string   `json:"store"` // SHA-256 of an installed store
	Flags []string `json:"flags"`
}

// Observation is what a host reports about itself and its member.
type Observation struct {
	Facts        Facts                  `json:"facts"`
	Store        Store                  `json:"store"`
	Marker       *Marker                `json:"marker"` // nil: this host carries no such cluster
	Unit         UnitState              `json:"unit"`
	Flags        []string               `json:"flags"` // the lines of the flags file; nil: there is none
	Data         Data                   `json:"data"`
	Listeners    []Listener             `json:"listeners"`    // on the requested ports
	Certificates map[string]Certificate `json:"certificates"` // by key name, and "peer-ca", "client-ca"
	// ClientCRL is the list of clients' revoked certificates, PEM; empty: there is none, or etcd cannot read it.
	ClientCRL string `json:"client_crl,omitempty"`
	// Served is what the ports of a started member serve, by key name. A port without an answer is missing. nil: no
	// member has started, or this store does not look.
	Served map[string]Served `json:"served"`
	// Guard is why the guard would not let the member start now; empty: it would, or there is no marker.
	Guard      string         `json:"guard"`
	GuardCheck GuardCheck     `json:"guard_check"` // the check that fails; empty: none
	Member     Member         `json:"member"`
	Restore    *Restoration   `json:"restore,omitempty"` // the restore under way on this host; nil: none
	Backup     *BackupStatus  `json:"backup,omitempty"`  // nil: this host makes no backups
	Renewal    *RenewalStatus `json:"renewal,omitempty"` // nil: this host renews no certificates by itself
	// Firewall is how the host filters who reaches its member; nil: it does not.
	Firewall *FirewallStatus `json:"firewall,omitempty"`
	// NoNftables is why this host can have no firewall; empty: it can, or was not asked.
	NoNftables string `json:"no_nftables,omitempty"`
	// Stalled means that the member has served reads for a second without reporting that it has started: it may never
	// do so before a restart. Only AwaitRequest with Stalled looks for it.
	Stalled bool `json:"stalled,omitempty"`
	// Gained means that the member made progress while it was awaited: others that wait for it may be ready now.
	Gained bool `json:"gained,omitempty"`
}

// GuardCheck is one of the checks that a member has to pass before it starts.
type GuardCheck string

// Checks of the guard.
const (
	GuardPath     GuardCheck = "path"     // its flags name the data directory that its host recorded
	GuardMount    GuardCheck = "mount"    // the data directory lies on the file system that it was prepared on
	GuardData     GuardCheck = "data"     // a member that has joined has its data
	GuardIdentity GuardCheck = "identity" // the data is this member's, of this cluster
	GuardProgress GuardCheck = "progress" // the data is no older than recorded
	GuardRestore  GuardCheck = "restore"  // no restore has fenced the host
	GuardAlone    GuardCheck = "alone"    // no interrupted recovery requires it to start alone
)

// Facts describe the host.
type Facts struct {
	Hostname     string   `json:"hostname"`
	MachineID    string   `json:"machine_id"`
	BootID       string   `json:"boot_id"`
	OS           string   `json:"os"`           // PRETTY_NAME of os-release
	Kernel       string   `json:"kernel"`       // release
	Architecture string   `json:"architecture"` // as Go names it: amd64, arm64
	MemoryBytes  int64    `json:"memory_bytes"`
	Addresses    []string `json:"addresses"` // of all interfaces, without prefix lengths
	// FirstPort is the lowest port that users other than root may bind, 1 at least; 0: not known.
	FirstPort int       `json:"first_port,omitempty"`
	Time      time.Time `json:"time"` // the host's clock
}

// Store says which store answers, and which are installed.
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
	// Vain is how long the last process ran that failed before it was ready; 0: not known.
	Vain       time.Duration `json:"vain,omitempty"` // nanoseconds
	NeedReload bool          `json:"need_reload"`    // the file has changed since systemd read it
	Queued     bool          `json:"queued"`         // systemd is about to start or stop it, e.g. while the host boots
	Process    *Process      `json:"process"`        // what MainPID was started with; nil: no etcd runs yet
	// Looping means that the process ends after each start.
	Looping bool `json:"looping,omitempty"`
	// Journal has the unit's last lines, at most 20, if it failed or systemd is restarting it.
	Journal []string `json:"journal"`
}

// Process is what a running member was started with, which may differ from its current configuration.
type Process struct {
	// Store is the SHA-256 of the store that it runs; empty: the store's file is gone, or is no installed store.
	Store      string   `json:"store"`
	Flags      []string `json:"flags"`       // its arguments
	UnitSHA256 string   `json:"unit_sha256"` // of the unit file at its start, in hexadecimal; empty: not known
	PeerCA     string   `json:"peer_ca"`     // SHA-256 of the bundle that etcd has read at its start; empty: not known
	ClientCA   string   `json:"client_ca"`   // likewise
}

// Data is the state of the data directory.
type Data struct {
	Path      string `json:"path"`
	Exists    bool   `json:"exists"`
	Empty     bool   `json:"empty"`      // nothing in it, not counting lost+found and what was moved aside
	HasMember bool   `json:"has_member"` // it holds a member's log
	// Log is what the member's log and database say, whether it runs or not; nil: there is none, or the member serves.
	Log *Log `json:"log"`
	// Damage is what keeps etcd from starting on the log or the database. It is looked for once the member has failed
	// to start three times; empty: nothing was found, or not looked for.
	Damage string `json:"damage,omitempty"`
	// Differs means that etcd exits at each start because a peer holds different data. Either may be right.
	Differs bool `json:"differs,omitempty"`
	// Own is the hash of its own data that etcd compared at that start; nil: not in the journal.
	Own *Hash `json:"own,omitempty"`
	// Cramped means that a snapshot of the member would not leave it enough room on its disk.
	Cramped bool `json:"cramped,omitempty"`
	// Full means that the disk has less room left than one more segment of the log takes.
	Full       bool     `json:"full,omitempty"`
	Filesystem string   `json:"filesystem"` // ext4, xfs, ...; of the nearest parent that exists
	FreeBytes  int64    `json:"free_bytes"` // free there for etcd
	Aside      []string `json:"aside"`      // directories moved aside earlier, sorted
}

// LogSegmentBytes is how much etcd preallocates for its log at a time. Without that room no member starts or keeps
// running.
const LogSegmentBytes = 64 << 20

// Log is what the log and database of a member that does not serve contain.
type Log struct {
	ClusterID string `json:"cluster_id"` // hexadecimal
	MemberID  string `json:"member_id"`  // hexadecimal
	Term      uint64 `json:"term"`       // of the last entry
	Index     uint64 `json:"index"`      // of the last entry
	Applied   uint64 `json:"applied"`    // the database's consistent index; 0: not known, e.g. if a process has it open
	Version   string `json:"version"`    // cluster version in the database: 3.7.0; empty: not known
	Error     string `json:"error"`      // why the log could not be read to its end; empty: it could

	// Revision is the newest in the database that clients can have seen; 0: not known. Nobody has written to a member
	// whose revision is 1.
	Revision int64 `json:"revision,omitempty"`

	// Acknowledged is an entry behind the log's end that the member has told its leader to have logged: etcd ends over
	// it at each start. 0: none is known.
	Acknowledged uint64 `json:"acknowledged,omitempty"`

	// Corrupt means that the database has the CORRUPT alarm: members held different data when it was raised.
	Corrupt bool `json:"corrupt,omitempty"`

	// DatabaseError is why the database could not be read; empty: it could, or a process has it open.
	DatabaseError string `json:"database_error,omitempty"`
}

// Listener is a process that listens on a TCP port.
type Listener struct {
	Port    int    `json:"port"`
	Address string `json:"address"`
	PID     int    `json:"pid"` // 0: not known
	Process string `json:"process"`
	Ours    bool   `json:"ours"` // it is the main process of this cluster's unit
}

// Certificate is what the host has for one key pair or bundle.
type Certificate struct {
	PEM    string `json:"pem"`              // empty: not there
	HasKey bool   `json:"has_key"`          // the key is there and belongs to the certificate
	NoKey  bool   `json:"no_key,omitempty"` // the key is not there; older stores do not say
	Error  string `json:"error"`            // why it could not be read, by this store or by etcd; empty: it could
	// Exposed means that others than the key's user can read its file, or change it.
	Exposed bool `json:"exposed,omitempty"`
}

// Served is the certificate that one of the member's ports serves, as its own host sees it by connecting.
type Served struct {
	SHA256 string `json:"sha256"` // its fingerprint, in lower-case hexadecimal
	Serial string `json:"serial"` // likewise
}

// ServesAll tells whether ports serve all of these certificates, given by their SHA-256.
func ServesAll(served map[string]Served, want map[string]string) bool {
	for key, sha256 := range want {
		if served[key].SHA256 != sha256 {
			return false
		}
	}
	return true
}

// Member is what the local member reports, asked over loopback with the admin certificate.
type Member struct {
	Responding     bool           `json:"responding"` // it answered a status request
	Error          string         `json:"error"`      // why it did not
	Ready          bool           `json:"ready"`      // /readyz on the metrics port says so
	Healthy        bool           `json:"healthy"`    // a linearizable read succeeded
	HealthError    string         `json:"health_error"`
	ClusterID      string         `json:"cluster_id"` // hexadecimal
	MemberID       string         `json:"member_id"`  // hexadecimal
	Leader         string         `json:"leader"`     // member ID, hexadecimal; empty: none
	Learner        bool           `json:"learner"`
	Version        string         `json:"version"`         // of the server: 3.7.3
	ClusterVersion string         `json:"cluster_version"` // that the members have agreed on: 3.7.0; empty: not known
	StorageVersion string         `json:"storage_version"` // of its database: 3.7.0; empty: not known
	Downgrade      string         `json:"downgrade"`       // target of the downgrade under way: 3.6.0; empty: none
	RaftTerm       uint64         `json:"raft_term"`
	RaftIndex      uint64         `json:"raft_index"`
	AppliedIndex   uint64         `json:"applied_index"`
	Revision       int64          `json:"revision"`
	DBSizeBytes    int64          `json:"db_size_bytes"`
	DBUsedBytes    int64          `json:"db_used_bytes"` // what a defragmentation would leave of it
	QuotaBytes     int64          `json:"quota_bytes"`   // the size at which it accepts no more writes; 0: not known
	Members        []ListedMember `json:"members"`       // its own view of the list, sorted by ID
	Alarms         []string       `json:"alarms"`        // "NOSPACE 8e9e05c52164694d"; sorted; as far as it knows
	// Connected are the IDs of the peers that it has connections with, hexadecimal, sorted: these run, wherever that
	// is, or their machines vanished without a word within the last few minutes.
	Connected []string `json:"connected,omitempty"`
	// ConnectionsUnknown means that its metrics could not be read, which tell its connections.
	ConnectionsUnknown bool `json:"connections_unknown,omitempty"`
}

// ListedMember is an entry of the member list.
type ListedMember struct {
	ID         string   `json:"id"`   // hexadecimal
	Name       string   `json:"name"` // empty: it has not started yet
	PeerURLs   []string `json:"peer_urls"`
	ClientURLs []string `json:"client_urls"`
	Learner    bool     `json:"learner"`
}
