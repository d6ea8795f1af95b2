package etcdfs

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// empty returns a data directory with no database yet.
func empty(t *testing.T) Data {
	t.Helper()
	d := Data{Root: t.TempDir(), Dir: "/var/lib/etcd/main"}
	if err := os.MkdirAll(filepath.Dir(d.path(Database(d.Dir))), 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// filled returns a data directory with a database that holds more than is read under its lock.
func filled(t *testing.T) (d Data, records int) {
	t.Helper()
	d = empty(t)
	records = 3 * lockedShare >> 20
	writeRecords(t, d, 0, records)
	return d, records
}

// writeRecords replaces the records of a database as etcd would write them. Nobody may keep it waiting for long.
func writeRecords(t *testing.T, d Data, from, to int) {
	t.Helper()
	db, err := bbolt.Open(d.path(Database(d.Dir)), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatalf("etcd would wait for the lock: %v", err)
	}
	defer db.Close()
	for i := from; i < to; i++ {
		if err := db.Update(func(tx *bbolt.Tx) error {
			keys, err := tx.CreateBucketIfNotExists([]byte("key"))
			if err != nil {
				return err
			}
			//nolint:gosec // not negative
			return keys.Put(binary.BigEndian.AppendUint64(make([]byte, 9), uint64(i)), make([]byte, 1<<20))
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAMemberStartsWhileItsDatabaseIsRead has etcd open a database, and write to it, while the database is checked for
// damage.
func TestAMemberStartsWhileItsDatabaseIsRead(t *testing.T) {
	t.Parallel()
	d, records := filled(t)
	seen, torn := map[string]bool{}, 0
	err := d.ReadAll(t.Context(), &Position{}, func(_ string, key, _ []byte) error {
		seen[string(key)] = true
		if len(seen) == records-10 && torn == 0 {
			torn++
			writeRecords(t, d, 0, records)
			return Damaged("what was read while it was written")
		}
		return nil
	})
	if err != nil || len(seen) != records {
		t.Errorf("%d of %d records were read: %v", len(seen), records, err)
	}
	again := false
	last := string(binary.BigEndian.AppendUint64(make([]byte, 9), uint64(records-1))) //nolint:gosec // not negative
	first := true
	err = d.ReadAll(t.Context(), &Position{}, func(_ string, key, _ []byte) error {
		// The reading lets others go first, except while it holds the lock: at its beginning, and when it reads again
		// what looked wrong.
		class, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
		if idle := class>>13 == ioIdle; first && idle || string(key) == last && again == idle {
			t.Errorf("it is read as idle: %t", idle)
		}
		first = false
		if string(key) == last {
			again = true
			return Damaged("what is damaged")
		}
		return nil
	})
	var found Damaged
	if !errors.As(err, &found) {
		t.Errorf("what is damaged is not found: %v", err)
	}
}

// TestAReadingForDamageEndsWithItsCaller cancels a reading halfway.
func TestAReadingForDamageEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	d, _ := filled(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read := 0
	err := d.ReadAll(ctx, &Position{}, func(string, []byte, []byte) error {
		read++
		if read == 20 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || read != 20 {
		t.Errorf("%d records were read: %v", read, err)
	}
}

// fault imitates the panic of a reading of mapped memory whose file cannot be read.
type fault struct{}

func (fault) Addr() uintptr { return 1 }

// TestADiskThatFailsIsNoDamage holds that a fault counts as damage only if the file itself can be read.
func TestADiskThatFailsIsNoDamage(t *testing.T) {
	d := empty(t)
	write := func() {
		t.Helper()
		if err := os.WriteFile(d.path(Database(d.Dir)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	for name, test := range map[string]struct {
		reason  any
		damaged bool
	}{
		"a page that makes no sense":                {"page 7: invalid page type", true},
		"a page behind the end of a file":           {fault{}, true},
		"a page of a file that cannot be read, too": {fault{}, false},
	} {
		if !test.damaged {
			if err := os.Remove(d.path(Database(d.Dir))); err != nil {
				t.Fatal(err)
			}
		}
		err := d.panicked(t.Context(), test.reason)
		if err == nil || errors.As(err, new(Damaged)) != test.damaged {
			t.Errorf("%s: %v", name, err)
		}
		write()
	}
	broken := errors.New("input/output error")
	if err := readThrough(t.Context(), io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a read that fails: %v", err)
	}
	if err := readThrough(t.Context(), strings.NewReader("all")); err != nil {
		t.Errorf("a read that ends: %v", err)
	}
}
