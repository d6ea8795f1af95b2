package files

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// another is a user other than root. It need not be an account.
var another = Owner{64123, 64124}

// newTree returns an empty tree.
func newTree(t *testing.T) Tree {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("gives files to other users: run as root")
	}
	tree := Tree{Root: t.TempDir()}
	if err := os.Mkdir(tree.Path("/etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return tree
}

func writeFile(t *testing.T, tree Tree, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(tree.Path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tree.Path(path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inode returns the number of the file at a path.
func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return InodeOf(info)
}

// mustHave fails the test unless a path has this owner and mode.
func mustHave(t *testing.T, tree Tree, path string, owner Owner, mode fs.FileMode) {
	t.Helper()
	info, err := os.Stat(tree.Path(path))
	if err != nil {
		t.Error(err)
		return
	}
	if got := OwnerOf(info); got != owner || info.Mode().Perm() != mode {
		t.Errorf("%s is %v's with mode %o; want %v and %o", path, got, info.Mode().Perm(), owner, mode)
	}
}

func mustNotFail(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPutLeavesWhatIsRightAlone(t *testing.T) {
	tree := newTree(t)
	f := File{"/etc/flags", []byte("--name=a\n"), another, 0o640}
	changed, err := tree.Put(f)
	if err != nil || !changed {
		t.Fatalf("the first put: changed %v, %v", changed, err)
	}
	mustHave(t, tree, f.Path, another, 0o640)
	before := inode(t, tree.Path(f.Path))
	if changed, err = tree.Put(f); err != nil || changed {
		t.Errorf("the second put: changed %v, %v", changed, err)
	}
	if inode(t, tree.Path(f.Path)) != before {
		t.Error("a file that was right was written anew")
	}

	// Owner and mode are corrected without a new file.
	f.Owner, f.Mode = RootUser, 0o600
	if changed, err = tree.Put(f); err != nil || changed {
		t.Errorf("a put of another owner: changed %v, %v", changed, err)
	}
	mustHave(t, tree, f.Path, RootUser, 0o600)
}

func TestPutReplacesWhole(t *testing.T) {
	tree := newTree(t)
	f := File{"/etc/flags", []byte("old"), RootUser, 0o600}
	if _, err := tree.Put(f); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(tree.Path(f.Path))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	// What a killed call has left does not stay, and does not block the next one.
	writeFile(t, tree, "/etc/.flags.new", "half")
	f.Text = []byte("new")
	if changed, err := tree.Put(f); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if text, err := io.ReadAll(reader); err != nil || string(text) != "old" {
		t.Errorf("who had the file open reads %q, %v", text, err)
	}
	if text, err := os.ReadFile(tree.Path(f.Path)); err != nil || string(text) != "new" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if left, _ := filepath.Glob(tree.Path("/etc/.*")); len(left) > 0 {
		t.Errorf("these are left: %q", left)
	}
}

// TestPutTakesThePlaceOfWhatIsNoFile: no pipe blocks a call or a run, and no link leads to a file of root's.
func TestPutTakesThePlaceOfWhatIsNoFile(t *testing.T) {
	for name, put := range map[string]func(path, other string) error{
		"a pipe":      func(path, _ string) error { return unix.Mkfifo(path, 0o666) },
		"a socket":    func(path, _ string) error { return unix.Mknod(path, unix.S_IFSOCK|0o666, 0) },
		"a link":      func(path, other string) error { return os.Symlink(other, path) },
		"a directory": func(path, _ string) error { return os.Mkdir(path, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			tree := newTree(t)
			f := File{"/metrics/etcd.prom", []byte("text"), RootUser, 0o644}
			mustNotFail(t, tree.EnsureDir("/metrics", another, 0o755))
			writeFile(t, tree, "/etc/other", "text")
			mustNotFail(t, os.Chmod(tree.Path("/etc/other"), 0o600))
			mustNotFail(t, put(tree.Path(f.Path), tree.Path("/etc/other")))
			done := make(chan error, 1)
			go func() {
				_, err := tree.Put(f)
				done <- err
			}()
			select {
			case err := <-done:
				mustNotFail(t, err)
			case <-time.After(time.Minute):
				t.Fatal("it waits")
			}
			mustHave(t, tree, "/etc/other", RootUser, 0o600)
			mustHave(t, tree, f.Path, RootUser, 0o644)
			if info, err := os.Lstat(tree.Path(f.Path)); err != nil || !info.Mode().IsRegular() {
				t.Errorf("there is no file: %v", err)
			}
		})
	}
}

func TestPutThatFailsChangesNothing(t *testing.T) {
	tree := newTree(t)
	f := File{"/etc/flags", []byte("old"), RootUser, 0o600}
	if _, err := tree.Put(f); err != nil {
		t.Fatal(err)
	}
	// In the place of the new file is something that cannot be removed as a file.
	writeFile(t, tree, "/etc/.flags.new/in/the/way", "")
	f.Text = []byte("new")
	if _, err := tree.Put(f); err == nil {
		t.Error("it succeeded")
	}
	if text, err := os.ReadFile(tree.Path(f.Path)); err != nil || string(text) != "old" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

func TestEnsureDirKeepsContents(t *testing.T) {
	tree := newTree(t)
	writeFile(t, tree, "/srv/etcd/kept", "kept")
	if err := tree.EnsureDir("/srv/etcd", another, 0o700); err != nil {
		t.Fatal(err)
	}
	mustHave(t, tree, "/srv/etcd", another, 0o700)
	mustHave(t, tree, "/srv", RootUser, 0o755)
	if _, err := os.Stat(tree.Path("/srv/etcd/kept")); err != nil {
		t.Error(err)
	}
	if err := tree.EnsureDir("/srv/etcd/kept", RootUser, 0o755); err == nil {
		t.Error("a file passed for a directory")
	}
}

func TestLinkIsReplacedInPlace(t *testing.T) {
	tree := newTree(t)
	for _, target := range []string{"one", "two"} {
		if err := tree.Link("/etc/selected", target); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(tree.Path("/etc/selected")); err != nil || got != target {
			t.Errorf("the link points to %q, %v; want %q", got, err, target)
		}
	}
	before := inode(t, tree.Path("/etc/selected"))
	if err := tree.Link("/etc/selected", "two"); err != nil {
		t.Fatal(err)
	}
	if inode(t, tree.Path("/etc/selected")) != before {
		t.Error("a link that was right was made anew")
	}
}

func TestRemoveEmptyKeepsWhatHoldsSomething(t *testing.T) {
	tree := newTree(t)
	writeFile(t, tree, "/srv/full/file", "")
	if err := os.MkdirAll(tree.Path("/srv/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/srv/full", "/srv/empty", "/srv/missing"} {
		if err := tree.RemoveEmpty(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(tree.Path("/srv/full/file")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(tree.Path("/srv/empty")); !os.IsNotExist(err) {
		t.Errorf("the empty directory: %v", err)
	}
}
