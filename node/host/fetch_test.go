package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// aSnapshot returns a snapshot of a real member, which continues to run.
func aSnapshot(t *testing.T) (*fleetMember, api.Saved, []byte) {
	t.Helper()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 30)
	eventually(t, "its storage version is known", func() bool { return f.probe(t).StorageVersion != "" })
	saved, content := f.saved(t)
	return f, saved, content
}

// unmarked returns a snapshot of a cluster that has agreed on its version, from a member that has not written its
// storage version yet.
func unmarked(t *testing.T, content []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, content[:len(content)-sha256.Size], 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Delete([]byte("storageVersion")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return withSum(database)
}

// withSum returns a content followed by its SHA-256, as in a snapshot.
func withSum(content []byte) []byte {
	sum := sha256.Sum256(content)
	return append(slices.Clone(content), sum[:]...)
}

// circle returns a snapshot whose first page of buckets leads to itself, as in no snapshot of a sound database.
func circle(content []byte) []byte {
	return withSum(encircle(content[:len(content)-sha256.Size]))
}

// encircle returns a database whose first page of buckets leads to itself: bbolt follows it until its stack fills the
// memory.
func encircle(database []byte) []byte {
	text := bytes.Clone(database)
	const head = 16 // of a page; behind it, size, root and transaction of the database, or the first element
	size := int(binary.NativeEndian.Uint32(text[head+8:]))
	newest := text[head:]
	if other := text[size+head:]; binary.NativeEndian.Uint64(other[48:]) > binary.NativeEndian.Uint64(newest[48:]) {
		newest = other
	}
	root := binary.NativeEndian.Uint64(newest[16:])
	page := text[int(root)*size:]                  //nolint:gosec // of a file
	binary.NativeEndian.PutUint16(page[8:], 1)     // a branch
	binary.NativeEndian.PutUint16(page[10:], 1)    // of one element,
	binary.NativeEndian.PutUint32(page[head:], 16) // whose key begins behind it
	binary.NativeEndian.PutUint32(page[head+4:], 1)
	binary.NativeEndian.PutUint64(page[head+8:], root)
	return text
}

// mustHaveFetched wants no more in the directory of snapshots than this.
func mustHaveFetched(t *testing.T, m *Machine, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(m.path(snapshotDir))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("there is (+) and should be (-):\n%s", diff)
	}
}

func TestFetchKeepsWhatIsVerified(t *testing.T) {
	t.Parallel()
	f, saved, content := aSnapshot(t)
	writeFile(t, f.Machine, snapshotDir+"/"+arrivals.Fetching, "half")
	name := "restore-" + saved.SHA256 + ".db"
	first := f.fetched(t, content)
	if first.SHA256 != saved.SHA256 || first.Revision != 31 || first.Keys != 30 || first.Version == "" || first.Path != snapshotDir+"/"+name || !first.TakenAt.IsZero() {
		t.Errorf("fetched is %+v", first)
	}
	mustHave(t, f.Machine, first.Path, files.RootUser, 0o600)
	mustHaveFetched(t, f.Machine, name)

	// What is here is not asked for again: as the same upload, by its SHA-256, and by its own path.
	again := upload(content)
	if s, err := f.arrivals().Fetch(t.Context(), "main", again, strings.NewReader("")); err != nil || s != first {
		t.Errorf("the same upload again: %+v, %v", s, err)
	}
	again.SHA256, again.Source = saved.SHA256, api.Source{Path: first.Path}
	if s, err := f.arrivals().Fetch(t.Context(), "main", again, nil); err != nil || s != first {
		t.Errorf("by its path: %+v, %v", s, err)
	}
	// One that was damaged here is not kept.
	writeFile(t, f.Machine, first.Path, string(content[:len(content)-512]))
	if s := f.fetched(t, content); s != first {
		t.Errorf("after it was damaged: %+v", s)
	}

	// One of another restore goes. Its own name says when it was taken.
	taken, err := f.Snapshot(t.Context(), "main", api.SnapshotRequest{Owner: fleetOwner, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	other := upload(content)
	other.Source = api.Source{Path: taken.Path}
	s, err := f.arrivals().Fetch(t.Context(), "main", other, nil)
	if err != nil || !s.TakenAt.Equal(f.Now().Truncate(time.Second)) {
		t.Errorf("from a path: %+v, %v", s, err)
	}
	mustHaveFetched(t, f.Machine, strings.TrimPrefix(taken.Path, snapshotDir+"/"), "restore-"+s.SHA256+".db")
}

// TestFetchRefuses holds that what is no whole snapshot, or not the one that is meant, ends with its reason and
// leaves nothing.
func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	_, _, content := aSnapshot(t)
	flipped := bytes.Clone(content)
	flipped[len(flipped)/2] ^= 1
	junk := []byte(strings.Repeat("junk", 1024))
	for name, test := range map[string]struct {
		content []byte
		spoil   func(*api.FetchRequest)
		code    api.Code
		says    string
	}{
		"empty":                 {nil, nil, api.CodeRefused, "is empty"},
		"no database":           {junk, nil, api.CodeRefused, "does not begin as a database does"},
		"with a sum":            {withSum(junk), nil, api.CodeRefused, "does not begin as a database does"},
		"a word":                {[]byte("hello"), nil, api.CodeRefused, "does not begin as a database does"},
		"cut off":               {content[:len(content)-4096], nil, api.CodeRefused, "is damaged: verify snapshot"},
		"cut off anywhere":      {content[:len(content)-100], nil, api.CodeRefused, "was cut off"},
		"a database":            {content[:len(content)-32], nil, api.CodeRefused, "a copy of a member's own database"},
		"one bit":               {flipped, nil, api.CodeRefused, "its SHA-256 is"},
		"in a circle":           {circle(content), nil, api.CodeRefused, "is damaged: verify snapshot"},
		"another one":           {content, func(r *api.FetchRequest) { r.SHA256 = strings.Repeat("0", 64) }, api.CodeRefused, "it is another snapshot"},
		"a newer minor version": {content, func(r *api.FetchRequest) { r.MinorVersion = "3.5" }, api.CodeRefused, "to be started by etcd 3.5"},
		"a newer cluster":       {unmarked(t, content), func(r *api.FetchRequest) { r.MinorVersion = "3.5" }, api.CodeRefused, "to be started by etcd 3.5"},
		"damaged on its way":    {content, func(r *api.FetchRequest) { r.Source.Upload.SHA256 = strings.Repeat("0", 64) }, api.CodeFailed, "was damaged on its way"},
		"cut off on its way":    {content, func(r *api.FetchRequest) { r.Source.Upload.SizeBytes += 10 }, api.CodeFailed, "was cut off on its way"},
		"no space":              {content, func(r *api.FetchRequest) { r.Source.Upload.SizeBytes = 1 << 60 }, api.CodeRefused, "free some space"},
		"encrypted":             {[]byte("age-encryption.org/v1\n-> X25519 abc"), nil, api.CodeRefused, "no age identity was given"},
		"no identity":           {[]byte("age-encryption.org/v1\n"), func(r *api.FetchRequest) { r.Identity = secret.New("hunter2") }, api.CodeRefused, "line 1 of the age identity"},
		"no source":             {content, func(r *api.FetchRequest) { r.Source = api.Source{} }, api.CodeRefused, "comes from one place"},
		"two sources":           {content, func(r *api.FetchRequest) { r.Source.Path = "/backup.db" }, api.CodeRefused, "comes from one place"},
		"no path":               {nil, func(r *api.FetchRequest) { r.Source = api.Source{Path: "backup.db"} }, api.CodeRefused, "no absolute path"},
		"nothing there":         {nil, func(r *api.FetchRequest) { r.Source = api.Source{Path: "/backup.db"} }, api.CodeRefused, "/backup.db is not there"},
		"a directory":           {nil, func(r *api.FetchRequest) { r.Source = api.Source{Path: "/etc"} }, api.CodeRefused, "/etc is no file"},
		"no minor version":      {content, func(r *api.FetchRequest) { r.MinorVersion = "new" }, api.CodeRefused, "no minor version of etcd"},
		"no data directory":     {content, func(r *api.FetchRequest) { r.DataDir = "etcd" }, api.CodeRefused, "data directory"},
		"no SHA-256":            {content, func(r *api.FetchRequest) { r.SHA256 = "../x" }, api.CodeRefused, "no SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			r := upload(test.content)
			if test.spoil != nil {
				test.spoil(&r)
			}
			_, err := m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(test.content))
			mustFail(t, err, test.code, test.says)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error cites an identity: %v", err)
			}
			if name == "cut off on its way" { // what has come is gone on with
				mustHaveFetched(t, m, "arriving-"+r.Source.Upload.SHA256)
				return
			}
			mustHaveFetched(t, m)
		})
	}
	t.Run("another's host", func(t *testing.T) {
		m, _ := newMachine(t)
		prepared(t, m, prepareOf("main"))
		r := upload(content)
		r.Owner = "another"
		_, err := m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(content))
		mustRefuse(t, err, "another Terraform object")
	})
	t.Run("a small disk", func(t *testing.T) {
		m, _ := newMachine(t)
		mountData(t, m)
		_, err := m.arrivals().Fetch(t.Context(), "main", upload(content), bytes.NewReader(content))
		mustRefuse(t, err, m.path(dataDir)+" has 1 MiB free", "to restore a snapshot into")
		mustHaveFetched(t, m)
	})
}

// TestFetchOfWhatIsEncrypted holds that only who has the identity gets at it, by an upload, a path and S3.
func TestFetchOfWhatIsEncrypted(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "what is encrypted is the same bytes to the code that decrypts it")
	f, saved, content := aSnapshot(t)
	right, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := backup.ParseRecipients(right.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	storage := s3test.Start(t, s3test.Options{})
	storage.MakeBucket(t, "backups")
	at := api.S3{Endpoint: storage.Endpoint(), Region: s3test.Region, Bucket: "backups", PathStyle: true, AccessKeyID: s3test.AccessKeyID, SecretAccessKey: secret.New(s3test.SecretAccessKey)}
	bucket, err := arrivals.Bucket(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.path("/backups"), 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := backup.NewDirectory(f.path("/backups"))
	if err != nil {
		t.Fatal(err)
	}
	taken := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	var m backup.Manifest
	for _, to := range []backup.Destination{dir, bucket} {
		m, err = backup.Store(t.Context(), to, backup.Snapshot{Cluster: "main", Member: "a", TakenAt: taken, Revision: 31, SizeBytes: saved.SizeBytes, SHA256: saved.SHA256}, bytes.NewReader(content), recipients)
		if err != nil {
			t.Fatal(err)
		}
	}
	encrypted, err := os.ReadFile(f.path("/backups/" + m.Key()))
	if err != nil {
		t.Fatal(err)
	}
	at.Key = m.Key()
	for name, from := range map[string]api.Source{"an upload": upload(encrypted).Source, "a path": {Path: "/backups/" + m.Key()}, "S3": {S3: &at}} {
		t.Run(name, func(t *testing.T) {
			r := upload(encrypted)
			r.Source, r.Identity = from, secret.New(wrong.String())
			_, err := f.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(encrypted))
			mustRefuse(t, err, "none of the given age identities opens it")
			r.Identity = secret.New("# made today\n" + wrong.String() + "\n" + right.String() + "\n")
			got, err := f.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(encrypted))
			if err != nil || got.SHA256 != saved.SHA256 {
				t.Fatalf("it is %+v, %v", got, err)
			}
			if known := name != "an upload"; known != got.TakenAt.Equal(taken) {
				t.Errorf("it was taken at %s", got.TakenAt)
			}
		})
	}
	at.Key = "main/nothing.db"
	r := upload(nil)
	r.Source = api.Source{S3: &at}
	_, err = f.arrivals().Fetch(t.Context(), "main", r, nil)
	mustRefuse(t, err, "holds no main/nothing.db")
	if strings.Contains(fmt.Sprint(err), s3test.SecretAccessKey) {
		t.Errorf("the error cites the key: %v", err)
	}

	// What is saved to S3 is there, whole, and is not sent.
	at.Key = "saved.db"
	var sent bytes.Buffer
	up, err := f.Save(t.Context(), "main", api.SaveRequest{Owner: fleetOwner, S3: &at}, &sent)
	if err != nil || sent.Len() > 0 {
		t.Fatalf("saved to S3: %+v, %v, and %d bytes were sent", up, err, sent.Len())
	}
	stored, err := os.ReadFile(storage.File("backups", "saved.db"))
	if err != nil || sha256Of(stored) != up.SHA256 {
		t.Errorf("stored are %d bytes, %v, of %+v", len(stored), err, up)
	}
}
