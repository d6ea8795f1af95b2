package disks

import (
	"io"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
)

// TestRoomThatIsTakenIsNotGivenTwice has two writers look for room at once: what the first has set aside the second
// finds taken, until the first has ended, with less than it had asked for.
func TestRoomThatIsTakenIsNotGivenTwice(t *testing.T) {
	d := newDisks(t)
	mountOn(t, d, "/disk", "size=64m")
	began, end, done := make(chan struct{}), make(chan struct{}), make(chan error)
	content := readerFunc(func([]byte) (int, error) {
		close(began)
		<-end
		return 0, io.EOF
	})
	go func() { done <- d.WriteNew("/disk/first", 40<<20, content) }()
	<-began
	mustRefuse(t, d.MustHold("/disk", 40<<20, "a second"), "MiB free")
	mustRefuse(t, d.WriteNew("/disk/second", 40<<20, strings.NewReader("x")), "another call or run has taken it")
	at, err := backup.NewDirectory(d.Files.Path("/disk"))
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
	if err := d.MustHold("/disk", 40<<20, "a second"); err != nil {
		t.Error(err)
	}
	if err := at.Put(t.Context(), "main/x", 40<<20, strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if err := d.MustHold("/disk", 60<<20, "a third"); err != nil {
		t.Errorf("a backup of one byte: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
