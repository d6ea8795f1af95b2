package host

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

// TestSourceAtAPath: whatever lies at a path of the host, or beside it, where every user may write, keeps no call
// waiting and takes no memory. A snapshot without a manifest is taken all the same.
func TestSourceAtAPath(t *testing.T) {
	// Memory is counted for all of the process: nothing else runs beside it.
	const snapshot, manifest = "/tmp/snapshot.db", "/tmp/snapshot.json"
	pipe := func(path string) error { return syscall.Mkfifo(path, 0o666) }
	huge := func(path string) error {
		return errors.Join(os.WriteFile(path, []byte("{"), 0o666), os.Truncate(path, 1<<30))
	}
	link := func(path string) error { return os.Symlink("/dev/zero", path) }
	long := func(path string) error {
		return os.WriteFile(path, []byte(strings.Repeat(" ", 2*arrivals.LargestManifest)+`{"taken_at":"2026-01-02T03:04:05Z"}`), 0o666)
	}
	content := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o666) }
	}
	for name, test := range map[string]struct {
		snapshot, beside func(path string) error
		says             string // of the refusal; empty: it is opened
		dated            bool
	}{
		"a manifest":                       {snapshot: content("content"), beside: content(`{"taken_at":"2026-01-02T03:04:05Z"}`), dated: true},
		"no manifest":                      {snapshot: content("content")},
		"a manifest that is a pipe":        {snapshot: content("content"), beside: pipe},
		"a manifest of a GiB":              {snapshot: content("content"), beside: huge},
		"a manifest that is a device":      {snapshot: content("content"), beside: link},
		"a manifest that goes on for long": {snapshot: content("content"), beside: long},
		"a pipe":                           {snapshot: pipe, says: "is no file"},
		"a device":                         {snapshot: link, says: "is no file"},
		"nothing":                          {says: "is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &Machine{Root: t.TempDir()}
			if err := os.MkdirAll(m.path("/tmp"), 0o777); err != nil {
				t.Fatal(err)
			}
			for path, put := range map[string]func(string) error{snapshot: test.snapshot, manifest: test.beside} {
				if put != nil {
					if err := put(m.path(path)); err != nil {
						t.Fatal(err)
					}
				}
			}
			type opened struct {
				source *snapshots.Source
				err    error
				bytes  uint64 // that were taken for it
			}
			done := make(chan opened, 1)
			go func() {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				source, err := m.arrivals().Open(t.Context(), "main", "owner", api.Source{Path: snapshot}, nil)
				runtime.ReadMemStats(&after)
				done <- opened{source, err, after.TotalAlloc - before.TotalAlloc}
			}()
			var got opened
			select {
			case got = <-done:
			case <-time.After(patience):
				t.Fatal("it waits")
			}
			if got.bytes > 64<<20 {
				t.Errorf("it takes %d bytes of memory", got.bytes)
			}
			if test.says != "" {
				mustRefuse(t, got.err, test.says)
				return
			}
			if got.err != nil {
				t.Fatal(got.err)
			}
			defer got.source.Close()
			text, err := io.ReadAll(got.source)
			if err != nil || !bytes.Equal(text, []byte("content")) || got.source.Size != int64(len(text)) || got.source.TakenAt.IsZero() == test.dated {
				t.Errorf("it reads %q, of %d bytes, taken at %s, %v", text, got.source.Size, got.source.TakenAt, err)
			}
		})
	}
}

// TestSourceThatHangs: a path on a file system whose server is gone keeps no call waiting.
func TestSourceThatHangs(t *testing.T) {
	m := &Machine{Root: t.TempDir(), Hangs: 200 * time.Millisecond}
	if err := os.MkdirAll(m.path("/nfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	hung(t, m.path("/nfs"))
	failed := make(chan error, 1)
	go func() {
		_, err := m.arrivals().Open(t.Context(), "main", "owner", api.Source{Path: "/nfs/snapshot.db"}, nil)
		failed <- err
	}()
	select {
	case err := <-failed:
		mustFail(t, err, api.CodeFailed, "/nfs/snapshot.db", "does not answer", "umount -l")
	case <-time.After(patience):
		t.Fatal("it waits")
	}
}
