package backup

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hanging is a destination that answers nothing until the test releases it.
type hanging struct {
	Destination
	gone chan struct{}
}

func (h hanging) List(context.Context, string) ([]Object, error) { <-h.gone; return nil, nil }
func (h hanging) Remove(context.Context, string) error           { <-h.gone; return nil }
func (h hanging) Sweep(context.Context, string, time.Time) error { <-h.gone; return nil }
func (h hanging) Clock(context.Context) (time.Time, error)       { <-h.gone; return time.Time{}, nil }
func (h hanging) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(h), nil
}
func (h hanging) Read([]byte) (int, error) { <-h.gone; return 0, io.EOF }
func (h hanging) Put(_ context.Context, _ string, _ int64, content io.Reader) error {
	_, err := io.Copy(io.Discard, content)
	<-h.gone
	return err
}

// TestADestinationThatHangsIsGivenUp calls each method of a destination that does not answer, and then one more.
func TestADestinationThatHangsIsGivenUp(t *testing.T) {
	for name, call := range map[string]func(context.Context, Destination) error{
		"List":   func(ctx context.Context, d Destination) error { _, err := d.List(ctx, ""); return err },
		"Remove": func(ctx context.Context, d Destination) error { return d.Remove(ctx, "main/a") },
		"Clock":  func(ctx context.Context, d Destination) error { _, err := d.Clock(ctx); return err },
		"Sweep":  func(ctx context.Context, d Destination) error { return d.Sweep(ctx, "", time.Time{}) },
		"Put":    func(ctx context.Context, d Destination) error { return d.Put(ctx, "main/a", 1, strings.NewReader("a")) },
		"Open": func(ctx context.Context, d Destination) error {
			content, err := d.Open(ctx, "main/a")
			if err != nil {
				return err
			}
			_, err = io.ReadAll(content)
			return errors.Join(err, content.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan struct{})
				defer close(gone)
				d := Bounded(hanging{gone: gone}, time.Minute)
				began := time.Now()
				for range 2 {
					if err := call(t.Context(), d); !errors.Is(err, ErrStorageHangs) {
						t.Errorf("it says %v", err)
					}
				}
				if took := time.Since(began); took != time.Minute {
					t.Errorf("it was given up after %s", took)
				}
			})
		})
	}
}

// slow is content that comes in pieces.
type slow struct{ pieces int }

func (s *slow) Read(p []byte) (int, error) {
	if s.pieces == 0 {
		return 0, io.EOF
	}
	s.pieces--
	time.Sleep(50 * time.Second)
	return copy(p, "x"), nil
}

// TestAPutThatIsSlowIsNotGivenUp stores content that arrives slowly, for longer than a call without progress may last.
func TestAPutThatIsSlowIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		close(gone)
		if err := Bounded(hanging{gone: gone}, time.Minute).Put(t.Context(), "main/a", 10, &slow{10}); err != nil {
			t.Error(err)
		}
	})
}

// TestAPutThatToldItMovesIsNotGivenUp stores content that is read at once, and comes to the disk slowly.
func TestAPutThatToldItMovesIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		moved := 0
		ctx := WithBeat(t.Context(), func() { moved++ })
		if err := Bounded(slowSyncs{}, time.Minute).Put(ctx, "main/a", 10, strings.NewReader("a")); err != nil || moved < 10 {
			t.Errorf("%v, and whoever waits was told %d times", err, moved)
		}
	})
}

// slowSyncs is a destination that takes content at once, and tells while that comes to its disk.
type slowSyncs struct{ Destination }

func (slowSyncs) Put(ctx context.Context, _ string, _ int64, content io.Reader) error {
	_, err := io.Copy(io.Discard, content)
	for range 10 {
		time.Sleep(50 * time.Second)
		beat(ctx)
	}
	return err
}

// TestAPutThatWasGivenUpLeavesNothing holds that one that goes on later, when the storage answers again, removes what
// it has reserved, and stores nothing of which nobody knows.
func TestAPutThatWasGivenUpLeavesNothing(t *testing.T) {
	directory, err := NewDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files := func() []string {
		found, err := filepath.Glob(filepath.Join(directory.root, "main", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan struct{})
		waits := readerFunc(func([]byte) (int, error) { <-answers; return 0, io.EOF })
		err := Bounded(directory, time.Minute).Put(t.Context(), "main/a", 1<<20, io.MultiReader(strings.NewReader("a"), waits, strings.NewReader("b")))
		if !errors.Is(err, ErrStorageHangs) || len(files()) != 1 {
			t.Errorf("while it hangs there is %q, %v", files(), err)
		}
		close(answers)
		synctest.Wait()
		if len(files()) > 0 {
			t.Errorf("it has left %q", files())
		}
	})
}

// TestWhatHangsIsNamed stores content that lies on storage which hangs: that one is named, and the destination takes
// other content.
func TestWhatHangsIsNamed(t *testing.T) {
	_, public := identity(t)
	for name, to := range map[string]Recipients{"in the clear": {}, "encrypted": recipients(t, public)} {
		t.Run(name, func(t *testing.T) {
			directory := directory(t)
			synctest.Test(t, func(t *testing.T) {
				answers := make(chan struct{})
				waits := readerFunc(func([]byte) (int, error) { <-answers; return 0, io.EOF })
				member := &deadline{name: "the member's disk", patience: time.Minute}
				content := &boundedReader{member, io.NopCloser(io.MultiReader(strings.NewReader("a"), waits))}
				at := Bounded(directory, time.Minute)
				began := time.Now()
				_, err := Store(t.Context(), at, snapshotOf([]byte("abc"), 7), content, to)
				if !errors.Is(err, ErrStorageHangs) || !strings.Contains(err.Error(), "the member's disk: ") || !member.hangs.Load() {
					t.Errorf("it says %v", err)
				}
				if took := time.Since(began); took != time.Minute {
					t.Errorf("it was given up after %s", took)
				}
				if err := at.Put(t.Context(), "main/b", 1, strings.NewReader("b")); err != nil {
					t.Errorf("the destination takes nothing more: %v", err)
				}
				close(answers)
				synctest.Wait()
			})
		})
	}
}

// TestAListingThatIsSlowIsNotGivenUp walks a directory that answers slowly for each of its entries.
func TestAListingThatIsSlowIsNotGivenUp(t *testing.T) {
	directory, err := NewDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"main/a", "main/b", "other/c"} {
		if err := directory.Put(t.Context(), key, 1, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		d := Bounded(slowly{directory}, time.Minute)
		if found, err := d.List(t.Context(), ""); err != nil || len(found) != 3 {
			t.Errorf("it lists %v, %v", found, err)
		}
		if err := d.Sweep(t.Context(), "", time.Time{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 2*3*entryPause {
			t.Errorf("it has told of less than each entry: it took %s", took)
		}
	})
}

// slowly is a directory that is slow for each entry, and reports progress for each.
type slowly struct{ *Directory }

const entryPause = 50 * time.Second

func (s slowly) pause(ctx context.Context) context.Context {
	return WithBeat(ctx, func() { time.Sleep(entryPause) })
}

func (s slowly) List(ctx context.Context, prefix string) ([]Object, error) {
	return s.Directory.List(s.pause(ctx), prefix)
}

func (s slowly) Sweep(ctx context.Context, prefix string, before time.Time) error {
	return s.Directory.Sweep(s.pause(ctx), prefix, before)
}

// TestAFileThatHangsIsGivenUp holds that opening a file and reading it are both given up if they never end.
func TestAFileThatHangsIsGivenUp(t *testing.T) {
	for name, opens := range map[string]bool{"it opens": true, "it does not open": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan struct{})
				defer close(gone)
				began := time.Now()
				content, err := OpenBounded("/nfs/a.db", time.Minute, func() (io.ReadCloser, error) {
					if !opens {
						<-gone
					}
					return io.NopCloser(hanging{gone: gone}), nil
				})
				if opens != (err == nil) {
					t.Fatalf("to open it says %v", err)
				}
				if opens {
					_, err = io.ReadAll(content)
					err = errors.Join(err, content.Close())
				}
				if !errors.Is(err, ErrStorageHangs) || !strings.Contains(err.Error(), "/nfs/a.db") || time.Since(began) != time.Minute {
					t.Errorf("after %s it says %v", time.Since(began), err)
				}
			})
		})
	}
}
