package backup

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// staged is a draft with this content, staged at a destination.
func staged(t *testing.T, d *Directory, text []byte) *Draft {
	t.Helper()
	draft, err := BoundDirectory(d, time.Minute).Stage("main", int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { draft.Close() })
	if err := draft.Empty(func(*os.File) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := draft.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := draft.Complete(); err != nil {
		t.Fatal(err)
	}
	return draft
}

// TestStoreStaged holds that a backup of a staged snapshot is the staged file itself, and as good as any other backup.
func TestStoreStaged(t *testing.T) {
	d, text := directory(t), noise(3<<20, 1)
	file := staged(t, d, text)
	if got := keys(t, d); len(got) > 0 {
		t.Errorf("what is staged shows as %q", got)
	}
	m, err := StoreStaged(t.Context(), d, snapshotOf(text, 31), file)
	if err != nil {
		t.Fatal(err)
	}
	mustFetch(t, d, m, Identities{}, text)
	lies, err := os.Stat(filepath.Join(d.root, m.Key()))
	if err != nil {
		t.Fatal(err)
	}
	if was, err := file.File.Stat(); err != nil || !os.SameFile(lies, was) || lies.Mode() != 0o600 {
		t.Errorf("it lies in another file, or is for others: %v, %v", lies.Mode(), err)
	}
	if m.StoredSizeBytes != int64(len(text)) || m.StoredSHA256 != m.SHA256 || m.Encrypted() {
		t.Errorf("the manifest reads %+v", m)
	}

	// The rest of a killed run with the same key, with and without the manifest.
	if err := os.Remove(filepath.Join(d.root, m.key(manifestSuffix))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.root, "main", partial+filepath.Base(m.Key())), []byte("cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := StoreStaged(t.Context(), d, snapshotOf(text, 31), staged(t, d, text)); err != nil {
		t.Errorf("over what was left: %v", err)
	}
	mustFetch(t, d, m, Identities{}, text)
	_, err = StoreStaged(t.Context(), d, snapshotOf(text, 31), staged(t, d, text))
	mustSay(t, err, "there is one of this name already")
	if left, _ := os.ReadDir(filepath.Join(d.root, "main")); len(left) != 2 {
		t.Errorf("there are %v", left)
	}
}

// TestStagedOnStorageThatHangs holds that a staged snapshot is stored within the bounds of its destination, and shows
// that it moves while it is verified.
func TestStagedOnStorageThatHangs(t *testing.T) {
	d, text := directory(t), noise(3<<20, 4)
	file := staged(t, d, text)
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		defer close(gone)
		if _, err := StoreStaged(t.Context(), Bounded(hanging{gone: gone}, time.Minute), snapshotOf(text, 31), file); !errors.Is(err, ErrStorageHangs) {
			t.Errorf("it says %v", err)
		}
	})
	moved, quiet := 0, stagedQuietly{d, &atomic.Bool{}}
	ctx := WithBeat(t.Context(), func() {
		if quiet.listed.Load() { // else the list moves
			moved++
		}
	})
	if _, err := StoreStaged(ctx, quiet, snapshotOf(text[1:], 31), file); !errors.Is(err, ErrBackupDamaged) || moved < 3 {
		t.Errorf("%v, and it has moved %d times", err, moved)
	}
}

// TestACallThatIsGivenUpLeavesNothing: whenever a directory is given up while it takes something, there is nothing
// under its key once the directory answers again, nor beside it.
func TestACallThatIsGivenUpLeavesNothing(t *testing.T) {
	const key = "main/a.db"
	text := noise(1<<20, 6)
	for name, take := range map[string]func(t *testing.T, ctx context.Context, d *Directory) error{
		"it is put": func(_ *testing.T, ctx context.Context, d *Directory) error {
			return d.Put(ctx, key, int64(len(text)), bytes.NewReader(text))
		},
		"it is adopted": func(t *testing.T, ctx context.Context, d *Directory) error {
			return d.adopt(ctx, key, staged(t, d, text).File)
		},
	} {
		looks := 0
		for after := 0; ; after++ {
			d := directory(t)
			ctx := &givenUpAfter{Context: t.Context(), left: after}
			err := take(t, ctx, d)
			if !ctx.ended {
				if got := keys(t, d); err != nil || len(got) != 1 {
					t.Errorf("%s: there are %q: %v", name, got, err)
				}
				break
			}
			looks++
			if left, _ := os.ReadDir(filepath.Join(d.root, "main")); err == nil || len(left) > 0 {
				t.Errorf("%s: given up at look %d it leaves %v: %v", name, looks, left, err)
			}
			put(t, d, key, "older")
			ctx.left = after
			_ = take(t, ctx, d) // whether it was in time
			if got := keys(t, d); len(got) != 1 {
				t.Errorf("%s: given up at look %d it leaves %q of what there was", name, looks, got)
			}
		}
		if looks < 2 {
			t.Errorf("%s: it has looked %d times", name, looks)
		}
	}
}

// givenUpAfter is a context that has ended once it was asked this many times.
type givenUpAfter struct {
	context.Context
	left  int // how often it has not ended yet
	ended bool
}

func (c *givenUpAfter) Err() error {
	if c.left == 0 {
		c.ended = true
		return ErrStorageHangs
	}
	c.left--
	return nil
}

// TestADraftThatIsMapped holds that whoever reads a draft as memory may take as long as the process works, and is given
// up once it does not.
func TestADraftThatIsMapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		defer close(gone)
		for name, test := range map[string]struct {
			works, reads bool
			want         error
		}{
			"it reads":               {true, true, nil},
			"it reads, and is quick": {false, true, nil},
			"it waits for ever":      {false, false, ErrStorageHangs},
		} {
			draft := NewDraft(os.NewFile(0, "draft"), time.Minute)
			began := time.Now()
			err := draft.Mapped(func() bool { return test.works }, func(*os.File) error {
				switch {
				case !test.reads:
					<-gone
				case test.works:
					time.Sleep(time.Hour)
				}
				return nil
			})
			if !errors.Is(err, test.want) || draft.Hangs() != (err != nil) || time.Since(began) > time.Hour {
				t.Errorf("%s: after %s: %v", name, time.Since(began), err)
			}
		}
	})
}

// stagedQuietly is a directory that says when it was listed.
type stagedQuietly struct {
	*Directory
	listed *atomic.Bool
}

func (s stagedQuietly) List(ctx context.Context, prefix string) ([]Object, error) {
	defer s.listed.Store(true)
	return s.Directory.List(ctx, prefix)
}

// TestStagedThatIsNotSo holds that a staged file leaves nothing if it does not match its description, or was given up.
func TestStagedThatIsNotSo(t *testing.T) {
	text := noise(1<<20, 2)
	for name, content := range map[string][]byte{"another": noise(1<<20, 3), "cut off": text[1:], "longer": append(text[:len(text):len(text)], 0)} {
		d := directory(t)
		if _, err := StoreStaged(t.Context(), d, snapshotOf(text, 1), staged(t, d, content)); !errors.Is(err, ErrBackupDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(filepath.Join(d.root, "main")); len(left) > 0 {
			t.Errorf("%s: %v are left", name, left)
		}
	}
}

// TestADirectoryLeavesRoom holds that no big file takes the space which is left free for others, and that small files
// do, since they say what became of a big one.
func TestADirectoryLeavesRoom(t *testing.T) {
	d := directory(t)
	d.Leave(1 << 60)
	big := strings.Repeat("x", bigFile)
	_, err := d.Stage("main", bigFile)
	mustSay(t, err, d.root, "MiB free", "leaves", "a disk of their own")
	mustSay(t, d.Put(t.Context(), "main/x", bigFile, strings.NewReader(big)), "leaves")
	if err := d.Put(t.Context(), "main/x.json", 2, strings.NewReader("{}")); err != nil {
		t.Error(err)
	}
	d.Leave(0)
	if err := d.Put(t.Context(), "main/x", bigFile, strings.NewReader(big)); err != nil {
		t.Error(err)
	}
}

func TestStageRefuses(t *testing.T) {
	d := directory(t)
	_, err := d.Stage("main", 1<<60)
	mustSay(t, err, d.root, "MiB free", "free some space")
	if _, err := d.Stage("../main", 1); err == nil {
		t.Error("it is staged outside of the directory")
	}
	if err := os.RemoveAll(d.root); err != nil {
		t.Fatal(err)
	}
	_, err = d.Stage("main", 1)
	mustSay(t, err, d.root, "is not there")
}
