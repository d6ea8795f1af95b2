package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestStoreAndFetch(t *testing.T) {
	secret, public := identity(t)
	_, another := identity(t)
	for name, test := range map[string]struct {
		size       int
		recipients []string
		key        string
	}{
		"in the clear":      {3 << 20, nil, "main/20260305T190000Z-r31-a.db"},
		"encrypted":         {3 << 20, []string{another, public}, "main/20260305T190000Z-r31-a.db.age"},
		"one byte":          {1, []string{public}, "main/20260305T190000Z-r31-a.db.age"},
		"whole age chunks":  {128 << 10, []string{public}, "main/20260305T190000Z-r31-a.db.age"},
		"one byte in clear": {1, nil, "main/20260305T190000Z-r31-a.db"},
	} {
		t.Run(name, func(t *testing.T) {
			d, text, r := directory(t), noise(test.size, 1), recipients(t, test.recipients...)
			m := mustStore(t, d, text, 31, r)
			if got := keys(t, d); !slices.Equal(got, []string{test.key, "main/20260305T190000Z-r31-a.json"}) {
				t.Errorf("there are %q", got)
			}
			if m.StoredSizeBytes > r.encryptedSize(m.SizeBytes) {
				t.Errorf("%d bytes were stored, and %d announced", m.StoredSizeBytes, r.encryptedSize(m.SizeBytes))
			}
			if onDisk, _ := os.ReadFile(filepath.Join(d.root, test.key)); bytes.Equal(onDisk, text) == m.Encrypted() || test.size > 1 && bytes.Contains(onDisk, text[:16]) == m.Encrypted() {
				t.Errorf("encrypted: %v, and what is stored says otherwise", m.Encrypted())
			}
			mustFetch(t, d, m, secret, text)
		})
	}
}

// TestStoreOfWhatIsNotSo holds that a snapshot which does not match its description leaves nothing.
func TestStoreOfWhatIsNotSo(t *testing.T) {
	text := noise(1<<20, 2)
	flipped := slices.Clone(text)
	flipped[len(text)/2] ^= 1
	broken := errors.New("the stream broke")
	_, public := identity(t)
	for name, test := range map[string]struct {
		from io.Reader
		says error
	}{
		"one bit":      {bytes.NewReader(flipped), ErrBackupDamaged},
		"cut off":      {bytes.NewReader(text[:len(text)-1]), ErrBackupDamaged},
		"longer":       {io.MultiReader(bytes.NewReader(text), bytes.NewReader([]byte{0})), ErrBackupDamaged},
		"broken":       {io.MultiReader(bytes.NewReader(text[:1000]), iotest.ErrReader(broken)), broken},
		"broken ended": {io.MultiReader(bytes.NewReader(text), iotest.ErrReader(broken)), broken},
	} {
		for encryption, r := range map[string]Recipients{"clear": {}, "encrypted": recipients(t, public)} {
			d := directory(t)
			_, err := Store(t.Context(), d, snapshotOf(text, 1), test.from, r)
			if !errors.Is(err, test.says) {
				t.Errorf("%s, %s: %v", name, encryption, err)
			}
			if left := keys(t, d); len(left) > 0 {
				t.Errorf("%s, %s: %q are left", name, encryption, left)
			}
			if seeker, ok := test.from.(io.Seeker); ok {
				seeker.Seek(0, io.SeekStart)
			}
		}
	}
}

// failing is a directory of which one call fails, be it that it has done what it was to do. Like storage behind a
// network it does nothing once a call's context has ended.
type failing struct {
	*Directory
	put, list func(key string, do func() error) error
}

func (f failing) Put(ctx context.Context, key string, size int64, content io.Reader) error {
	return f.put(key, func() error { return f.Directory.Put(ctx, key, size, content) })
}

func (f failing) List(ctx context.Context, prefix string) (found []Object, err error) {
	err = f.list(prefix, func() (err error) { found, err = f.Directory.List(ctx, prefix); return err })
	return found, err
}

func (f failing) Remove(ctx context.Context, key string) error {
	return errors.Join(ctx.Err(), f.Directory.Remove(ctx, key))
}

// TestAFailedBackupLeavesNothing holds that a backup that fails after its data was stored leaves none of that, which
// would lie there under its own name for a day.
func TestAFailedBackupLeavesNothing(t *testing.T) {
	text, broken := noise(1<<20, 6), errors.New("it broke")
	does := func(_ string, do func() error) error { return do() }
	fails := func(suffix string, done bool) func(string, func() error) error {
		return func(key string, do func() error) error {
			switch {
			case !strings.HasSuffix(key, suffix):
				return do()
			case done:
				return errors.Join(do(), broken)
			}
			return broken
		}
	}
	for name, f := range map[string]failing{
		"the data was renamed, and not synced":     {put: fails(".db", true), list: does},
		"it cannot be listed":                      {put: does, list: fails(".db", false)},
		"the manifest cannot be stored":            {put: fails(".json", false), list: does},
		"the manifest was renamed, and not synced": {put: fails(".json", true), list: does},
	} {
		for _, stopped := range []bool{false, true} {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			f.Directory = directory(t)
			put := f.put
			f.put = func(key string, do func() error) error {
				err := put(key, do)
				if stopped && err != nil {
					stop()
				}
				return err
			}
			if _, err := Store(ctx, f, snapshotOf(text, 1), bytes.NewReader(text), Recipients{}); !errors.Is(err, broken) {
				t.Errorf("%s: %v", name, err)
			}
			if left := keys(t, f.Directory); len(left) > 0 {
				t.Errorf("%s, stopped %v: %q are left", name, stopped, left)
			}
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	text := noise(100, 1)
	for says, change := range map[string]func(*Snapshot){
		"no name of a cluster":                 func(s *Snapshot) { s.Cluster = "../main" },
		"no name of a member":                  func(s *Snapshot) { s.Member = "a/b" },
		"no revision":                          func(s *Snapshot) { s.Revision = 0 },
		"it is empty":                          func(s *Snapshot) { s.SizeBytes = 0 },
		"no SHA-256":                           func(s *Snapshot) { s.SHA256 = "" },
		"does not say when it was":             func(s *Snapshot) { s.TakenAt = s.TakenAt.AddDate(-2025, -2, -3).Add(-13 * 3600e9) },
		"there is one of this name":            func(*Snapshot) {},
		"the snapshot: the backup is damaged:": func(s *Snapshot) { s.Member, s.SizeBytes = "b", 99 },
	} {
		d := directory(t)
		mustStore(t, d, text, 1, Recipients{})
		s := snapshotOf(text, 1)
		change(&s)
		_, err := Store(t.Context(), d, s, bytes.NewReader(text), Recipients{})
		mustSay(t, err, says)
		if left := keys(t, d); len(left) != 2 {
			t.Errorf("%s: there are %q", says, left)
		}
	}
}

func TestFetchOfWhatIsDamaged(t *testing.T) {
	secret, public := identity(t)
	text := noise(1<<20, 3)
	for encryption, r := range map[string]Recipients{"clear": {}, "encrypted": recipients(t, public)} {
		for name, damage := range map[string]func([]byte) []byte{
			"first byte": func(b []byte) []byte { b[0] ^= 1; return b },
			"header":     func(b []byte) []byte { b[40] ^= 1; return b },
			"middle":     func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			"last byte":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
			"cut off":    func(b []byte) []byte { return b[:len(b)-1] },
			"cut early":  func(b []byte) []byte { return b[:10] },
			"longer":     func(b []byte) []byte { return append(b, 0) },
			"empty":      func([]byte) []byte { return nil },
		} {
			d := directory(t)
			m := mustStore(t, d, text, 1, r)
			path := filepath.Join(d.root, m.Key())
			stored, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(stored), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Fetch(t.Context(), d, m, secret, io.Discard); !errors.Is(err, ErrBackupDamaged) {
				t.Errorf("%s, %s: %v", encryption, name, err)
			}
		}
		d := directory(t)
		m := mustStore(t, d, text, 1, r)
		if err := d.Remove(t.Context(), m.Key()); err != nil {
			t.Fatal(err)
		}
		if err := Fetch(t.Context(), d, m, secret, io.Discard); !errors.Is(err, ErrNoObject) {
			t.Errorf("%s, gone: %v", encryption, err)
		}
	}
}

func TestFetchSaysWhoFails(t *testing.T) {
	d, text := directory(t), noise(1<<20, 4)
	m := mustStore(t, d, text, 1, Recipients{})
	full := errors.New("no space left")
	if err := Fetch(t.Context(), d, m, Identities{}, failingWriter{full}); !errors.Is(err, full) || errors.Is(err, ErrBackupDamaged) {
		t.Errorf("a writer that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Fetch(ctx, d, m, Identities{}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupt: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestDelete(t *testing.T) {
	d := directory(t)
	gone, stays := mustStore(t, d, noise(10, 1), 1, Recipients{}), mustStore(t, d, noise(10, 1), 2, Recipients{})
	for range 2 {
		if err := Delete(t.Context(), d, gone); err != nil {
			t.Fatal(err)
		}
	}
	if left := keys(t, d); !slices.Equal(left, []string{stays.Key(), stays.key(manifestSuffix)}) {
		t.Errorf("there are %q", left)
	}
}
