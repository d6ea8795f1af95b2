// Package backup keeps backups of a cluster at a destination, lists, fetches and restores them, and decides which of
// them may be removed. It knows neither etcd nor hosts: the caller provides a snapshot as a stream with its
// description, and gets it back as a stream.
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

// manifestVersion is the version of written manifests. Readers refuse newer ones, since they cannot know what they
// mean.
const manifestVersion = 1

// Snapshot describes a snapshot.
type Snapshot struct {
	Cluster         string    `json:"cluster"`
	ClusterID       string    `json:"cluster_id"`       // hexadecimal
	Owner           string    `json:"owner,omitempty"`  // as Owner returns it; empty: an old manifest
	Member          string    `json:"member"`           // the member that it was taken from
	TakenAt         time.Time `json:"taken_at"`         // UTC, whole seconds
	Revision        int64     `json:"revision"`         // the newest revision in it
	CompactRevision int64     `json:"compact_revision"` // the newest compacted revision in it
	Keys            int       `json:"keys"`
	Hash            uint32    `json:"hash"`         // etcd's HashKV up to Revision
	EtcdVersion     string    `json:"etcd_version"` // of the member
	// StorageVersion is the minor version of the oldest etcd that starts from it: 3.7; empty: not known.
	StorageVersion string `json:"storage_version"`
	SizeBytes      int64  `json:"size_bytes"`
	SHA256         string `json:"sha256"` // hexadecimal
}

// Manifest is written beside a backup, after it: without a manifest there is no backup.
type Manifest struct {
	Version int    `json:"version"`
	Name    string `json:"name"` // unique at a destination, for one cluster
	Snapshot
	EncryptedTo     []string `json:"encrypted_to,omitempty"` // age recipients, public; empty: not encrypted
	StoredSizeBytes int64    `json:"stored_size_bytes"`
	StoredSHA256    string   `json:"stored_sha256"` // hexadecimal, of what lies at the destination
}

// Suffixes of the names of a backup's objects.
const (
	clearSuffix     = ".db"
	encryptedSuffix = ".db.age"
	manifestSuffix  = ".json"
	rehearsalSuffix = ".rehearsal"
)

// stamp is the format of times in names: alphabetical order is chronological order.
const stamp = "20060102T150405Z"

var (
	memberName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	backupName = regexp.MustCompile(`^\d{8}T\d{6}Z-r(\d+)-[a-z0-9-]+$`)
	sha256Hex  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// nameOf returns the name of a snapshot's backup. The member makes it unique, since each takes one at a time.
func nameOf(s Snapshot) string {
	return fmt.Sprintf("%s-r%d-%s", s.TakenAt.UTC().Format(stamp), s.Revision, s.Member)
}

// revisionIn returns the revision in the name of a backup, or 0.
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

// Key returns the key of the snapshot at its destination.
func (m Manifest) Key() string {
	if m.Encrypted() {
		return m.key(encryptedSuffix)
	}
	return m.key(clearSuffix)
}

// key returns the key of one of the backup's objects.
func (m Manifest) key(suffix string) string { return path.Join(m.Cluster, m.Name+suffix) }

// String names a backup in messages.
func (m Manifest) String() string { return path.Join(m.Cluster, m.Name) }

// check refuses a snapshot that cannot be stored under a name.
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

// parseManifest parses the manifest at a key. Its name has to match the key, so that a copied manifest is not taken
// for another backup.
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

// IsObject tells whether a file of this name is part of a backup.
func IsObject(base string) bool {
	_, ok := nameAt(base)
	return ok
}

// nameAt returns the name of the backup that an object belongs to; false if it belongs to none.
func nameAt(key string) (name string, ok bool) {
	base := path.Base(key)
	for _, suffix := range []string{encryptedSuffix, clearSuffix, manifestSuffix, rehearsalSuffix} {
		if name, ok := strings.CutSuffix(base, suffix); ok && backupName.MatchString(name) {
			return name, true
		}
	}
	return "", false
}
