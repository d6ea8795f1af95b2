package api

import (
	"path"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// RestoreFile holds the Restoration that is under way on a host. While it is there, no member of the host is
// started but in the stages that say so.
func RestoreFile(cluster string) string { return path.Join(ConfigDir(cluster), "restore.json") }

// Stage is how far a host has come in a restore.
type Stage string

// Stages of a restore, in their order. Up to StageChecked it can be taken back.
const (
	StageFenced   Stage = "fenced"   // the member that was there is stopped, and must not start again
	StageRestored Stage = "restored" // the data directory holds the snapshot; its member may run, with its client port on loopback alone
	StageChecked  Stage = "checked"  // all members have agreed on cluster ID, hash and keys, and have yet to do so again once restarted
	StageOpened   Stage = "opened"   // clients may have read from it or written to it: there is no way back
)

// Restoration is a restore that is under way, as its host records it.
type Restoration struct {
	Source   string    `json:"source"`   // what is restored, as the provider names it
	Snapshot string    `json:"snapshot"` // SHA-256 of the snapshot in the clear
	Stage    Stage     `json:"stage"`
	Began    time.Time `json:"began"` // by the clock of the host

	// What was there before: to know which revisions clients may have seen, and to take the restore back.
	ClusterID string   `json:"cluster_id,omitempty"` // hexadecimal; empty: the host carried no member
	Revision  int64    `json:"revision,omitempty"`   // no revision that this member has ever served is higher; 0: it had no data that could be read
	Marker    *Marker  `json:"marker,omitempty"`     // nil: there was none
	Flags     []string `json:"flags,omitempty"`
	Enabled   bool     `json:"enabled,omitempty"`
	Aside     string   `json:"aside,omitempty"` // where its data lies now; empty: it had none, or it is where it was

	// From StageRestored on.
	Token string `json:"token,omitempty"` // etcd's initial-cluster-token of the restored cluster
	Bump  int64  `json:"bump,omitempty"`  // by which its revisions were raised
}

// FetchRequest brings a snapshot onto the host, decrypts it where it is encrypted, and verifies it: its
// size and SHA-256 where they are known, the SHA-256 that it ends in, a read of all of its keys, that etcd of
// this line can start from it, and that the host has the space to restore it. It stops nothing. A snapshot that
// was fetched before is kept, verified again, and not fetched anew. What is not verified never bears its name.
type FetchRequest struct {
	Owner    string      `json:"owner"`    // must be the marker's, where there is a marker; whose backups are ours
	DataDir  string      `json:"data_dir"` // absolute
	Source   Source      `json:"source"`
	SHA256   string      `json:"sha256"`            // of the snapshot in the clear; empty: not known before it is here
	From     int64       `json:"from,omitempty"`    // so many bytes of the upload are on the host, as an ArrivedRequest says: what follows begins behind them
	Line     string      `json:"line"`              // of etcd that is to start from it: 3.7
	Identity secret.Text `json:"identity,omitzero"` // age identities, one a line; empty: none. Never stored, and never part of an error
}

// Source is where a snapshot comes from. Exactly one field is set; In goes with Backup.
type Source struct {
	Upload *Upload `json:"upload,omitempty"` // the call's own stdin, after the request
	S3     *S3     `json:"s3,omitempty"`     // Key names the object
	Path   string  `json:"path,omitempty"`   // a file on the host, absolute
	Backup string  `json:"backup,omitempty"` // name of a backup with its manifest, or LatestBackup
	In     *S3     `json:"in,omitempty"`     // where that lies, Key the prefix of all; nil: at a destination of this host
}

// LatestBackup stands for the name of the newest backup, as SortNewestFirst has it.
const LatestBackup = "latest"

// Upload is content that follows a request on stdin. It may be encrypted.
type Upload struct {
	SizeBytes int64  `json:"size_bytes"`
	SHA256    string `json:"sha256"`
}

// S3 is S3-compatible storage, and an object or a prefix in it.
type S3 struct {
	Endpoint        string      `json:"endpoint"` // https://HOST[:PORT], or http:// for a network that is trusted
	Region          string      `json:"region,omitempty"`
	Bucket          string      `json:"bucket"`
	Key             string      `json:"key,omitempty"` // of an object; of backups: the prefix that theirs begin with
	PathStyle       bool        `json:"path_style,omitempty"`
	CA              string      `json:"ca,omitempty"`               // PEM bundle; empty: the host's own
	AccessKeyID     string      `json:"access_key_id,omitempty"`    // empty: the role of the host itself
	SecretAccessKey secret.Text `json:"secret_access_key,omitzero"` // never part of an error
}

// ArrivedRequest asks how much of an upload has come with a call that was cut short. A store that does not know it keeps
// nothing of one.
type ArrivedRequest struct {
	DataDir string `json:"data_dir"` // absolute
	SHA256  string `json:"sha256"`   // of the upload
}

// Arrived is how much of an upload is on the host.
type Arrived struct {
	Bytes int64 `json:"bytes"`
}

// FetchedSnapshot is where a fetched snapshot lies.
func FetchedSnapshot(dataDir, sha256 string) string {
	return path.Join(SnapshotDir(dataDir), "restore-"+sha256+".db")
}

// FenceRequest stops the member on the host, disables its unit, and has the guard let no member start
// until the host was restored. It records what Restoration says of what was there before. A host without a
// marker has nothing to fence.
type FenceRequest struct {
	Owner    string `json:"owner"` // must be the marker's
	Source   string `json:"source"`
	Snapshot string `json:"snapshot"` // SHA-256; that of a restore under way, if there is one
}

// RestoreRequest moves what data there is aside and makes a data directory from the fetched snapshot, for one
// member of a new cluster: revisions raised by Bump, and all up to there marked as compacted. Marker names the
// member, its new token and its new members; the cluster and member IDs that come of these are filled in. It
// starts nothing. It may be repeated with the same token.
type RestoreRequest struct {
	Marker   Marker `json:"marker"`
	Source   string `json:"source"`
	Snapshot string `json:"snapshot"` // SHA-256 of a fetched snapshot
	PeerURL  string `json:"peer_url"`
	Bump     int64  `json:"bump"`
}

// Restored is a member of the restored cluster that has not run yet.
type Restored struct {
	ClusterID string `json:"cluster_id"`
	MemberID  string `json:"member_id"`
	Aside     string `json:"aside"` // where the data lies that was there before; empty: there was none
}

// AdvanceRequest records that a host has come to a later stage: StageChecked or StageOpened. Empty: the restore
// is over, its record and the fetched snapshot go, and its member is one like any other.
type AdvanceRequest struct {
	Owner string `json:"owner"`
	Stage Stage  `json:"stage"`
}

// TakeBackRequest makes the host what it was before the restore: the restored member is stopped and its data
// moved aside, and the old data, marker, flags and unit state are put back. It starts nothing. From StageOpened on
// it is refused.
type TakeBackRequest struct {
	Owner string `json:"owner"`
}

// SaveRequest saves a snapshot of the local member, a voter that has caught up, and sends it to the caller, as the content that
// follows lines of the answer. It lies in a file of the host first, which goes with the call, so that the member is read as fast as
// its disk is, and no slower than the line to the caller. It is verified like that of a SnapshotRequest, while it is sent. With S3 it is not sent, but uploaded to the object that Key names once it is verified. It takes no lock.
type SaveRequest struct {
	Owner string `json:"owner"`
	S3    *S3    `json:"s3,omitempty"`
}

// Saved is a verified snapshot that the host has sent.
type Saved struct {
	Snapshot            // Path is empty
	Hash      uint32    `json:"hash"` // of the key space up to Revision, as HashKV has it: of the live member, where nothing was written in between; else 0
	ClusterID string    `json:"cluster_id"`
	MemberID  string    `json:"member_id"`
	Etcd      string    `json:"etcd"` // version of etcd that it was taken from: 3.7.3
	TakenAt   time.Time `json:"taken_at"`
}
