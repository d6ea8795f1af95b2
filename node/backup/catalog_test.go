package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// list returns a catalog in one line: backups with the results of their rehearsals, then problems.
func list(t *testing.T, from Source) string {
	t.Helper()
	c, err := List(t.Context(), from, "main", "")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range c.Backups {
		all = append(all, fmt.Sprintf("r%d verified=%v failed=%v", e.Revision, e.Verified(), e.Failed()))
	}
	for _, p := range c.Problems {
		all = append(all, "problem "+strings.TrimPrefix(p.Key, "main/"))
	}
	for _, p := range c.Partial {
		all = append(all, "partial "+strings.TrimPrefix(p.Key, "main/"))
	}
	return strings.Join(all, ", ")
}

func TestCatalog(t *testing.T) {
	d := directory(t)
	if got := list(t, d); got != "" {
		t.Errorf("of nothing there is %s", got)
	}
	_, public := identity(t)
	var backups []Manifest
	for revision, r := range []Recipients{{}, recipients(t, public), {}} {
		backups = append(backups, mustStore(t, d, noise(100, byte(revision)), int64(revision+1), r))
	}
	for i, r := range []Rehearsal{{At: noon, Member: "a"}, {At: noon, Member: "b", Failure: "its hash is another"}} {
		if err := Record(t.Context(), d, backups[i], r); err != nil {
			t.Fatal(err)
		}
	}
	put(t, d, "main/notes.txt", "somebody else's")
	put(t, d, "main2/20260304T120000Z-r1-a.db", "another cluster's")
	if got := list(t, d); got != "r3 verified=false failed=false, r2 verified=false failed=true, r1 verified=true failed=false" {
		t.Errorf("there are %s", got)
	}
	// Only the last rehearsal counts.
	if err := Record(t.Context(), d, backups[1], Rehearsal{At: noon}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, d); !strings.Contains(got, "r2 verified=true failed=false") {
		t.Errorf("there are %s", got)
	}
	if c, _ := List(t.Context(), d, "main", ""); c.Backups[2].Manifest.String() != backups[0].String() || c.Backups[1].EncryptedTo[0] != public {
		t.Errorf("they read %+v", c.Backups)
	}
}

// TestCatalogProblems holds that a fault of one backup hides no other backup.
func TestCatalogProblems(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(*Directory, Manifest) error
		says string
	}{
		"no snapshot": {func(d *Directory, m Manifest) error { return d.Remove(t.Context(), m.Key()) }, "is gone"},
		"cut off":     {func(d *Directory, m Manifest) error { return os.Truncate(filepath.Join(d.root, m.Key()), 3) }, "is 3 bytes long"},
		"no JSON":     {rewrite(func([]byte) []byte { return []byte("{") }), "no manifest"},
		"newer":       {rewrite(func(b []byte) []byte { return []byte(strings.Replace(string(b), `"version": 1`, `"version": 2`, 1)) }), "use a newer provider"},
		"renamed":     {rewrite(func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "-r1-", "-r2-")) }), "calls itself"},
		"no sum":      {rewrite(func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "sha256", "sum")) }), "SHA-256"},
	} {
		d := directory(t)
		m := mustStore(t, d, noise(100, 1), 1, Recipients{})
		mustStore(t, d, noise(100, 2), 2, Recipients{})
		if err := test.harm(d, m); err != nil {
			t.Fatal(err)
		}
		if got, want := list(t, d), "r2 verified=false failed=false, problem "+m.Name+".json"; got != want {
			t.Errorf("%s: there are %s", name, got)
		}
		c, _ := List(t.Context(), d, "main", "")
		mustSay(t, c.Problems[0].Why, test.says)
	}
}

// rewrite changes a manifest's text.
func rewrite(change func([]byte) []byte) func(*Directory, Manifest) error {
	return func(d *Directory, m Manifest) error {
		path := filepath.Join(d.root, m.key(manifestSuffix))
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(text), 0o600)
	}
}

// TestBackupThatWasCutShort holds that no backup exists before its manifest, and that the rest of an interrupted backup
// is removed.
func TestBackupThatWasCutShort(t *testing.T) {
	d := directory(t)
	whole, cut := mustStore(t, d, noise(100, 1), 1, Recipients{}), mustStore(t, d, noise(100, 2), 2, Recipients{})
	if err := Record(t.Context(), d, cut, Rehearsal{At: noon}); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), cut.key(manifestSuffix)); err != nil { // the removal was interrupted too
		t.Fatal(err)
	}
	put(t, d, "main/notes.txt", "somebody else's")
	if got := list(t, d); got != "r1 verified=false failed=false, partial "+cut.Name+".db, partial "+cut.Name+".rehearsal" {
		t.Errorf("there are %s", got)
	}
	for _, test := range []struct {
		after time.Duration
		left  []string
	}{
		{time.Hour, []string{whole.Key(), whole.key(manifestSuffix), cut.Key(), cut.key(rehearsalSuffix), "main/notes.txt"}},
		{25 * time.Hour, []string{whole.Key(), whole.key(manifestSuffix), "main/notes.txt"}},
	} {
		c, err := List(t.Context(), d, "main", "")
		if err != nil {
			t.Fatal(err)
		}
		// The host's clock has jumped.
		if err := Clean(t.Context(), d, "main", c, time.Now().Add(48*time.Hour)); err != nil {
			t.Error(err)
		}
		grown(t, d, 25*time.Hour, cut.Key(), cut.key(rehearsalSuffix), "main/notes.txt")
		if c, err = List(t.Context(), d, "main", ""); err != nil {
			t.Fatal(err)
		}
		// The server's clock has jumped.
		if err := Clean(t.Context(), later{d, 48 * time.Hour}, "main", c, time.Now().Add(test.after-25*time.Hour)); err != nil {
			t.Error(err)
		}
		if got := keys(t, d); !slices.Equal(got, test.left) {
			t.Errorf("after %s there are %q", test.after, got)
		}
	}
}

// grown makes objects look that old.
func grown(t *testing.T, d *Directory, by time.Duration, keys ...string) {
	t.Helper()
	for _, key := range keys {
		at := time.Now().Add(-by)
		if err := os.Chtimes(filepath.Join(d.root, key), at, at); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// later is a directory whose server's clock is ahead.
type later struct {
	*Directory
	by time.Duration
}

func (l later) Clock(context.Context) (time.Time, error) { return time.Now().Add(l.by), nil }

// TestDirectoryTellsTheTime holds that a directory's clock is the one that stamps its files, even if there is no space
// left.
func TestDirectoryTellsTheTime(t *testing.T) {
	d := directory(t)
	grown(t, d, time.Hour, "")
	now, err := d.Clock(t.Context())
	if off := time.Since(now); err != nil || off < -time.Second || off > time.Minute {
		t.Errorf("it is %s, %v", now, err)
	}
	if len(keys(t, d)) > 0 {
		t.Errorf("there are %q", keys(t, d))
	}
	if err := os.Remove(d.root); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Clock(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("a directory that is gone says %v", err)
	}
}

// TestNewestProblem holds how the newest of the unusable backups is found: by its manifest, by the clock that stamped
// the objects, and by revisions, but never by the clock of the host that made the backup.
func TestNewestProblem(t *testing.T) {
	const good = 10
	stored := map[string]time.Duration{"before": time.Hour, "after": time.Minute, "in a time to come": -time.Hour}
	for name, test := range map[string]struct {
		revision int64
		clock    time.Duration // by which the clock of its host was off
		stored   string
		manifest string // empty: the manifest can be read
		owner    string
		newest   bool
	}{
		"newer":                                 {20, 0, "after", "", "us", true},
		"newer, by a clock that is behind":      {20, -1000 * time.Hour, "after", "", "us", true},
		"older":                                 {5, 0, "before", "", "us", false},
		"older, by a clock that is ahead":       {5, 1000 * time.Hour, "in a time to come", "", "us", false},
		"newer, and another's":                  {20, 0, "after", "", "they", false},
		"unreadable":                            {20, -1000 * time.Hour, "after", "{", "us", true},
		"unreadable, of before":                 {20, 1000 * time.Hour, "before", "{", "us", false},
		"unreadable, after a restore":           {2, 0, "after", "{", "us", true},
		"unreadable, stored in a time to come":  {20, 0, "in a time to come", "{", "us", true},
		"unreadable, of before, in such a time": {5, 1000 * time.Hour, "in a time to come", "{", "us", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := directory(t)
			m := mustStore(t, d, noise(100, 1), good, Recipients{})
			grown(t, d, 30*time.Minute, m.key(manifestSuffix))
			text := noise(100, 2)
			snapshot := snapshotOf(text, test.revision)
			snapshot.TakenAt, snapshot.Owner = snapshot.TakenAt.Add(test.clock), test.owner
			broken, err := Store(t.Context(), d, snapshot, bytes.NewReader(text), Recipients{})
			if err != nil {
				t.Fatal(err)
			}
			if test.manifest != "" {
				err = os.WriteFile(filepath.Join(d.root, broken.key(manifestSuffix)), []byte(test.manifest), 0o600)
			} else {
				err = os.Truncate(filepath.Join(d.root, broken.Key()), 3)
			}
			if err != nil {
				t.Fatal(err)
			}
			grown(t, d, stored[test.stored], broken.key(manifestSuffix))
			c, err := List(t.Context(), d, "main", "us")
			if err != nil || len(c.Backups) != 1 || len(c.Problems) != 1 || c.Problems[0].Newest != test.newest {
				t.Errorf("%v: there are %+v", err, c.Problems)
			}
		})
	}
}

func TestCatalogThatCannotBeRead(t *testing.T) {
	d := directory(t)
	mustStore(t, d, noise(100, 1), 1, Recipients{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := List(ctx, d, "main", ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := os.RemoveAll(d.root); err != nil {
		t.Fatal(err)
	}
	if _, err := List(t.Context(), d, "main", ""); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

// distant is a source that takes a while for each answer.
type distant struct {
	Source
	opened *atomic.Int32
	most   *atomic.Int32
}

const distance = 150 * time.Millisecond

func (d distant) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	for at := d.opened.Add(1); ; {
		if most := d.most.Load(); at <= most || d.most.CompareAndSwap(most, at) {
			break
		}
	}
	defer d.opened.Add(-1)
	time.Sleep(distance)
	return d.Source.Open(ctx, key)
}

// TestACatalogOfManyIsReadAtOnce lists backups of a distant source: several manifests are read at a time, though not
// all, and the order stays.
func TestACatalogOfManyIsReadAtOnce(t *testing.T) {
	const many = 100
	d := directory(t)
	for revision := range int64(many) {
		if err := Record(t.Context(), d, mustStore(t, d, []byte("x"), revision+1, Recipients{}), Rehearsal{At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		far := distant{d, new(atomic.Int32), new(atomic.Int32)}
		began := time.Now()
		c, err := List(t.Context(), far, "main", "")
		if took := time.Since(began); err != nil || len(c.Backups) != many || took > 2*many*distance/readers+2*distance || far.most.Load() != readers {
			t.Errorf("%d are listed in %s, %d at a time: %v", len(c.Backups), took, far.most.Load(), err)
		}
		for i, e := range c.Backups {
			if e.Revision != int64(many-i) || !e.Verified() {
				t.Fatalf("at %d there is %s", i, e)
			}
		}
	})
}

// TestManifestText holds the format of manifests of version 1, which are read for years.
func TestManifestText(t *testing.T) {
	const text = `{"version":1,"name":"20260304T130000Z-r1-a","cluster":"main","cluster_id":"cdf818194e3a8c32","member":"a","taken_at":"2026-03-04T13:00:00Z",` +
		`"revision":1,"compact_revision":1,"keys":30,"hash":4023,"etcd_version":"3.7.3","storage_version":"3.7","size_bytes":1,` +
		`"sha256":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881","encrypted_to":["age1x"],"stored_size_bytes":2,` +
		`"stored_sha256":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}`
	m, err := parseManifest("main/20260304T130000Z-r1-a.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if written, err := json.Marshal(m); err != nil || string(written) != text {
		t.Errorf("it is written as %s, %v", written, err)
	}
	if m.Snapshot != snapshotOf([]byte("x"), 1) || m.Key() != "main/20260304T130000Z-r1-a.db.age" {
		t.Errorf("it reads %+v", m)
	}
}
