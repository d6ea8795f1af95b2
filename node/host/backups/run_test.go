package backups

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// takenIn is a snapshot that lies in a directory of backups.
func takenIn(t *testing.T, d destination) *taken {
	t.Helper()
	text := strings.Repeat("a snapshot", 1<<10)
	file, err := os.Create(filepath.Join(t.TempDir(), "draft"))
	mustNotFail(t, err)
	draft := backup.NewDraft(file, 100*time.Millisecond)
	t.Cleanup(func() { draft.Close() })
	_, err = io.WriteString(draft, text)
	mustNotFail(t, err)
	sum := sha256.Sum256([]byte(text))
	return &taken{draft: draft, staged: d.directory, Snapshot: backup.Snapshot{
		Cluster: "main", ClusterID: "cdf818194e3a8c32", Member: "a", TakenAt: time.Now(), Revision: 7,
		EtcdVersion: "3.7.3", StorageVersion: "3.7", SizeBytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:]),
	}}
}

// meanwhile is a destination that does something before it takes a backup.
type meanwhile struct {
	backup.Destination
	do func()
}

func (m meanwhile) Put(ctx context.Context, key string, size int64, content io.Reader) error {
	m.do()
	return m.Destination.Put(ctx, key, size, content)
}

// TestASnapshotIsTakenAnewIfItsStorageHangs: a directory in which a snapshot lies, and which hangs while the snapshot
// goes elsewhere, costs no other destination its backup: the snapshot is taken once more.
func TestASnapshotIsTakenAnewIfItsStorageHangs(t *testing.T) {
	h := newHost(t)
	mustNotFail(t, os.MkdirAll(h.Files.Path("/srv/far"), 0o755))
	near, err := h.directory(t.Context(), backupDir)
	mustNotFail(t, err)
	far, err := backup.NewDirectory(h.Files.Path("/srv/far"))
	mustNotFail(t, err)
	gone := make(chan struct{})
	defer close(gone)
	for name, test := range map[string]struct {
		hangs, takes int
		staged       bool
	}{
		"once":                      {1, 2, true},
		"each time":                 {9, 2, true},
		"never":                     {0, 1, true},
		"that of the member's disk": {1, 1, false},
	} {
		takes := 0
		var snapshot *taken
		to := destination{kind: "s3", Destination: meanwhile{far, func() {
			if takes <= test.hangs {
				_ = snapshot.draft.Within(func(*os.File) error { <-gone; return nil })
			}
		}}}
		_, err := h.runOf(t, backupOf()).storeTaken(t.Context(), to, &snapshot, func() (*taken, error) {
			takes++
			s := takenIn(t, near)
			s.Revision += int64(len(name)) // the backups have names of their own
			if !test.staged {
				s.staged = nil
			}
			return s, nil
		})
		if fails := test.hangs >= test.takes; fails != (err != nil) || takes != test.takes {
			t.Errorf("%s: it was taken %d times: %v", name, takes, err)
		}
	}
}

// awayUnits is a systemd that has not mounted what it knows of.
type awayUnits struct{ noUnits }

func (awayUnits) State(context.Context, string) (api.UnitState, error) {
	return api.UnitState{LoadState: "loaded", ActiveState: "inactive"}, nil
}

// TestARunSaysAllThatFailed: where no snapshot can be taken, the run says too which destination was away before.
func TestARunSaysAllThatFailed(t *testing.T) {
	h := newHost(t)
	h.Units = awayUnits{}
	b := backupOf()
	b.S3 = &api.S3{Endpoint: "https://192.0.2.9", Region: "us-east-1", Bucket: "backups", AccessKeyID: "id", SecretAccessKey: secret.New("secret")}
	_, err := h.runOf(t, b).backUp(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not mounted") || strings.Count(err.Error(), "\n") == 0 {
		t.Errorf("it says %v", err)
	}
}

// TestWhatIsWork: a run that computes works, one that waits does not, and one of which the kernel says nothing is not
// given up.
func TestWhatIsWork(t *testing.T) {
	works := works()
	for end := time.Now().Add(time.Minute); !works(); {
		for began := time.Now(); time.Since(began) < 10*time.Millisecond; {
			_ = sha256.Sum256([]byte(t.Name()))
		}
		if time.Now().After(end) {
			t.Fatal("a minute of it is no work")
		}
	}
	if works() {
		t.Error("the same work counts twice")
	}
	if !workingIn(procfs.FS{Root: t.TempDir()})() {
		t.Error("a kernel that says nothing counts as a run that does nothing")
	}
}
