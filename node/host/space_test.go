package host

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
)

// TestRoomIsOfInodesToo has a file system be full of files and not of bytes, and one that counts no inodes.
func TestRoomIsOfInodesToo(t *testing.T) {
	m, _ := newMachine(t)
	for dir, options := range map[string]string{"/few": "size=64m,nr_inodes=5", "/many": "size=64m,nr_inodes=4096", "/uncounted": "size=64m,nr_inodes=0"} {
		if err := os.Mkdir(m.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", m.path(dir), "tmpfs", 0, options); err != nil {
			t.Skipf("no file system can be mounted here: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(m.path(dir), unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	mustRefuse(t, m.mustHold("/few", 1, "a test"), "4 inodes free", "remove some files")
	mustRefuse(t, mustHoldAt(m.path("/few"), 1, "to test"), "4 inodes free")
	mustRefuse(t, m.mustHoldFiles("/many", 1, 1<<20, "a copy"), "inodes free")
	for _, dir := range []string{"/many", "/uncounted"} {
		if err := m.mustHold(dir, 1, "a test"); err != nil {
			t.Error(err)
		}
		if err := mustHoldAt(m.path(dir), 1, "to test"); err != nil {
			t.Error(err)
		}
		mustRefuse(t, m.mustHold(dir, 1<<30, "a test"), "MiB free")
	}
	for dir, holds := range map[string]bool{"/few": false, "/many": true, "/uncounted": true} {
		at, err := backup.NewDirectory(m.path(dir))
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
