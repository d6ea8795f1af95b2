package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// noon is the time of the first snapshot of tests.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// snapshotOf returns the description of a text that stands for a snapshot.
func snapshotOf(text []byte, revision int64) Snapshot {
	sum := sha256.Sum256(text)
	return Snapshot{
		Cluster: "main", ClusterID: "cdf818194e3a8c32", Member: "a", TakenAt: noon.Add(time.Duration(revision) * time.Hour),
		Revision: revision, CompactRevision: 1, Keys: 30, Hash: 4023, EtcdVersion: "3.7.3", StorageVersion: "3.7",
		SizeBytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:]),
	}
}

// noise returns a text that does not compress, the same for the same seed.
func noise(size int, seed byte) []byte {
	text := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(text)
	return text
}

// identity makes a key pair of age.
func identity(t *testing.T) (secret Identities, public string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	secret, err = ParseIdentities(key.String())
	if err != nil {
		t.Fatal(err)
	}
	return secret, key.Recipient().String()
}

func recipients(t *testing.T, texts ...string) Recipients {
	t.Helper()
	all, err := ParseRecipients(texts...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func directory(t *testing.T) *Directory {
	t.Helper()
	d, err := NewDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mustStore stores a text as a backup.
func mustStore(t *testing.T, to Destination, text []byte, revision int64, r Recipients) Manifest {
	t.Helper()
	m, err := Store(t.Context(), to, snapshotOf(text, revision), bytes.NewReader(text), r)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mustFetch compares a backup with the text that was stored.
func mustFetch(t *testing.T, from Source, m Manifest, i Identities, text []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := Fetch(t.Context(), from, m, i, &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), text) {
		t.Errorf("%d bytes came back, and not those %d that were stored", got.Len(), len(text))
	}
}

func keys(t *testing.T, of Source) []string {
	t.Helper()
	objects, err := of.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, object := range objects {
		all = append(all, object.Key)
	}
	return all
}

// mustSay holds that an error contains all of these texts.
func mustSay(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, and it should say %q", texts)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("it does not say %q: %v", text, err)
		}
	}
}
