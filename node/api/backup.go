package api

import (
	"path"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// BackupFile says what a host backs its cluster up by: a Backup as JSON, with its secrets, readable by root alone.
func BackupFile(cluster string) string { return path.Join(ConfigDir(cluster), "backup.json") }

// BackupStateDir holds what the last runs of backup and rehearsal on this host came to, and where a rehearsal works.
func BackupStateDir(dataDir string) string { return dataDir + ".backup" }

// Units of a cluster's backups and rehearsals: a service and the timer that starts it.
func BackupUnit(cluster string) string    { return "etcd-backup@" + cluster }
func RehearsalUnit(cluster string) string { return "etcd-rehearsal@" + cluster }

// ReachUnit is the service that begins before each run which writes to directories.
func ReachUnit(cluster string) string { return "etcd-reach@" + cluster + ".service" }

// Operations of backups.
const (
	OpBackUp  Operation = "back-up" // BackUpRequest -> Done; wants the lock
	OpRunNow  Operation = "run-now" // RunNowRequest -> BackupStatus; takes no lock
	OpBackups Operation = "backups" // BackupsRequest -> Backups; only reads

	OpSendBackup Operation = "send-backup" // SendBackupRequest -> Done, with content; only reads
)

// Backup is what a host backs its cluster up by. Every member has the same; one of them does each run.
type Backup struct {
	Digest     string     `json:"digest"`               // of all that the provider has put in it: another one is a change
	Schedule   string     `json:"schedule"`             // when, as systemd's OnCalendar
	Directory  string     `json:"directory,omitempty"`  // on the hosts, absolute; empty: none
	S3         *S3        `json:"s3,omitempty"`         // Key is the prefix of all; nil: none
	Recipients []string   `json:"recipients,omitempty"` // age; empty: backups are stored in the clear
	Keep       Keep       `json:"keep"`
	Rehearsal  *Rehearsal `json:"rehearsal,omitempty"`   // nil: none
	MetricsDir string     `json:"metrics_dir,omitempty"` // for node_exporter's textfile collector; empty: beside the state
}

// Writable are the directories besides its state that a run writes to.
func (b Backup) Writable() (dirs []string) {
	for _, dir := range []string{b.Directory, b.MetricsDir} {
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Rehearsals is the schedule of rehearsals; empty: there are none.
func (b Backup) Rehearsals() string {
	if b.Rehearsal == nil {
		return ""
	}
	return b.Rehearsal.Schedule
}

// Keep is which backups stay: the union of all that it says, and never fewer than Verified that a rehearsal has
// proved. Zero: that field keeps nothing.
type Keep struct {
	Last   int           `json:"last,omitempty"`   // so many of the newest
	Within time.Duration `json:"within,omitempty"` // nanoseconds; those that are not older, counted over the time in which backups are made
	Hourly int           `json:"hourly,omitempty"` // the newest of each of so many hours (UTC) that have one
	Daily  int           `json:"daily,omitempty"`  // of days
	Weekly int           `json:"weekly,omitempty"` // of weeks, which begin on Monday

	// Verified is how many backups stay that a rehearsal has proved, whatever the rules say. While none is proved at any
	// destination, every backup may be the only good one, and nothing goes but what a rehearsal has shown to be bad.
	// 0 is for those who do not rehearse.
	Verified int `json:"verified,omitempty"`
}

// Rehearsal is how backups are proved.
type Rehearsal struct {
	Schedule string        `json:"schedule"`          // as systemd's OnCalendar
	Identity secret.Text   `json:"identity,omitzero"` // age identities, for backups that are encrypted; empty: they cannot be read, and only their checksums are proved
	MaxAge   time.Duration `json:"max_age"`           // nanoseconds; a successful one that is older is stale
}

// BackUpRequest has the host back its cluster up, or, with nil, cease to. Files and units that are as they are to be are left alone.
type BackUpRequest struct {
	Owner  string  `json:"owner"` // must be the marker's
	Backup *Backup `json:"backup"`
}

// RunNowRequest starts a run of the backup or a rehearsal on this host, and waits for its end. It fails where the run has.
type RunNowRequest struct {
	Owner     string        `json:"owner"`
	Rehearsal bool          `json:"rehearsal"`
	Timeout   time.Duration `json:"timeout"` // nanoseconds
}

// BackupStatus is what a host knows of its cluster's backups.
type BackupStatus struct {
	Digest    string `json:"digest"`          // of the Backup that is in place; empty: none
	Units     string `json:"units,omitempty"` // stands for the texts of its units (systemd.Digest); empty: not known, as of a store that did not tell yet
	Enabled   bool   `json:"enabled"`         // its timers are, and run
	Last      *Run   `json:"last"`            // the last run of a backup that this host has done itself; nil: none
	Rehearsed *Run   `json:"rehearsed"`       // the last rehearsal that it has done itself; nil: none

	// By these a backup is missed that no run has told of, since none has started, or it was killed.
	Newest time.Time     `json:"newest,omitzero"` // when the newest run of a backup ended that succeeded, of whichever member, as far as the host knows; zero: it knows of none
	Every  time.Duration `json:"every,omitempty"` // nanoseconds; the longest time between two runs that the schedule has in the time to come; 0: not known
	Since  time.Time     `json:"since,omitzero"`  // since when the host has gone by this schedule
}

// Run is what a run of a backup or a rehearsal came to.
type Run struct {
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Error    string    `json:"error,omitempty"` // empty: it succeeded
	Backup   string    `json:"backup"`          // name of the backup that was made, or rehearsed; empty: it did not come so far
	Revision int64     `json:"revision"`        // that the backup holds
	// ChecksumsOnly is true of a rehearsal of a backup that is encrypted, where there was no identity to read it by: it
	// is what was stored, and whether it restores is not known.
	ChecksumsOnly bool `json:"checksums_only,omitempty"`
	// Of a rehearsal: what a restore of this backup would lose, counted when the rehearsal began.
	BehindRevisions int64         `json:"behind_revisions,omitempty"`
	BehindTime      time.Duration `json:"behind_time,omitempty"` // nanoseconds, since the backup was taken
}

// BackupsRequest lists the backups at all destinations that this host reaches.
type BackupsRequest struct{}

// Backups are the backups of a cluster, the newest first.
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
	SHA256      string    `json:"sha256"`       // of the snapshot in the clear
	SizeBytes   int64     `json:"size_bytes"`   // of the snapshot in the clear
	StoredBytes int64     `json:"stored_bytes"` // as it is stored
	EtcdVersion string    `json:"etcd_version"`
	ClusterID   string    `json:"cluster_id"`
	Member      string    `json:"member"`
	Encrypted   bool      `json:"encrypted"`
	Foreign     bool      `json:"foreign,omitempty"`    // another cluster of this name has made it: it is never let go of, and never the latest
	VerifiedAt  time.Time `json:"verified_at,omitzero"` // when a rehearsal has proved it; zero: none has
}

// Taken is what tells it from an older one.
func (b StoredBackup) Taken() Taken {
	return Taken{ClusterID: b.ClusterID, Revision: b.Revision, At: b.TakenAt, Name: b.Name}
}

// SendBackupRequest sends a backup as it is stored at a destination of the host: encrypted, where it is.
type SendBackupRequest struct {
	Name string `json:"name"`
}
