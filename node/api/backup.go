package api

import (
	"path"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// BackupFile is the path of the backup configuration: a Backup as JSON, with its secrets, readable only by root.
func BackupFile(cluster string) string { return path.Join(ConfigDir(cluster), "backup.json") }

// BackupStateDir holds the results of the last backups and rehearsals on this host, and the working directory of
// rehearsals.
func BackupStateDir(dataDir string) string { return dataDir + ".backup" }

// Units of a cluster's backups and rehearsals: a service and the timer that starts it.
func BackupUnit(cluster string) string    { return "etcd-backup@" + cluster }
func RehearsalUnit(cluster string) string { return "etcd-rehearsal@" + cluster }

// ReachUnit is the service that starts before each run that writes to directories.
func ReachUnit(cluster string) string { return "etcd-reach@" + cluster + ".service" }

// Operations of backups.
const (
	OpBackUp  Operation = "back-up" // BackUpRequest -> Done; wants the lock
	OpRunNow  Operation = "run-now" // RunNowRequest -> BackupStatus; takes no lock
	OpBackups Operation = "backups" // BackupsRequest -> Backups; only reads

	OpSendBackup Operation = "send-backup" // SendBackupRequest -> Sent, with content; only reads
)

// Backup configures the backups of a cluster. Every member has the same configuration; one of them does each run.
type Backup struct {
	Digest     string     `json:"digest"`               // of the whole configuration: it changes with any change of it
	Schedule   string     `json:"schedule"`             // as systemd's OnCalendar
	Directory  string     `json:"directory,omitempty"`  // on the hosts, absolute; empty: none
	S3         *S3        `json:"s3,omitempty"`         // Key is the prefix of all objects; nil: none
	Recipients []string   `json:"recipients,omitempty"` // age; empty: backups are not encrypted
	Keep       Keep       `json:"keep"`
	Rehearsal  *Rehearsal `json:"rehearsal,omitempty"` // nil: none
	// MetricsDir is for node_exporter's textfile collector; empty: beside the state.
	MetricsDir string `json:"metrics_dir,omitempty"`
}

// Writable returns the directories, beside its state, that a run writes to.
func (b Backup) Writable() (dirs []string) {
	for _, dir := range []string{b.Directory, b.MetricsDir} {
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Rehearsals returns the schedule of rehearsals, or "".
func (b Backup) Rehearsals() string {
	if b.Rehearsal == nil {
		return ""
	}
	return b.Rehearsal.Schedule
}

// Keep says which backups stay: the union of its rules, and at least Verified proved ones. A zero field keeps nothing.
type Keep struct {
	Last int `json:"last,omitempty"` // this many of the newest
	// Within keeps backups that are not older than this, counting only time in which backups are made. Nanoseconds.
	Within time.Duration `json:"within,omitempty"`
	Hourly int           `json:"hourly,omitempty"` // the newest of each of this many hours (UTC) that have one
	Daily  int           `json:"daily,omitempty"`  // of days
	Weekly int           `json:"weekly,omitempty"` // of weeks, which begin on Monday

	// Verified is how many backups that a rehearsal has proved stay, whatever the rules say. While none is proved at
	// any destination, every backup may be the only good one, and only those that a rehearsal has shown to be bad are
	// removed. 0 is for clusters without rehearsals.
	Verified int `json:"verified,omitempty"`
}

// Rehearsal configures how backups are proved.
type Rehearsal struct {
	Schedule string `json:"schedule"` // as systemd's OnCalendar
	// Identity has age identities for encrypted backups; empty: only their checksums are verified.
	Identity secret.Text   `json:"identity,omitzero"`
	MaxAge   time.Duration `json:"max_age"` // nanoseconds; an older successful rehearsal is stale
}

// BackUpRequest enables backups on the host or, with a nil Backup, disables them. Files and units that are right
// already stay as they are.
type BackUpRequest struct {
	Owner  string  `json:"owner"` // must be the marker's
	Backup *Backup `json:"backup"`
}

// RunNowRequest starts a backup or a rehearsal on this host and waits for its end. It fails if the run fails.
type RunNowRequest struct {
	Owner     string        `json:"owner"`
	Rehearsal bool          `json:"rehearsal"`
	Timeout   time.Duration `json:"timeout"` // nanoseconds
}

// BackupStatus is what a host knows about its cluster's backups.
type BackupStatus struct {
	Digest  string `json:"digest"`          // of the current Backup; empty: none
	Units   string `json:"units,omitempty"` // digest of its units (systemd.Digest); empty: not known (older store)
	Enabled bool   `json:"enabled"`         // its timers are enabled and running
	// NeedReload tells that the file of one of its units has changed since systemd read it.
	NeedReload bool `json:"need_reload,omitempty"`
	Last       *Run `json:"last"`      // the last backup made by this host; nil: none
	Rehearsed  *Run `json:"rehearsed"` // the last rehearsal on this host; nil: none

	// These reveal a missed backup that no run has reported, because none started, or it was killed.
	// Newest is the end of the newest successful backup of any member that the host knows of; zero: none.
	Newest time.Time `json:"newest,omitzero"`
	// Every is the longest time between two future runs in the schedule, in nanoseconds; 0: not known.
	Every time.Duration `json:"every,omitempty"`
	Since time.Time     `json:"since,omitzero"` // since when the host uses this schedule
	// Proved is the end of the newest successful rehearsal of any member that the host knows of; zero: none.
	Proved     time.Time `json:"proved,omitzero"`
	Rehearsing time.Time `json:"rehearsing,omitzero"` // since when it rehearses by this schedule; zero: it does not
}

// Run is the result of a backup or a rehearsal.
type Run struct {
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Error    string    `json:"error,omitempty"` // empty: it succeeded
	Backup   string    `json:"backup"`          // name of the backup made or rehearsed; empty: there is none yet
	Revision int64     `json:"revision"`        // of the backup
	// ChecksumsOnly means that a rehearsal had no identity for an encrypted backup: it is what was stored, and whether
	// it restores is not known.
	ChecksumsOnly bool `json:"checksums_only,omitempty"`
	// For a rehearsal: what a restore of this backup would lose, as of the rehearsal's begin.
	BehindRevisions int64         `json:"behind_revisions,omitempty"`
	BehindTime      time.Duration `json:"behind_time,omitempty"` // nanoseconds, since the backup was taken
}

// BackupsRequest lists the backups at all destinations that this host reaches.
type BackupsRequest struct{}

// Backups are the backups of a cluster, newest first.
type Backups struct {
	Backups  []StoredBackup `json:"backups"`
	Problems []string       `json:"problems"` // destinations and backups that could not be read
}

// StoredBackup is one backup at one destination.
type StoredBackup struct {
	Name        string    `json:"name"`
	Destination string    `json:"destination"` // "directory" or "s3"
	TakenAt     time.Time `json:"taken_at"`
	Revision    int64     `json:"revision"`
	Keys        int       `json:"keys"`
	Hash        uint32    `json:"hash"`
	SHA256      string    `json:"sha256"`       // of the unencrypted snapshot
	SizeBytes   int64     `json:"size_bytes"`   // of the snapshot in the clear
	StoredBytes int64     `json:"stored_bytes"` // as it is stored
	EtcdVersion string    `json:"etcd_version"`
	ClusterID   string    `json:"cluster_id"`
	Member      string    `json:"member"`
	Encrypted   bool      `json:"encrypted"`
	// Foreign: another cluster of this name made it. It is never removed, and never the latest.
	Foreign    bool      `json:"foreign,omitempty"`
	VerifiedAt time.Time `json:"verified_at,omitzero"` // when a rehearsal proved it; zero: none did
}

// Taken returns what orders backups by age.
func (b StoredBackup) Taken() Taken {
	return Taken{ClusterID: b.ClusterID, Revision: b.Revision, At: b.TakenAt, Name: b.Name}
}

// SendBackupRequest sends a backup as it is stored at a destination of the host, encrypted if it is.
type SendBackupRequest struct {
	Name string `json:"name"`
	From int64  `json:"from,omitempty"` // the first byte that the caller does not have; an older store sends all
}

// Sent says from which byte on a backup was sent.
type Sent struct {
	From int64 `json:"from"`
}
