package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

func put(t *testing.T, to Destination, key, text string) {
	t.Helper()
	if err := to.Put(t.Context(), key, int64(len(text)), strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, from Source, key string) string {
	t.Helper()
	object, err := from.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	text, err := io.ReadAll(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDirectoryKeepsToItself(t *testing.T) {
	d := directory(t)
	put(t, d, "main/a.db", "one")
	for path, mode := range map[string]fs.FileMode{"main": fs.ModeDir | 0o700, "main/a.db": 0o600} {
		if info, err := os.Stat(filepath.Join(d.root, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	for _, key := range []string{"../a", "/a", "", "main/../../a", "main/.partial-1"} {
		if err := d.Put(t.Context(), key, 1, strings.NewReader("x")); err == nil {
			t.Errorf("%q is put", key)
		}
		if err := d.Remove(t.Context(), key); err == nil {
			t.Errorf("%q is removed", key)
		}
		if _, err := d.Open(t.Context(), key); err == nil {
			t.Errorf("%q is opened", key)
		}
	}
}

// TestDirectoryPutsWholeOrNothing holds that a failed put leaves the previous content and nothing else.
func TestDirectoryPutsWholeOrNothing(t *testing.T) {
	d, broken := directory(t), errors.New("the stream broke")
	put(t, d, "main/a.db", "old")
	err := d.Put(t.Context(), "main/a.db", 10, io.MultiReader(strings.NewReader("new"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || get(t, d, "main/a.db") != "old" {
		t.Errorf("%v, and it reads %q", err, get(t, d, "main/a.db"))
	}
	put(t, d, "main/a.db", "new")
	if got := get(t, d, "main/a.db"); got != "new" {
		t.Errorf("it reads %q", got)
	}
	if left, _ := os.ReadDir(filepath.Join(d.root, "main")); len(left) != 1 {
		t.Errorf("there are %v", left)
	}
}

func TestDirectoryRefuses(t *testing.T) {
	d := directory(t)
	err := d.Put(t.Context(), "a.db", 1<<60, strings.NewReader("x"))
	mustSay(t, err, d.root, "MiB free", "free some space")
	if !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	if err := os.Remove(d.root); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{d.Put(t.Context(), "a.db", 1, strings.NewReader("x")), second(d.List(t.Context(), ""))} {
		mustSay(t, err, d.root, "is not there")
		if !errors.Is(err, ErrRefused) {
			t.Error(err)
		}
	}
	if _, err := os.Stat(d.root); !os.IsNotExist(err) {
		t.Errorf("it was made: %v", err)
	}
	if _, err := NewDirectory("backups"); err == nil {
		t.Error("a relative path is taken")
	}
}

func second[T any](_ T, err error) error { return err }

func TestDirectorySweeps(t *testing.T) {
	d := directory(t)
	put(t, d, "main/a.db", "one")
	now := time.Now()
	for name, age := range map[string]time.Duration{"main/.partial-old": 25 * time.Hour, "main/.partial-new": time.Hour, "main/a.db": 90 * time.Hour} {
		path := filepath.Join(d.root, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, now.Add(-age), now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if got := keys(t, d); !slices.Equal(got, []string{"main/a.db"}) {
		t.Errorf("objects are %q", got)
	}
	if err := d.Sweep(t.Context(), "main/", now.Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(d.root, "main", "*"))
	if want := []string{filepath.Join(d.root, "main/.partial-new"), filepath.Join(d.root, "main/a.db")}; err != nil || !slices.Equal(left, want) {
		t.Errorf("there are %q, %v", left, err)
	}
}

// TestDirectorySweepsNothingThatIsBeingWritten holds that a file which is being written stays, however old it looks.
func TestDirectorySweepsNothingThatIsBeingWritten(t *testing.T) {
	d := directory(t)
	var left []string
	wrote := readerFunc(func(p []byte) (int, error) {
		found, err := filepath.Glob(filepath.Join(d.root, "main", partial+"*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("while it is written there are %q, %v", found, err)
		}
		old := time.Now().Add(-48 * time.Hour)
		if err := errors.Join(os.Chtimes(found[0], old, old), SweepAbandoned(t.Context(), d, "main", time.Now())); err != nil {
			t.Fatal(err)
		}
		left, _ = filepath.Glob(found[0])
		return 0, errors.New("cut short")
	})
	if err := d.Put(t.Context(), "main/a.db", 100, wrote); err == nil || len(left) != 1 {
		t.Errorf("%v: while it was written there was %q", err, left)
	}
}

// TestDirectorySweepsItsOwnAtOnce holds that what an earlier run of the same writer has left goes at once, and that
// nothing of another's goes, nor what its own writer is writing.
func TestDirectorySweepsItsOwnAtOnce(t *testing.T) {
	d := directory(t)
	d.WriteAs("me")
	var during []string
	wrote := readerFunc(func(p []byte) (int, error) {
		for _, left := range []string{"main/.partial-me-left", "main/.partial-you-left", "main/.partial-left", "next/.partial-me-left", "main/me-left"} {
			path := filepath.Join(d.root, left)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if err := SweepAbandoned(t.Context(), d, "main", time.Now()); err != nil {
			t.Fatal(err)
		}
		during, _ = filepath.Glob(filepath.Join(d.root, "*", "*"))
		return 0, errors.New("cut short")
	})
	if err := d.Put(t.Context(), "main/a.db", 100, wrote); err == nil {
		t.Error("it is put")
	}
	after, err := filepath.Glob(filepath.Join(d.root, "*", "*"))
	if err != nil || len(during) != len(after)+1 || len(after) != 4 || slices.Contains(after, filepath.Join(d.root, "main/.partial-me-left")) {
		t.Errorf("while it was written there was %q, and then %q", during, after)
	}
}

// TestDirectoryShowsThatItMoves holds that a put tells of what has come to the disk, and not only of what it reads.
func TestDirectoryShowsThatItMoves(t *testing.T) {
	d, told := directory(t), 0
	content := noise(20<<20, 1)
	if err := d.Put(WithBeat(t.Context(), func() { told++ }), "main/a.db", int64(len(content)), bytes.NewReader(content)); err != nil || told == 0 {
		t.Errorf("%v, and it has told %d times", err, told)
	}
}

// TestDirectoryPutsNothingLate holds that a put whose context ends with the last of the content changes nothing.
func TestDirectoryPutsNothingLate(t *testing.T) {
	d, gone := directory(t), errors.New("gone")
	ctx, giveUp := context.WithCancelCause(t.Context())
	ends := readerFunc(func([]byte) (int, error) { giveUp(gone); return 0, io.EOF })
	if err := d.Put(ctx, "main/a.db", 3, io.MultiReader(strings.NewReader("new"), ends)); !errors.Is(err, gone) {
		t.Errorf("it says %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(d.root, "main", "*")); len(left) > 0 {
		t.Errorf("there is %q", left)
	}
}

// endsWith is a context that has ended when it is asked for the second time, and does something then.
type endsWith struct {
	context.Context
	asked *int
	do    func()
}

func (e endsWith) Err() error {
	if *e.asked++; *e.asked < 2 {
		return nil
	}
	e.do()
	return context.Canceled
}

// TestDirectoryRemovesNobodyElses holds that a put which ends late removes what it has written, and not what another
// process has put in its place since.
func TestDirectoryRemovesNobodyElses(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(path string) error
		want      string
	}{
		"its own":      {func(string) error { return nil }, ""},
		"gone already": {os.Remove, ""},
		"somebody's by now": {func(path string) error {
			return errors.Join(os.WriteFile(path+".x", []byte("theirs"), 0o600), os.Rename(path+".x", path))
		}, "theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			next, path := filepath.Join(dir, "next"), filepath.Join(dir, "path")
			if err := os.WriteFile(next, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx := endsWith{t.Context(), new(int), func() {
				if err := test.meanwhile(path); err != nil {
					t.Error(err)
				}
			}}
			if err := publish(ctx, next, path); !errors.Is(err, context.Canceled) {
				t.Errorf("it says %v", err)
			}
			if left, err := os.ReadFile(path); string(left) != test.want {
				t.Errorf("there is %q, %v", left, err)
			}
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestDirectoryLooksAtNothingBeside holds that files beside the backups of a cluster neither make a run fail nor are
// touched. They belong to other programs, or are closed to root, as on a network file system that maps root to nobody.
func TestDirectoryLooksAtNothingBeside(t *testing.T) {
	d := directory(t)
	if os.Getuid() != 0 {
		t.Skip("it wants to be root, who may become nobody")
	}
	put(t, d, "main/a.db", "one")
	old := time.Now().Add(-48 * time.Hour)
	for _, dir := range []struct {
		path string
		mode fs.FileMode
	}{{"other", 0o777}, {"other/main", 0o777}, {"lost+found", 0o700}, {"main/lost+found", 0o700}} {
		path := filepath.Join(d.root, dir.path)
		if err := errors.Join(os.Mkdir(path, dir.mode), os.Chmod(path, dir.mode)); err != nil {
			t.Fatal(err)
		}
	}
	theirs := []string{"other/main/.partial-upload", "other/.partial-upload", ".partial-upload"}
	for _, path := range append(theirs, "main/.partial-upload") {
		path := filepath.Join(d.root, path)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	for dir := filepath.Join(d.root, "main"); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		if found, err := d.List(t.Context(), "main/"); err != nil || len(found) != 1 || found[0].Key != "main/a.db" {
			t.Errorf("it lists %v, %v", found, err)
		}
		if found, err := d.List(t.Context(), "main/b"); err != nil || len(found) != 0 {
			t.Errorf("of keys that begin with main/b it lists %v, %v", found, err)
		}
		if err := SweepAbandoned(t.Context(), d, "main", time.Now()); err != nil {
			t.Error(err)
		}
		if _, err := d.List(t.Context(), "lost+found/"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("of a cluster whose directory is closed it lists %v", err)
		}
	})
	for _, path := range theirs {
		if _, err := os.Stat(filepath.Join(d.root, path)); err != nil {
			t.Errorf("another program's: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(d.root, "main/.partial-upload")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a run of ours has left: %v", err)
	}
}

// asNobody calls do as a user who owns no file of this machine.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := syscall.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setfsuid(0); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}
