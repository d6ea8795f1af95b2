package damage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

const dataDir = "/var/lib/etcd/main"

// newReader returns a reader of a data directory below a root of the test's own.
func newReader(t *testing.T) Reader {
	t.Helper()
	return Reader{Files: files.Tree{Root: t.TempDir()}, Now: time.Now, Dir: dataDir}
}

// write writes a file of the host.
func write(t *testing.T, r Reader, path, text string) {
	t.Helper()
	mustNotFail(t, errors.Join(os.MkdirAll(filepath.Dir(r.Files.Path(path)), 0o700), os.WriteFile(r.Files.Path(path), []byte(text), 0o600)))
}

func mustNotFail(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAReadingForDamageGoesOn has checks end before a database is read. Each continues where the one before has
// stopped, until the damage is known. A file that was written to since is read from its beginning.
func TestAReadingForDamageGoesOn(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	const records = 48
	write(t, r, etcdfs.LogDir(dataDir)+"/x", "")
	mustNotFail(t, os.MkdirAll(filepath.Dir(r.Files.Path(etcdfs.Database(dataDir))), 0o700))
	db, err := bbolt.Open(r.Files.Path(etcdfs.Database(dataDir)), 0o600, nil)
	mustNotFail(t, err)
	mustNotFail(t, errors.Join(db.Update(func(tx *bbolt.Tx) error {
		keys, err := tx.CreateBucket([]byte("key"))
		for i := range records {
			err = errors.Join(err, keys.Put([]byte{byte(i)}, []byte("value")))
		}
		return err
	}), db.Close()))
	grown := func(by time.Duration) {
		t.Helper()
		if err := os.Chtimes(r.Files.Path(etcdfs.Database(dataDir)), time.Now(), time.Now().Add(-by)); err != nil {
			t.Fatal(err)
		}
	}
	look := func(lasts int) (read int, err error) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err = r.examined().once(etcdfs.CheckDatabase, []string{etcdfs.Database(dataDir)}, func(at *etcdfs.Position) error {
			return r.data().ReadAll(ctx, at, func(string, []byte, []byte) error {
				if read++; read == lasts {
					cancel()
				}
				return nil
			})
		})
		return read, err
	}
	const some = 20
	grown(time.Hour)
	wants := func(when string, lasts, wants int, ends bool) {
		t.Helper()
		if read, err := look(lasts); read != wants || (err == nil) != ends {
			t.Errorf("%s %d records were read, and not %d: %v", when, read, wants, err)
		}
		if _, known := r.examined().kept(etcdfs.CheckDatabase, []string{etcdfs.Database(dataDir)}); known != ends {
			t.Errorf("%s it is known what is wrong: %t", when, known)
		}
	}
	wants("at first", some, some, false)
	wants("after a look that ended", some, some, false)
	grown(2 * time.Hour)
	wants("of a file that was written to", some, some, false)
	wants("after that, of the rest and the last record", records+1, records-some+1, true)
	wants("of what is known", 1, 0, true)
}

// TestAFileIsReadForDamageOnce checks the same files twice, and changed ones.
func TestAFileIsReadForDamageOnce(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	path := r.Files.Path(etcdfs.Database(dataDir))
	write(t, r, etcdfs.Database(dataDir), "half")
	look := func(err error, wants int) {
		t.Helper()
		read := 0
		for range 2 {
			got := r.examined().once("database", []string{etcdfs.Database(dataDir)}, func(*etcdfs.Position) error { read++; return err })
			if !errors.Is(got, err) {
				t.Errorf("it says %v, and not %v", got, err)
			}
		}
		if read != wants {
			t.Errorf("it was read %d times, and not %d times", read, wants)
		}
	}
	age := func(age time.Duration) {
		t.Helper()
		if err := os.Chtimes(path, time.Now(), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	look(nil, 2) // it may be written to within the same tick of the clock
	age(time.Minute)
	look(etcdfs.Damaged("it is damaged"), 1)
	look(etcdfs.Damaged("it is damaged"), 0)
	age(time.Hour)
	look(etcdfs.ErrInUse, 2)
	look(nil, 1)
	look(nil, 0)
	if err := os.Truncate(path, 2); err != nil {
		t.Fatal(err)
	}
	age(time.Hour)
	look(etcdfs.Damaged("it is short"), 1)
}

// TestASoundDatabaseIsReadSeldom has a member write to its database before it ends, at each failed start.
func TestASoundDatabaseIsReadSeldom(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	database := etcdfs.Database(dataDir)
	write(t, r, database, "good")
	written := 0
	read := func(check string, restarts int, says error) (done bool) {
		t.Helper()
		written++
		if err := os.Chtimes(r.Files.Path(database), time.Now(), time.Now().Add(-time.Hour+time.Duration(written)*time.Second)); err != nil {
			t.Fatal(err)
		}
		r.Restarts = restarts
		_ = r.examined().once(check, []string{database}, func(*etcdfs.Position) error { done = true; return says })
		return done
	}
	for _, look := range []struct {
		restarts int
		reads    bool
		// Before the last two, somebody has started the unit, which resets its count.
	}{{3, true}, {3, false}, {5, false}, {6, true}, {11, false}, {12, true}, {4, true}, {5, false}} {
		if got := read(etcdfs.CheckDatabase, look.restarts, nil); got != look.reads {
			t.Errorf("after %d starts in vain it is read: %t", look.restarts, got)
		}
	}
	// Another file is checked again, and so are damage and a log: they are the last start's.
	if err := os.Rename(r.Files.Path(database), r.Files.Path(database)+".old"); err != nil {
		t.Fatal(err)
	}
	write(t, r, database, "another")
	if !read(etcdfs.CheckDatabase, 5, etcdfs.Damaged("it is damaged")) || !read(etcdfs.CheckDatabase, 5, nil) || !read("log", 5, nil) || !read("log", 5, nil) {
		t.Error("what says nothing of now is believed")
	}
}
