package inside

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const user = 65534

// TestWay walks along links that root follows, and along some that it refuses.
func TestWay(t *testing.T) {
	if os.Geteuid() != root {
		t.Skip("gives links to other users: run as root")
	}
	for name, test := range map[string]struct {
		holder fs.FileMode // mode of the directory with the link
		keeper int         // owner of that directory
		owner  int         // owner of the link
		target string
		err    error
	}{
		"root's, in a directory of root's":          {0o755, root, root, "there", nil},
		"root's, in a directory of the user's":      {0o700, user, root, "there", nil},
		"root's, to a whole path":                   {0o755, root, root, "/", nil},
		"root's, upwards":                           {0o755, root, root, "../holder/there", nil},
		"root's, to itself":                         {0o755, root, root, "link", unix.ELOOP},
		"root's, to nothing":                        {0o755, root, root, "nothing", fs.ErrNotExist},
		"root's, to a file":                         {0o755, root, root, "file", unix.ENOTDIR},
		"the user's, where only root can put it":    {0o755, root, user, "there", nil},
		"the user's, in a directory of his":         {0o700, user, user, "there", ErrLink},
		"the user's, where all may write":           {0o777 | fs.ModeSticky, root, user, "there", ErrLink},
		"the user's, where a group may write":       {0o775, root, user, "there", ErrLink},
		"the user's, to a whole path, among others": {0o777 | fs.ModeSticky, root, user, "/", ErrLink},
	} {
		t.Run(name, func(t *testing.T) {
			holder := filepath.Join(t.TempDir(), "holder")
			link := filepath.Join(holder, "link")
			err := errors.Join(os.MkdirAll(filepath.Join(holder, "there"), 0o755), os.WriteFile(filepath.Join(holder, "file"), nil, 0o600),
				os.Symlink(test.target, link), os.Lchown(link, test.owner, test.owner), os.Chown(holder, test.keeper, test.keeper), os.Chmod(holder, test.holder))
			if err != nil {
				t.Fatal(err)
			}
			dir, err := Open(link)
			if !errors.Is(err, test.err) {
				t.Fatalf("it says %v, want %v", err, test.err)
			}
			if err != nil {
				return
			}
			defer dir.Close()
			is, err := dir.Stat()
			want, failed := os.Stat(link)
			if err != nil || failed != nil || !os.SameFile(is, want) {
				t.Errorf("it leads to %v instead of %v, %v, %v", is, want, err, failed)
			}
		})
	}
}

// TestHandle does by a handle everything that can be done, while the directory was moved and a link lies in its place.
func TestHandle(t *testing.T) {
	at := t.TempDir()
	path, outside := filepath.Join(at, "dir"), filepath.Join(at, "outside")
	if err := errors.Join(os.Mkdir(path, 0o755), os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "file"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	dir, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	moved := filepath.Join(at, "moved")
	if err := errors.Join(os.Rename(path, moved), os.Symlink(outside, path)); err != nil {
		t.Fatal(err)
	}
	file, err := dir.OpenFile("file", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	made, err := dir.Mkdir("made", 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Close(), made.Own(os.Geteuid(), os.Getegid(), 0o750), made.Close(), dir.Rename("file", "renamed"), os.WriteFile(dir.Path("by its path"), nil, 0o600), dir.Sync()); err != nil {
		t.Fatal(err)
	}
	entries, err := dir.ReadDir()
	if err != nil || len(entries) != 3 || entries[0].Name() != "by its path" || entries[1].Name() != "made" || entries[2].Name() != "renamed" {
		t.Errorf("it has %v, %v", entries, err)
	}
	if info, err := os.Stat(filepath.Join(moved, "made")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("what it made is %v, %v", info, err)
	}
	if err := errors.Join(dir.Remove("renamed"), dir.Remove("made"), dir.RemoveAll("by its path"), dir.RemoveAll("nothing")); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(moved); err != nil || len(left) > 0 {
		t.Errorf("there is left %v, %v", left, err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside there is %v, %v", left, err)
	}
	if err := dir.Remove("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is not there it says %v", err)
	}
}

// TestOpenFile opens regular files only, and never blocks.
func TestOpenFile(t *testing.T) {
	at := t.TempDir()
	file := filepath.Join(at, "file")
	if err := errors.Join(os.WriteFile(file, []byte("text"), 0o600), os.Link(file, filepath.Join(at, "twice")), os.Symlink(file, filepath.Join(at, "link")),
		unix.Mkfifo(filepath.Join(at, "pipe"), 0o600), os.Mkdir(filepath.Join(at, "dir"), 0o700), os.WriteFile(filepath.Join(at, "once"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	dir, err := Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for name, opens := range map[string]struct{ read, write bool }{
		"once": {true, true}, "twice": {true, false}, "link": {}, "pipe": {}, "dir": {}, "nothing": {},
	} {
		for _, flags := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR} {
			opened, err := dir.OpenFile(name, flags, 0)
			if want := opens.write || opens.read && flags == os.O_RDONLY; want != (err == nil) {
				t.Errorf("to open %s with %d says %v", name, flags, err)
			}
			if err == nil {
				opened.Close()
			}
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "text" {
		t.Errorf("the file reads %q, %v", text, err)
	}
}

// TestMkdirIsNew: Mkdir fails if somebody has replaced the new directory, or put something into it.
func TestMkdirIsNew(t *testing.T) {
	dir, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := dir.Mkdir("a", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Mkdir("a", 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second says %v", err)
	}
}
