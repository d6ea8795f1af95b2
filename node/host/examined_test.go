package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
)

// TestAReadingForDamageGoesOn has looks end before a database is read: each goes on where the one before has come to, until it is
// known what is wrong with it. A file that was written to since is read from its beginning.
func TestAReadingForDamageGoesOn(t *testing.T) {
	t.Parallel()
	m, _ := newMachine(t)
	const records = 48
	writeFile(t, m, etcdfs.LogDir(dataDir)+"/x", "")
	mustNotFail(t, os.MkdirAll(filepath.Dir(m.path(etcdfs.Database(dataDir))), 0o700))
	db, err := bbolt.Open(m.path(etcdfs.Database(dataDir)), 0o600, nil)
	mustNotFail(t, err)
	mustNotFail(t, errors.Join(db.Update(func(tx *bbolt.Tx) error {
		keys, err := tx.CreateBucket([]byte("key"))
		for i := range records {
			err = errors.Join(err, keys.Put([]byte{byte(i)}, []byte("value")))
		}
		return err
	}), db.Close()))
	m.Now = time.Now
	grown := func(by time.Duration) {
		t.Helper()
		if err := os.Chtimes(m.path(etcdfs.Database(dataDir)), time.Now(), time.Now().Add(-by)); err != nil {
			t.Fatal(err)
		}
	}
	look := func(lasts int) (read int, err error) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err = m.examined(dataDir, 0).once(etcdfs.CheckDatabase, []string{etcdfs.Database(dataDir)}, func(at *etcdfs.Position) error {
			return m.etcd(dataDir).ReadAll(ctx, at, func(string, []byte, []byte) error {
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
		if _, known := m.examined(dataDir, 0).kept(etcdfs.CheckDatabase, []string{etcdfs.Database(dataDir)}); known != ends {
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
