package api

import (
	"path"
	"regexp"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// RestoreFile holds the Restoration under way on a host. While it exists, members start only in the stages that allow
// it.
func RestoreFile(cluster string) string { return path.Join(ConfigDir(cluster), "restore.json") }

// Stage says how far a host has come in a restore.
type Stage string

// Stages of a restore, in order. Up to StageChecked the restore can be undone.
const (
	StageFenced Stage = "fenced" // the previous member is stopped, and must not start again
	// StageRestored: the data directory holds the snapshot. Its member may run, with its client port only on loopback.
	StageRestored Stage = "restored"
	// StageChecked: all members have agreed on cluster ID, hash and keys, and must do so again after a restart.
	StageChecked Stage = "checked"
	// StageOpened: clients may have read from it or written to it. The restore can no longer be undone.
	StageOpened Stage = "opened"
)

// Restoration is a host's record of a restore under way.
type Restoration struct {
	Source   string    `json:"source"`   // what is restored, as the provider names it
	Snapshot string    `json:"snapshot"` // SHA-256 of the unencrypted snapshot
	Stage    Stage     `json:"stage"`
	Began    time.Time `json:"began"` // by the clock of the host

	// What was there before: tells which revisions clients may have seen, and how to undo the restore.
	ClusterID string `json:"cluster_id,omitempty"` // hexadecimal; empty: the host carried no member
	// Revision is the highest revision that this member may have served; 0: it had no readable data.
	Revision int64    `json:"revision,omitempty"`
	Marker   *Marker  `json:"marker,omitempty"` // nil: there was none
	Flags    []string `json:"flags,omitempty"`
	Enabled  bool     `json:"enabled,omitempty"`
	Aside    string   `json:"aside,omitempty"` // where its data is now; empty: it had none, or it was not moved

	// From StageRestored on.
	Token string `json:"token,omitempty"` // etcd's initial-cluster-token of the restored cluster
	Bump  int64  `json:"bump,omitempty"`  // how much its revisions were raised
}

// FetchRequest fetches a snapshot to the host, decrypts it if it is encrypted, and verifies it: its size and SHA-256
// if they are known, its trailing SHA-256, all of its keys, that this minor version of etcd can start from it, and
// that the host has the space to restore it. It stops nothing. A snapshot that was fetched before is verified again,
// and not fetched anew. An unverified file never has its name.
type FetchRequest struct {
	Owner   string `json:"owner"`    // must be the marker's, if there is one; tells which backups are ours
	DataDir string `json:"data_dir"` // absolute
	Source  Source `json:"source"`
	SHA256  string `json:"sha256"` // of the unencrypted snapshot; empty: not known before it is fetched
	// From says that the content starts after this many bytes, which the host has already (see ArrivedRequest).
	From         int64  `json:"from,omitempty"`
	MinorVersion string `json:"line"` // of the etcd that starts from it: 3.7; the JSON name is older
	// Identity has age identities, one per line; empty: none. They are never stored, and never part of an error.
	Identity secret.Text `json:"identity,omitzero"`
}

// Source says where a snapshot comes from. Exactly one field is set; In goes with Backup.
type Source struct {
	Upload *Upload `json:"upload,omitempty"` // the call's own stdin, after the request
	S3     *S3     `json:"s3,omitempty"`     // Key names the object
	Path   string  `json:"path,omitempty"`   // a file on the host, absolute
	Backup string  `json:"backup,omitempty"` // name of a backup with its manifest, or LatestBackup
	// In is where Backup is, Key being the prefix of all objects; nil: at a destination of this host.
	In *S3 `json:"in,omitempty"`
}

// LatestBackup stands for the name of the newest backup, in the order of SortNewestFirst.
const LatestBackup = "latest"

// Upload describes content that follows a request on stdin. It may be encrypted.
type Upload struct {
	SizeBytes int64  `json:"size_bytes"`
	SHA256    string `json:"sha256"`
}

// S3 is S3-compatible storage, and an object or a prefix in it.
type S3 struct {
	Endpoint        string      `json:"endpoint"` // https://HOST[:PORT], or http:// in a trusted network
	Region          string      `json:"region,omitempty"`
	Bucket          string      `json:"bucket"`
	Key             string      `json:"key,omitempty"` // of an object, or the prefix of backups
	PathStyle       bool        `json:"path_style,omitempty"`
	CA              string      `json:"ca,omitempty"`               // PEM bundle; empty: the host's own
	AccessKeyID     string      `json:"access_key_id,omitempty"`    // empty: the host's own role
	SecretAccessKey secret.Text `json:"secret_access_key,omitzero"` // never part of an error
}

// ArrivedRequest asks how much of an interrupted upload is on the host. A store that does not know this call keeps
// nothing of one.
type ArrivedRequest struct {
	DataDir string `json:"data_dir"` // absolute
	SHA256  string `json:"sha256"`   // of the upload
}

// Arrived says how much of an upload is on the host.
type Arrived struct {
	Bytes int64 `json:"bytes"`
}

// FetchedSnapshot is the path of a fetched snapshot.
func FetchedSnapshot(dataDir, sha256 string) string {
	return path.Join(SnapshotDir(dataDir), "restore-"+sha256+".db")
}

// FenceRequest stops the member on the host, disables its unit, and has the guard let no member start until the host
// is restored. It records in Restoration what was there before. A host without a marker has nothing to fence.
type FenceRequest struct {
	Owner    string `json:"owner"` // must be the marker's
	Source   string `json:"source"`
	Snapshot string `json:"snapshot"` // SHA-256; that of the restore under way, if there is one
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
	Aside     string `json:"aside"` // where the previous data is; empty: there was none
}

// AdvanceRequest records that a host has reached StageChecked or StageOpened. An empty stage ends the restore: its
// record and the fetched snapshot are removed, and its member is one like any other.
type AdvanceRequest struct {
	Owner string `json:"owner"`
	Stage Stage  `json:"stage"`
}

// RollBackRequest undoes a restore on the host: it stops the restored member, moves its data aside, and restores the
// old data, marker, flags and unit state. It starts nothing. From StageOpened on it is refused.
type RollBackRequest struct {
	Owner string `json:"owner"`
}

// SaveRequest saves a snapshot of the local member, a voter that has caught up, and sends it to the caller as content.
// The snapshot is first written to a temporary file on the host, so that the member is read as fast as its disk
// allows, however slow the connection is. It is verified like that of a SnapshotRequest, while it is sent. With S3 it
// is uploaded to the object named by Key once it is verified, instead of being sent. It takes no lock.
//
// With an ID, which its caller has drawn, the host keeps the snapshot for some minutes if the caller is cut off. With
// From, the call sends the rest of that very snapshot, from this byte on, and takes no other.
type SaveRequest struct {
	Owner string `json:"owner"`
	S3    *S3    `json:"s3,omitempty"`
	ID    string `json:"id,omitempty"`
	From  int64  `json:"from,omitempty"`
}

// saveID matches the IDs of runs, which name what is sent to them.
var saveID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// SnapshotGone is why the rest of a snapshot is not sent.
const SnapshotGone = "the host does not have the snapshot any more of which the rest is asked for: it keeps one for five minutes, not across a restart of the host, and not where a change of the cluster needs its space; apply again to have another one taken"

// Check refuses a request that contradicts itself.
func (r SaveRequest) Check() error {
	switch {
	case r.ID == "" && r.From == 0:
		return nil
	case !saveID.MatchString(r.ID):
		return Refuse("%q is no ID of a snapshot that is sent", r.ID)
	case r.S3 != nil:
		return Refuse("a snapshot that is uploaded to S3 is not sent to the caller, and has no ID")
	case r.From < 0:
		return Refuse("a snapshot cannot be sent from byte %d on", r.From)
	}
	return nil
}

// Saved is a verified snapshot that the host has sent.
type Saved struct {
	Snapshot // Path is empty
	// Hash is the HashKV of the running member up to Revision, if nothing was written meanwhile; else 0.
	Hash      uint32    `json:"hash"`
	ClusterID string    `json:"cluster_id"`
	MemberID  string    `json:"member_id"`
	Etcd      string    `json:"etcd"` // version of the etcd that it was taken from: 3.7.3
	TakenAt   time.Time `json:"taken_at"`
}
