package host

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func TestPutLeavesWhatIsRightAlone(t *testing.T) {
	m, _ := newMachine(t)
	f := file{"/etc/flags", []byte("--name=a\n"), etcdOwner, 0o640}
	changed, err := m.put(f)
	if err != nil || !changed {
		t.Fatalf("the first put: changed %v, %v", changed, err)
	}
	mustHave(t, m, f.path, etcdOwner, 0o640)
	before := inode(t, m.path(f.path))
	if changed, err = m.put(f); err != nil || changed {
		t.Errorf("the second put: changed %v, %v", changed, err)
	}
	if inode(t, m.path(f.path)) != before {
		t.Error("a file that was right was written anew")
	}

	// Owner and mode are put right without a new file.
	f.owner, f.mode = root, 0o600
	if changed, err = m.put(f); err != nil || changed {
		t.Errorf("a put of another owner: changed %v, %v", changed, err)
	}
	mustHave(t, m, f.path, root, 0o600)
}

func TestPutReplacesWhole(t *testing.T) {
	m, _ := newMachine(t)
	f := file{"/etc/flags", []byte("old"), root, 0o600}
	if _, err := m.put(f); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(m.path(f.path))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	// What a killed call left behind neither stays nor gets in the way.
	writeFile(t, m, "/etc/.flags.new", "half")
	f.text = []byte("new")
	if changed, err := m.put(f); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if text, err := io.ReadAll(reader); err != nil || string(text) != "old" {
		t.Errorf("who had the file open reads %q, %v", text, err)
	}
	if text, err := os.ReadFile(m.path(f.path)); err != nil || string(text) != "new" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if left, _ := filepath.Glob(m.path("/etc/.*")); len(left) > 0 {
		t.Errorf("these are left: %q", left)
	}
}

// TestPutTakesThePlaceOfWhatIsNoFile: a pipe keeps no call and no run waiting, and no link leads to a file of root's.
func TestPutTakesThePlaceOfWhatIsNoFile(t *testing.T) {
	for name, put := range map[string]func(path, other string) error{
		"a pipe":   func(path, _ string) error { return unix.Mkfifo(path, 0o666) },
		"a socket": func(path, _ string) error { return unix.Mknod(path, unix.S_IFSOCK|0o666, 0) },
		"a link":   func(path, other string) error { return os.Symlink(other, path) },
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			f := file{"/metrics/etcd.prom", []byte("text"), root, 0o644}
			mustNotFail(t, m.ensureDir("/metrics", etcdOwner, 0o755))
			writeFile(t, m, "/etc/other", "text")
			mustNotFail(t, os.Chmod(m.path("/etc/other"), 0o600))
			mustNotFail(t, put(m.path(f.path), m.path("/etc/other")))
			done := make(chan error, 1)
			go func() {
				_, err := m.put(f)
				done <- err
			}()
			select {
			case err := <-done:
				mustNotFail(t, err)
			case <-time.After(patience):
				t.Fatal("it waits")
			}
			mustHave(t, m, "/etc/other", root, 0o600)
			mustHave(t, m, f.path, root, 0o644)
			if info, err := os.Lstat(m.path(f.path)); err != nil || !info.Mode().IsRegular() {
				t.Errorf("there is no file: %v", err)
			}
		})
	}
}

func TestPutThatFailsChangesNothing(t *testing.T) {
	m, _ := newMachine(t)
	f := file{"/etc/flags", []byte("old"), root, 0o600}
	if _, err := m.put(f); err != nil {
		t.Fatal(err)
	}
	// In the way of the new file lies what cannot be removed as one.
	writeFile(t, m, "/etc/.flags.new/in/the/way", "")
	f.text = []byte("new")
	if _, err := m.put(f); err == nil {
		t.Error("it succeeded")
	}
	if text, err := os.ReadFile(m.path(f.path)); err != nil || string(text) != "old" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

func TestEnsureDirKeepsContents(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, "/srv/etcd/kept", "kept")
	if err := m.ensureDir("/srv/etcd", etcdOwner, 0o700); err != nil {
		t.Fatal(err)
	}
	mustHave(t, m, "/srv/etcd", etcdOwner, 0o700)
	mustHave(t, m, "/srv", root, 0o755)
	if _, err := os.Stat(m.path("/srv/etcd/kept")); err != nil {
		t.Error(err)
	}
	if err := m.ensureDir("/srv/etcd/kept", root, 0o755); err == nil {
		t.Error("a file passed for a directory")
	}
}

func TestLinkIsReplacedInPlace(t *testing.T) {
	m, _ := newMachine(t)
	for _, target := range []string{"one", "two"} {
		if err := m.link("/etc/selected", target); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(m.path("/etc/selected")); err != nil || got != target {
			t.Errorf("the link points to %q, %v; want %q", got, err, target)
		}
	}
	before := inode(t, m.path("/etc/selected"))
	if err := m.link("/etc/selected", "two"); err != nil {
		t.Fatal(err)
	}
	if inode(t, m.path("/etc/selected")) != before {
		t.Error("a link that was right was made anew")
	}
}

func TestRemoveEmptyKeepsWhatHoldsSomething(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, "/srv/full/file", "")
	if err := os.MkdirAll(m.path("/srv/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/srv/full", "/srv/empty", "/srv/missing"} {
		if err := m.removeEmpty(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(m.path("/srv/full/file")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(m.path("/srv/empty")); !os.IsNotExist(err) {
		t.Errorf("the empty directory: %v", err)
	}
}
