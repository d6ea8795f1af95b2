package etcdfs

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protowire"
)

// revision returns the key of a record of etcd's.
func revision(main, sub uint64) []byte {
	return binary.BigEndian.AppendUint64(append(binary.BigEndian.AppendUint64(nil, main), '_'), sub)
}

// named returns the value of a record of etcd's.
func named(name string, value int) []byte {
	text := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte(name))
	return protowire.AppendBytes(protowire.AppendTag(text, 5, protowire.BytesType), make([]byte, value))
}

// aSnapshot writes a snapshot of one record for each revision, from 2 on.
func aSnapshot(t *testing.T, records int, record func(i int) (name string, deletes bool)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < records || from == 0; from += 50_000 {
		if err := db.Update(func(tx *bbolt.Tx) error {
			meta, err := tx.CreateBucketIfNotExists([]byte("meta"))
			if err == nil {
				err = meta.Put([]byte("storageVersion"), []byte("3.6.0"))
			}
			if err != nil {
				return err
			}
			in, err := tx.CreateBucketIfNotExists([]byte("key"))
			for i := from; i < min(records, from+50_000) && err == nil; i++ {
				name, deletes := record(i)
				key := revision(uint64(i)+2, 0) //nolint:gosec // not negative
				if deletes {
					key = append(key, 't')
				}
				err = in.Put(key, named(name, 8))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(sum.Sum(nil)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVerificationHoldsNoKeys holds that a verification beside a member takes little memory for each key.
//
//nolint:paralleltest // it counts what this process allocates
func TestVerificationHoldsNoKeys(t *testing.T) {
	const keys = 300_000
	path := aSnapshot(t, keys, func(i int) (string, bool) {
		return fmt.Sprintf("/registry/pods/of-a-namespace-with-a-name/with-a-name-of-some-length-%d", i), false
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found, err := VerifySnapshot("of many keys", path)
	runtime.ReadMemStats(&after)
	if err != nil || found.Keys != keys || found.Revision != keys+1 || found.Version != "3.6.0" {
		t.Fatalf("it is %+v, %v", found, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d keys have taken %d bytes each", keys, took/keys)
	}
}

// mustBeAsEtcdutlSays compares what was read of a snapshot with what etcd's own tool reads of it.
func mustBeAsEtcdutlSays(t *testing.T, path string, read status) {
	t.Helper()
	says, err := snapshot.NewV3(zap.NewNop()).Status(path)
	if err != nil {
		t.Errorf("it is %+v, and etcdutl says: %v", read, err)
		return
	}
	if err := viewDatabase(path, func(p *pages) error {
		raised := false
		err := p.eachIn("key", func(_, value []byte) error {
			raised = raised || len(value) == 0
			return nil
		})
		if raised {
			says.TotalKey--
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if read.revision != says.Revision || read.keys != says.TotalKey || read.version != says.Version {
		t.Errorf("it is %+v, and etcdutl says %+v", read, says)
	}
}

// TestSnapshotsAreReadAsEtcdutlReadsThem compares the answers on snapshots of many histories.
func TestSnapshotsAreReadAsEtcdutlReadsThem(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 2))
	for _, records := range []int{0, 1, 2, 50, 3000, 120_000} {
		for _, spread := range []int{1, 40, 1 << 40} {
			path := aSnapshot(t, records, func(int) (string, bool) { return fmt.Sprint(r.IntN(spread)), r.IntN(3) == 0 })
			asked := 0
			read, err := statusOf(path, func(keys int) error {
				asked = keys
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			mustBeAsEtcdutlSays(t, path, read)
			if asked > read.keys+read.keys/4 || read.keys > 2*firstAsked && asked == 0 {
				t.Errorf("of %d keys it asks about %d", read.keys, asked)
			}
		}
	}
}

// TestNamesAreCounted compares the count of names with a map of them.
func TestNamesAreCounted(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 1))
	for _, spread := range []int{1, 3, 700, 40_000, 1 << 30} {
		all := newNames()
		want := map[string]bool{}
		for range 200_000 {
			name := fmt.Sprint(r.IntN(spread))
			if r.IntN(3) == 0 {
				all.remove([]byte(name))
				delete(want, name)
			} else {
				want[name] = true
				if err := all.add([]byte(name)); err != nil {
					t.Fatal(err)
				}
			}
			if all.count != len(want) {
				t.Fatalf("of %d different ones %d are counted, and not %d", spread, all.count, len(want))
			}
		}
		taken := 0
		for i := range all.parts {
			taken += len(all.parts[i].slots)
		}
		if most := 14*len(want) + 1<<20; taken > most {
			t.Errorf("%d names take %d bytes", len(want), taken)
		}
		for name := range want {
			all.remove([]byte(name))
		}
		if all.count != 0 {
			t.Errorf("%d are left", all.count)
		}
		if err := all.free(); err != nil {
			t.Error(err)
		}
	}
}
