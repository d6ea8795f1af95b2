package host

import (
	"os"
	"testing"

	"filippo.io/age"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestWhereASnapshotIsTaken holds that a snapshot is taken where it is to stay, and beside the data where that cannot
// be: it is encrypted there, or there is none.
func TestWhereASnapshotIsTaken(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	encrypted := backupOf()
	encrypted.Recipients = []string{key.Recipient().String()}
	bucket := backupOf()
	bucket.Directory = ""
	bucket.S3 = &api.S3{Endpoint: "https://192.0.2.9", Region: "us-east-1", Bucket: "backups", AccessKeyID: "id", SecretAccessKey: "secret"}
	both := bucket
	both.Directory = backupDir
	for name, test := range map[string]struct {
		backup api.Backup
		staged bool
	}{
		"in the clear": {backupOf(), true},
		"and S3":       {both, true},
		"encrypted":    {encrypted, false},
		"S3":           {bucket, false},
	} {
		backedUp(t, test.backup, f)
		r, err := f.newRun("main", runBackup, true, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		where := func() bool {
			t.Helper()
			all, err := r.destinations(t.Context(), r.config)
			if err != nil {
				t.Fatal(err)
			}
			into, err := r.newFile(all, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := into.file.Close(); err != nil {
				t.Fatal(err)
			}
			return into.staged != nil
		}
		if where() != test.staged {
			t.Errorf("%s: staged %v", name, !test.staged)
		}
		if test.backup.Directory == "" {
			continue
		}
		if err := os.Rename(f.path(backupDir), f.path("/away")); err != nil {
			t.Fatal(err)
		}
		if where() {
			t.Errorf("%s: staged in a directory that is not there", name)
		}
		if err := os.Rename(f.path("/away"), f.path(backupDir)); err != nil {
			t.Fatal(err)
		}
	}
}
