// Package backup keeps backups of a cluster at a destination, finds them there, brings them back, and says
// which of them may go. It knows no etcd and no host: whoever takes a snapshot hands it in as a stream with
// what is known of it, and whoever restores one gets it back as a stream.
package backup

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// manifestVersion is what manifests are written as. A reader refuses a newer one: it cannot know what has
// come to matter since.
const manifestVersion = 1

// Snapshot is what whoever took a snapshot knows of it.
type Snapshot struct {
	Cluster         string    `json:"cluster"`
	ClusterID       string    `json:"cluster_id"`       // hexadecimal
	Owner           string    `json:"owner,omitempty"`  // as Owner has it; empty: of a manifest from before there were owners
	Member          string    `json:"member"`           // that it was taken of
	TakenAt         time.Time `json:"taken_at"`         // UTC, whole seconds
	Revision        int64     `json:"revision"`         // the newest in it
	CompactRevision int64     `json:"compact_revision"` // the newest that is compacted in it
	Keys            int       `json:"keys"`
	Hash            uint32    `json:"hash"`            // etcd's HashKV up to Revision
	EtcdVersion     string    `json:"etcd_version"`    // of the member
	StorageVersion  string    `json:"storage_version"` // line of the oldest etcd that starts from it: 3.7; empty: it does not say
	SizeBytes       int64     `json:"size_bytes"`
	SHA256          string    `json:"sha256"` // hexadecimal
}

// Manifest is written beside a backup, after it: what has no manifest is no backup.
type Manifest struct {
	Version int    `json:"version"`
	Name    string `json:"name"` // unique at a destination, for one cluster
	Snapshot
	EncryptedTo     []string `json:"encrypted_to,omitempty"` // age recipients, public; empty: in the clear
	StoredSizeBytes int64    `json:"stored_size_bytes"`
	StoredSHA256    string   `json:"stored_sha256"` // hexadecimal, of what lies at the destination
}

// Endings of the names of a backup's objects.
const (
	clearSuffix     = ".db"
	encryptedSuffix = ".db.age"
	manifestSuffix  = ".json"
	rehearsalSuffix = ".rehearsal"
)

// stamp is how a time is spelled in a name: names in order of the alphabet are in order of time.
const stamp = "20060102T150405Z"

var (
	memberName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	backupName = regexp.MustCompile(`^\d{8}T\d{6}Z-r(\d+)-[a-z0-9-]+$`)
	sha256Hex  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// nameOf is what a backup of a snapshot is called. The member makes it unique: it takes one at a time.
func nameOf(s Snapshot) string {
	return fmt.Sprintf("%s-r%d-%s", s.TakenAt.UTC().Format(stamp), s.Revision, s.Member)
}

// revisionIn is the revision in the name of a backup; 0: there is none.
func revisionIn(name string) int64 {
	found := backupName.FindStringSubmatch(name)
	if found == nil {
		return 0
	}
	revision, _ := strconv.ParseInt(found[1], 10, 64)
	return revision
}

// Encrypted tells whether an identity is needed to read the backup.
func (m Manifest) Encrypted() bool { return len(m.EncryptedTo) > 0 }

// Key is where the snapshot lies at its destination.
func (m Manifest) Key() string {
	if m.Encrypted() {
		return m.key(encryptedSuffix)
	}
	return m.key(clearSuffix)
}

// key is where one of the backup's objects lies.
func (m Manifest) key(suffix string) string { return path.Join(m.Cluster, m.Name+suffix) }

// String names a backup in messages.
func (m Manifest) String() string { return path.Join(m.Cluster, m.Name) }

// check refuses what cannot be kept under a name.
func (s Snapshot) check() error {
	switch {
	case !api.ClusterName.MatchString(s.Cluster):
		return fmt.Errorf("%q is no name of a cluster", s.Cluster)
	case !memberName.MatchString(s.Member):
		return fmt.Errorf("%q is no name of a member", s.Member)
	case s.TakenAt.IsZero():
		return fmt.Errorf("it does not say when it was taken")
	case s.Revision < 1:
		return fmt.Errorf("%d is no revision", s.Revision)
	case s.SizeBytes < 1:
		return fmt.Errorf("it is empty")
	case !sha256Hex.MatchString(s.SHA256):
		return fmt.Errorf("%q is no SHA-256", s.SHA256)
	}
	return nil
}

// parseManifest reads the manifest that lies at a key. Its name has to be that of the key, so that a
// manifest which was copied elsewhere is not taken for another backup.
func parseManifest(key string, text []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, fmt.Errorf("it is no manifest: %w", err)
	}
	if m.Version > manifestVersion {
		return Manifest{}, fmt.Errorf("it is of version %d, and versions up to %d are understood: use a newer provider", m.Version, manifestVersion)
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	if !backupName.MatchString(m.Name) || m.key(manifestSuffix) != key {
		return Manifest{}, fmt.Errorf("it calls itself %s, and lies at %s", m, key)
	}
	if m.StoredSizeBytes < 1 || !sha256Hex.MatchString(m.StoredSHA256) {
		return Manifest{}, fmt.Errorf("it does not say what is stored")
	}
	return m, nil
}

// IsObject tells whether a file that is called so is a part of a backup.
func IsObject(base string) bool {
	_, ok := nameAt(base)
	return ok
}

// nameAt is the name of the backup that an object belongs to. False: it is no part of one.
func nameAt(key string) (name string, ok bool) {
	base := path.Base(key)
	for _, suffix := range []string{encryptedSuffix, clearSuffix, manifestSuffix, rehearsalSuffix} {
		if name, ok := strings.CutSuffix(base, suffix); ok && backupName.MatchString(name) {
			return name, true
		}
	}
	return "", false
}
