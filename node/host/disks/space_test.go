package disks

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// newDisks is a host without any files.
func newDisks(t *testing.T) Disks {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts file systems: run as root")
	}
	return Disks{files.Tree{Root: t.TempDir()}}
}

// mountOn mounts a file system with these options on a directory.
func mountOn(t *testing.T, d Disks, dir, options string) {
	t.Helper()
	at := d.Files.Path(dir)
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, options); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func mustNotFail(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustRefuse fails the test unless an error is a refusal that says each of the texts.
func mustRefuse(t *testing.T, err error, texts ...string) {
	t.Helper()
	if coded, is := errors.AsType[*api.Error](err); !is || coded.Code != api.CodeRefused {
		t.Errorf("no refusal: %v", err)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

// TestRoomToLive: what big files leave free beside a member is a share of its disk, within bounds.
func TestRoomToLive(t *testing.T) {
	d := newDisks(t)
	for size, want := range map[string]int64{"100m": 64 << 20, "10g": 512 << 20, "200g": 4 << 30} {
		mountOn(t, d, "/"+size, "size="+size)
		if live, err := RoomToLive(d.Files.Path("/" + size)); err != nil || live != want {
			t.Errorf("of %s %d MiB are left, %v; want %d", size, live>>20, err, want>>20)
		}
	}
}

// TestRoomIsOfInodesToo has a file system be full of files and not of bytes, and one that counts no inodes.
func TestRoomIsOfInodesToo(t *testing.T) {
	d := newDisks(t)
	for dir, options := range map[string]string{"/few": "size=64m,nr_inodes=5", "/many": "size=64m,nr_inodes=4096", "/uncounted": "size=64m,nr_inodes=0"} {
		mountOn(t, d, dir, options)
	}
	mustRefuse(t, d.MustHold("/few", 1, "a test"), "4 inodes free", "remove some files")
	mustRefuse(t, mustHoldAt(d.Files.Path("/few"), 1, "to test"), "4 inodes free")
	mustRefuse(t, d.MustHoldFiles("/many", 1, 1<<20, "a copy"), "inodes free")
	for _, dir := range []string{"/many", "/uncounted"} {
		if err := d.MustHold(dir, 1, "a test"); err != nil {
			t.Error(err)
		}
		if err := mustHoldAt(d.Files.Path(dir), 1, "to test"); err != nil {
			t.Error(err)
		}
		mustRefuse(t, d.MustHold(dir, 1<<30, "a test"), "MiB free")
	}
	for dir, holds := range map[string]bool{"/few": false, "/many": true, "/uncounted": true} {
		at, err := backup.NewDirectory(d.Files.Path(dir))
		if err != nil {
			t.Fatal(err)
		}
		file, err := at.Stage("main", 1)
		if (err == nil) != holds {
			t.Errorf("%s: %v", dir, err)
		}
		if err == nil {
			_ = file.Close()
		}
	}
}
