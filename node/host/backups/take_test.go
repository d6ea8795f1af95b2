package backups

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// TestWhereASnapshotIsTaken holds that a snapshot is taken where it is to stay, and beside the data where that cannot
// be: it is encrypted there, or there is none.
func TestWhereASnapshotIsTaken(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	encrypted := backupOf()
	encrypted.Recipients = []string{key.Recipient().String()}
	bucket := backupOf()
	bucket.Directory = ""
	bucket.S3 = &api.S3{Endpoint: "https://192.0.2.9", Region: "us-east-1", Bucket: "backups", AccessKeyID: "id", SecretAccessKey: secret.New("secret")}
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
		r := h.runOf(t, test.backup)
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
			if err := into.draft.Close(); err != nil {
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
		if err := os.Rename(h.Files.Path(backupDir), h.Files.Path("/away")); err != nil {
			t.Fatal(err)
		}
		if where() {
			t.Errorf("%s: staged in a directory that is not there", name)
		}
		if err := os.Rename(h.Files.Path("/away"), h.Files.Path(backupDir)); err != nil {
			t.Fatal(err)
		}
	}
}

// slowUnits is a systemd that answers each question late.
type slowUnits struct{ noUnits }

func (u slowUnits) State(ctx context.Context, unit string) (api.UnitState, error) {
	select {
	case <-time.After(units.Timeout * 2 / 3):
		return u.noUnits.State(ctx, unit)
	case <-ctx.Done():
		return api.UnitState{}, ctx.Err()
	}
}

// TestMountsAreAskedForOneByOne: a systemd that answers each question late says what is mounted all the same, however
// many directories lead to the backups.
func TestMountsAreAskedForOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mustNotFail(t, Host{Units: slowUnits{}}.mustBeMounted(t.Context(), "/srv/backups/of/all/clusters", "/srv/backups/of/all/clusters"))
	})
}

// TestARunRemovesWhatItsEarlierOneHasLeft: what a failed run of this member has reserved in a directory goes with its
// next one, and what another member, or a run of another kind, may be writing there stays.
func TestARunRemovesWhatItsEarlierOneHasLeft(t *testing.T) {
	h := newHost(t)
	dir := h.Files.Path(backupDir + "/main")
	mustNotFail(t, os.MkdirAll(dir, 0o755))
	left := func(r *run) string {
		all, err := r.destinations(t.Context(), r.config)
		mustNotFail(t, err)
		// A process that is killed while it writes leaves what it has reserved.
		cut := errors.New("killed")
		var name string
		err = all[0].Put(t.Context(), "main/a.db", 1<<20, readsBy(func([]byte) (int, error) {
			found, err := filepath.Glob(dir + "/.partial-*")
			mustNotFail(t, err)
			for _, path := range found {
				if !strings.HasSuffix(path, "-left") {
					name = path + "-left"
				}
			}
			return 0, errors.Join(cut, os.WriteFile(name, nil, 0o600))
		}))
		if !errors.Is(err, cut) || name == "" {
			t.Fatalf("%q: %v", name, err)
		}
		return name
	}
	sweep := func(r *run) {
		all, err := r.destinations(t.Context(), r.config)
		mustNotFail(t, err)
		mustNotFail(t, backup.SweepAbandoned(t.Context(), all[0], "main", time.Now()))
	}
	is := func(path string) bool { _, err := os.Lstat(path); return err == nil }

	others := []string{left(h.runOf(t, backupOf()))} // of a run that had no name
	reach := func() {
		t.Helper()
		mustNotFail(t, h.Reach("main", func(text string) { t.Error(text) }))
	}
	reach()
	mine := left(h.runOf(t, backupOf()))
	reach() // before the next run
	for _, change := range []func(*run){
		func(r *run) { r.kind = KindRehearsal },
		func(r *run) { r.marker.Member = "b" },
		func(r *run) { r.marker.Owner = "another" },
	} {
		r := h.runOf(t, backupOf())
		change(r)
		others = append(others, left(r))
	}
	sweep(h.runOf(t, backupOf()))
	if is(mine) {
		t.Error("what it has left itself stays")
	}
	for _, path := range others {
		if !is(path) {
			t.Errorf("%s is gone, which is another's", path)
		}
	}
	mustNotFail(t, h.RemoveState("main", dataDir))
	if is(h.Files.Path(systemd.LinkDir("main"))) {
		t.Error("the name of the runs stays when the backup goes")
	}
}

type readsBy func(p []byte) (int, error)

func (f readsBy) Read(p []byte) (int, error) { return f(p) }

// TestABackupLeavesRoomToLive: whatever takes the member's disk for a backup leaves what a snapshot leaves, and sets
// aside what it is to write, and no more.
func TestABackupLeavesRoomToLive(t *testing.T) {
	h := newHost(t)
	b := backupOf()
	b.Directory = ""
	b.S3 = &api.S3{Endpoint: "https://192.0.2.9", Region: "us-east-1", Bucket: "backups", AccessKeyID: "id", SecretAccessKey: secret.New("secret")}
	dir := h.Files.Path(api.BackupStateDir(dataDir))
	mustNotFail(t, os.Mkdir(dir, 0o755))
	small(t, dir)
	r := h.runOf(t, b)
	all, err := r.destinations(t.Context(), r.config)
	mustNotFail(t, err)
	live, err := disks.RoomToLive(dir)
	mustNotFail(t, err)
	free, err := disks.RoomAt(dir)
	mustNotFail(t, err)
	if _, err = r.newFile(all, free.Bytes-live+1<<20); err == nil {
		t.Error("a backup is taken that leaves the member no room")
	} else {
		mustRefuse(t, err, "leave room to the member")
	}
	size := free.Bytes - live - 1<<20
	into, err := r.newFile(all, size)
	mustNotFail(t, err)
	defer into.draft.Close()
	mustNotFail(t, disks.Reserve(into.draft.File, into.room))
	if after, err := disks.RoomAt(dir); err != nil || after.Bytes < live || after.Bytes > live+2<<20 {
		t.Errorf("%d MiB are free while it is taken, and %d MiB are the member's: %v", after.Bytes>>20, live>>20, err)
	}
}

// small mounts a file system of 1 GiB at a path of this process.
func small(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=1g"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestADirectoryOnTheMembersDisk leaves the member room to live, whichever cluster's that is; one on a disk of its own
// may be filled.
func TestADirectoryOnTheMembersDisk(t *testing.T) {
	h := newHost(t)
	small(t, h.Files.Path("/srv/own"))
	small(t, h.Files.Path("/data"))
	mustNotFail(t, os.MkdirAll(h.Files.Path("/data/next"), 0o755))
	mustNotFail(t, os.MkdirAll(h.Files.Path("/data/backups"), 0o755))
	mustNotFail(t, h.Records.RewriteMarker(markerOf("next", "/data/next")))
	for dir, leaves := range map[string]bool{"/srv/own": false, "/srv/shared": true, "/data/backups": true} {
		d, err := h.directory(t.Context(), dir)
		mustNotFail(t, err)
		live, err := disks.RoomToLive(h.Files.Path(dir))
		mustNotFail(t, err)
		free, err := disks.RoomAt(h.Files.Path(dir))
		mustNotFail(t, err)
		file, err := d.directory.Stage("main", free.Bytes-live/2)
		if leaves != (err != nil) {
			t.Errorf("%s: what leaves half of the room to live: %v", dir, err)
		}
		if err == nil {
			mustNotFail(t, file.Close())
		}
	}
}
