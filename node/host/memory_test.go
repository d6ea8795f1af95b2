package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestFetchWantsMemory holds that a host on which a snapshot cannot be restored says so while nothing is stopped.
func TestFetchWantsMemory(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "a snapshot is bytes while it is on its way")
	_, _, content := aSnapshot(t)
	t.Run("memory", func(t *testing.T) {
		m, _ := newMachine(t)
		writeFile(t, m, "/proc/meminfo", "MemTotal:        60000 kB\nMemAvailable:    60000 kB\n")
		_, err := m.arrivals().Fetch(t.Context(), "main", upload(content), bytes.NewReader(content))
		mustRefuse(t, err, "has at least 30 keys", "at least 65 MiB of memory", "this host has 58 MiB")
		mustHaveFetched(t, m)
	})
	t.Run("before all is read", func(t *testing.T) {
		m, _ := newMachine(t)
		writeFile(t, m, "/proc/meminfo", "MemTotal:        70000 kB\nMemAvailable:    70000 kB\n")
		content := manyKeys(t, 100_000)
		_, err := m.arrivals().Fetch(t.Context(), "main", upload(content), bytes.NewReader(content))
		mustRefuse(t, err, "has at least 65", "MiB of memory", "this host has 68 MiB")
		mustHaveFetched(t, m)
	})
}

// manyKeys returns a snapshot of that many keys, the last of which cannot be read.
func manyKeys(t *testing.T, keys int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("meta"))
		in, made := tx.CreateBucket([]byte("key"))
		err = errors.Join(err, made)
		for i := uint64(1); i <= uint64(keys) && err == nil; i++ { //nolint:gosec // not negative
			revision := binary.BigEndian.AppendUint64(append(binary.BigEndian.AppendUint64(nil, i), '_'), 0)
			err = in.Put(revision, fmt.Appendf([]byte{1<<3 | 2, 7}, "%07d", i))
		}
		return errors.Join(err, in.Put([]byte("\xff no revision"), []byte("x")))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return withSum(database)
}
