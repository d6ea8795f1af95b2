package host

import (
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
)

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
	mustRefuse(t, m.disks().MustHold("/disk", 40<<20, "a second"), "MiB free")
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
	if err := m.disks().MustHold("/disk", 40<<20, "a second"); err != nil {
		t.Error(err)
	}
	if err := at.Put(t.Context(), "main/x", 40<<20, strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if err := m.disks().MustHold("/disk", 60<<20, "a third"); err != nil {
		t.Errorf("a backup of one byte: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
