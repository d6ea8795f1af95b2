package host

import (
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
)

// TestRoomToLive: what big files leave free beside a member is a share of its disk, within bounds.
func TestRoomToLive(t *testing.T) {
	m, _ := newMachine(t)
	for size, want := range map[string]int64{"100m": 64 << 20, "10g": 512 << 20, "200g": 4 << 30} {
		mountOn(t, m, "/"+size, size)
		if live, err := roomToLive(m.path("/" + size)); err != nil || live != want {
			t.Errorf("of %s %d MiB are left, %v; want %d", size, live>>20, err, want>>20)
		}
	}
}

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

// TestRoomThatIsTakenIsNotGivenTwice has two writers look for room at once: what the first has set aside the second finds
// taken, until the first has ended, with less than it had asked for.
func TestRoomThatIsTakenIsNotGivenTwice(t *testing.T) {
	m, _ := newMachine(t)
	if err := os.Mkdir(m.path("/disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", m.path("/disk"), "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(m.path("/disk"), unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	began, end, done := make(chan struct{}), make(chan struct{}), make(chan error)
	content := readerFunc(func([]byte) (int, error) {
		close(began)
		<-end
		return 0, io.EOF
	})
	go func() { done <- m.writeNew("/disk/first", 40<<20, content) }()
	<-began
	mustRefuse(t, m.mustHold("/disk", 40<<20, "a second"), "MiB free")
	mustRefuse(t, m.writeNew("/disk/second", 40<<20, strings.NewReader("x")), "another call or run has taken it")
	at, err := backup.NewDirectory(m.path("/disk"))
	if err != nil {
		t.Fatal(err)
	}
	if err := at.Put(t.Context(), "main/x", 40<<20, strings.NewReader("x")); err == nil {
		t.Error("a backup is stored where there is no room for it")
	}
	close(end)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := m.mustHold("/disk", 40<<20, "a second"); err != nil {
		t.Error(err)
	}
	if err := at.Put(t.Context(), "main/x", 40<<20, strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if err := m.mustHold("/disk", 60<<20, "a third"); err != nil {
		t.Errorf("a backup of one byte: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
