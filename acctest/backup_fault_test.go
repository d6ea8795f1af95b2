package acctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
)

// TestBackupsThroughFaults cuts the power of the host that is at a backup, in the middle of the upload: one of the
// others takes it over. Then it kills the storage in the middle of the next one, which goes on once that is back.
func TestBackupsThroughFaults(t *testing.T) {
	sample.Leave(t, "TestAnotherTakesOver and TestS3ServerKilled have these faults without booted hosts")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	storage := storageIn(t, l, s3test.Options{})
	storage.MakeBucket(t, "backups")
	const secret = "swordfish-0123456789abcdef"
	storage.AddUser(t, "saver", secret, "backups")
	backedUp := setup{cluster: fmt.Sprintf(`
  backup = {
    schedule  = "yearly"
    rehearsal = { schedule = "yearly" }
    s3 = {
      endpoint          = %q
      region            = %q
      bucket            = "backups"
      prefix            = "etcd"
      path_style        = true
      access_key_id     = "saver"
      secret_access_key = %q
    }
  }`, storage.Endpoint(), s3test.Region, secret)}
	v := &saved{workspace: newWorkspace(t, l, configuration(t, l, backedUp)), setup: backedUp}
	v.apply()
	v.fillWith(uploadedMegabytes)

	for _, h := range l.Hosts {
		inHost(t, h, "systemctl", "start", "--no-block", "etcd-backup@prod")
		if h.Config.Name == "a" {
			awaitParts(t, storage, 1) // it is the one that is at it
		}
	}
	if err := l.Host("a").PowerOff(); err != nil {
		t.Fatal(err)
	}
	if made := manifests(t, storage); len(made) > 0 {
		t.Fatalf("the upload had ended: %q", made)
	}
	awaitEnd(t, l.Host("b"))
	awaitEnd(t, l.Host("c"))
	if made := manifests(t, storage); len(made) != 1 || strings.HasSuffix(made[0], "-a.json") {
		t.Errorf("once another has taken over, there are the backups %q", made)
	}
	v.powerOn()
	v.client().await(v.endpoints(), "endpoint", "health")
	v.mustBeSettled()

	left := parts(storage) // of the upload that was cut off
	backUpNow(t, l.Host("a"), "--no-block")
	awaitParts(t, storage, left+1)
	storage.Kill(t)
	if made := manifests(t, storage); len(made) != 1 {
		t.Fatalf("the upload had ended: %q", made)
	}
	time.Sleep(2 * time.Second) // long enough to be noticed
	storage.Restart(t)
	awaitEnd(t, l.Host("a"))
	made := manifests(t, storage)
	if len(made) != 2 || !strings.HasSuffix(made[1], "-a.json") {
		t.Fatalf("once the storage is back, there are the backups %q", made)
	}
	v.await(func(status map[string]any, _ string) bool {
		return status["backup"] == strings.TrimSuffix(made[1], ".json") && status["error"] == nil
	})
}

// uploadedMegabytes take several parts, and long enough to be disturbed.
const uploadedMegabytes = 200

// parts is how many parts the storage has of objects that are not whole.
func parts(storage *s3test.Server) int {
	n := 0
	_ = filepath.WalkDir(filepath.Join(storage.DataDir, "backups", ".sgwtmp"), func(_ string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			n++
		}
		return nil // what goes away meanwhile is none
	})
	return n
}

// awaitParts waits until there are so many.
func awaitParts(t *testing.T, storage *s3test.Server, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); parts(storage) < n; time.Sleep(5 * time.Millisecond) { // it catches a hang
		if time.Now().After(end) {
			t.Fatalf("no upload has begun: there are %d parts", parts(storage))
		}
	}
}

// awaitEnd waits until a backup of a host has ended, well.
func awaitEnd(t *testing.T, h *lab.Host) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) { // it catches a hang
		state := strings.TrimSpace(inHost(t, h, "sh", "-c", "systemctl is-active etcd-backup@prod; true"))
		if state == "inactive" {
			return
		}
		if state == "failed" || time.Now().After(end) {
			t.Fatalf("the backup of %s is %s\n%s", h.Config.Name, state, inHost(t, h, "journalctl", "--no-pager", "-u", "etcd-backup@prod"))
		}
	}
}

// manifests are those that the storage has, of whole backups.
func manifests(t *testing.T, storage *s3test.Server) []string {
	t.Helper()
	found, err := filepath.Glob(storage.File("backups", "etcd/prod/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range found {
		names = append(names, filepath.Base(path))
	}
	return names
}
