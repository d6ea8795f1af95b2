package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
)

// written returns a stopped member with a log in several files, snapshots of it, and a database.
func written(t *testing.T) *fleetMember {
	t.Helper()
	f := newcomer(t, newAuthority(t), "a")
	f.configure(t, []*fleetMember{f}, "new")
	f.config.Flags = append(f.config.Flags, "--snapshot-count=20")
	f.apply(t)
	f.start(t)
	f.await(t, api.AwaitRequest{Members: 1})
	f.client(t, func(c *clientv3.Client) {
		value := strings.Repeat("x", 1<<20)
		for i := range 70 {
			put := func() error { _, err := c.Put(t.Context(), string(rune('a'+i%8)), value); return err }
			if err := persist(t, put); err != nil {
				t.Fatal(err)
			}
		}
	})
	f.put(t, 50)
	if err := f.units.Stop(t.Context(), api.Unit("main")); err != nil {
		t.Fatal(err)
	}
	if files := f.etcd(dataDir).LogFiles(); len(files) < 2 {
		t.Fatalf("its log has the files %v", files)
	}
	return f
}

// change changes the bytes of a file.
func change(t *testing.T, path string, do func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, do(bytes.Clone(text)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func half(text []byte) []byte { return text[:len(text)/2] }

// logRecords passes where each record of a log's file begins and ends, without what fills it up, to see, until that
// returns false. It returns where the last of them ends.
func logRecords(text []byte, see func(begins, ends int) bool) int {
	at := 0
	for {
		head := binary.LittleEndian.Uint64(text[at:])
		size := int(head & (1<<56 - 1))
		if size == 0 || !see(at, at+8+size) {
			return at
		}
		if head>>63 == 1 {
			size += int(head >> 56 & 7)
		}
		at += 8 + size
	}
}

// endOfLog returns where the records of a log's file end.
func endOfLog(text []byte) int { return logRecords(text, func(int, int) bool { return true }) }

// midOfLog returns a byte in the middle of a log's file that a checksum covers: the last one of a record.
func midOfLog(text []byte) (at int) {
	mid := endOfLog(text) / 2
	logRecords(text, func(_, ends int) bool {
		at = ends - 1
		return ends <= mid
	})
	return at
}

// TestDamageIsWhatEtcdFailsBy damages a member's files in many ways: what is said to be damaged is what etcd ends by,
// and what etcd starts on is not said to be.
func TestDamageIsWhatEtcdFailsBy(t *testing.T) {
	t.Parallel()
	f := written(t)
	whole := f.path(dataDir) + ".whole"
	if out, err := exec.Command("cp", "-a", f.path(dataDir), whole).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := f.etcd(dataDir).LogFiles()
	first, last := f.path(files[0]), f.path(files[len(files)-1])
	db := f.path(etcdfs.Database(dataDir))
	flipAt := func(path string, where func([]byte) int) {
		change(t, path, func(text []byte) []byte { text[where(text)] ^= 0x10; return text })
	}
	pages := func(from, to int) {
		size := os.Getpagesize()
		change(t, db, func(text []byte) []byte {
			copy(text[from*size:min(to*size, len(text))], bytes.Repeat([]byte{0xa5}, len(text)))
			return text
		})
	}
	// What etcd starts on alone, and ends by as soon as it hears from a leader.
	const short = "and its database has come to entry"
	damages := map[string]struct {
		inflict func()
		says    string // empty: etcd starts
	}{
		"a length in the log": {func() {
			change(t, last, func(text []byte) []byte {
				copy(text[8+int(text[0]&0xf8):], bytes.Repeat([]byte{0x7f}, 64))
				return text
			})
		}, "its "},
		"nothing":                   {func() {}, ""},
		"a flipped bit of the log":  {func() { flipAt(last, midOfLog) }, "its log cannot be read"},
		"a flipped bit, first file": {func() { flipAt(first, func(text []byte) int { return len(text) / 2 }) }, "its log cannot be read"},
		"half of the first file":    {func() { change(t, first, half) }, "ends in the middle of a record"},
		"its last file is missing":  {func() { _ = os.Remove(last) }, short},
		"the last record is torn": {func() {
			change(t, last, func(text []byte) []byte { return text[:endOfLog(text)-3] })
		}, ""},
		"half of the database":    {func() { change(t, db, half) }, "its database"},
		"an empty page of it":     {func() { change(t, db, func(text []byte) []byte { return text[:3] }) }, "its database"},
		"its first pages":         {func() { pages(0, 2) }, "its database"},
		"all but its first pages": {func() { pages(2, 1<<20) }, "its database"},
		"the database is missing": {func() { _ = os.Remove(db) }, "is missing"},
		"a record that is none": {func() {
			at, err := bbolt.Open(db, 0o600, nil)
			if err == nil {
				err = at.Update(func(tx *bbolt.Tx) error {
					key, _ := tx.Bucket([]byte("key")).Cursor().Last()
					return tx.Bucket([]byte("key")).Put(bytes.Clone(key), []byte{0xff, 0xff, 0xff})
				})
			}
			if err == nil {
				err = at.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "cannot be read"},
	}
	for _, name := range sample.EveryNth(t, 3, slices.Sorted(maps.Keys(damages))) {
		test := damages[name]
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(f.path(dataDir)); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("cp", "-a", whole, f.path(dataDir)).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			test.inflict()
			before := tree(t, f.Machine, filepath.Join(dataDir, "member"))
			says := f.damage(dataDir, lostRestarts).Find(t.Context())
			if (says == "") != (test.says == "") || !strings.Contains(says, test.says) {
				t.Errorf("it says %q, and not %q", says, test.says)
			}
			if after := tree(t, f.Machine, filepath.Join(dataDir, "member")); len(after) != len(before) {
				t.Errorf("looking has changed the files: %v", after)
			}
			f.start(t)
			defer f.units.end(syscall.SIGKILL)
			ended, end := false, time.Now().Add(patience)
			for !ended && time.Now().Before(end) {
				select {
				case <-f.units.ended:
					ended = true
				case <-time.After(readyPoll):
				}
				if f.local(f.marker).Ready(t.Context()) {
					break
				}
			}
			if starts := !ended; starts != (says == "") && !strings.Contains(says, short) {
				t.Errorf("etcd starts: %t, and it is said: %q", starts, says)
			}
		})
	}
}

// TestDamageIsLookedForWhereStartsAreInVain does not look at the files of a member that has just been started.
func TestDamageIsLookedForWhereStartsAreInVain(t *testing.T) {
	t.Parallel()
	f := written(t)
	f.units.active[api.Unit("main")], f.units.pid = "activating", 0 // between two starts
	f.Run = func(context.Context, string, ...string) ([]byte, error) {
		return []byte(`{"level":"error","msg":"checkInitialHashKV failed","error":"8e9e found data inconsistency with peers"}` + "\n"), nil
	}
	for restarts, differs := range map[int]bool{2: false, 3: true} {
		f.units.restarts = restarts
		o, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
		if err != nil {
			t.Fatal(err)
		}
		if o.Data.Damage != "" || o.Data.Differs != differs {
			t.Errorf("after %d starts in vain it is damaged (%q), and differs: %t", restarts, o.Data.Damage, o.Data.Differs)
		}
	}
	// So it is known to who looks while the next process runs, which has not come as far yet.
	f.units.restarts, f.units.pid = lostRestarts, 1<<22 // no such process: it has just ended
	if o, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir}); err != nil || !o.Unit.Looping || !o.Data.Differs {
		t.Errorf("while it runs it loops: %t, and differs: %t, %v", o.Unit.Looping, o.Data.Differs, err)
	}
	f.units.pid = 0
	change(t, f.path(etcdfs.Database(dataDir)), half)
	for restarts, says := range map[int]bool{0: false, 2: false, 3: true} {
		f.units.restarts = restarts
		o, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
		if err != nil {
			t.Fatal(err)
		}
		if (o.Data.Damage != "") != says {
			t.Errorf("after %d starts in vain: %q", restarts, o.Data.Damage)
		}
	}
}

// TestWhatAMemberHasAcknowledgedIsTold tells which entry a member lacks that ends over it again and again.
func TestWhatAMemberHasAcknowledgedIsTold(t *testing.T) {
	t.Parallel()
	f := written(t)
	f.units.active[api.Unit("main")], f.units.pid = "activating", 0
	journal := ""
	f.Run = func(context.Context, string, ...string) ([]byte, error) { return []byte(journal), nil }
	acknowledged := func(restarts int) (lacks, end uint64) {
		f.units.restarts = restarts
		o, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
		if err != nil || o.Data.Log == nil || o.Data.Log.Index == 0 {
			t.Fatalf("%+v, %v", o.Data.Log, err)
		}
		return o.Data.Log.Acknowledged, o.Data.Log.Index
	}
	_, end := acknowledged(lostRestarts)
	journal = fmt.Sprintf("panic: tocommit(%d) is out of range [lastIndex(%d)]. Was the raft log corrupted, truncated, or lost?\n", end+9, end)
	for restarts, want := range map[int]uint64{lostRestarts - 1: 0, lostRestarts: end + 9} {
		if lacks, _ := acknowledged(restarts); lacks != want {
			t.Errorf("after %d starts in vain it is said to lack entry %d, want %d", restarts, lacks, want)
		}
	}
}

// TestALookSurvivesPagesInACircle looks at a member whose database leads a reader around and around: it is damaged, and
// the look is none the worse for it.
func TestALookSurvivesPagesInACircle(t *testing.T) {
	t.Parallel()
	f := written(t)
	f.units.active[api.Unit("main")], f.units.pid, f.units.restarts = "activating", 0, lostRestarts
	f.Run = func(context.Context, string, ...string) ([]byte, error) { return nil, nil }
	change(t, f.path(etcdfs.Database(dataDir)), encircle)
	o, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(o.Data.Damage, "two pages lead to page") || o.Data.Log == nil || !strings.Contains(o.Data.Log.DatabaseError, "its pages lead to one another") || o.Data.Log.Error != "" {
		t.Errorf("it says %q, and of its log %+v", o.Data.Damage, o.Data.Log)
	}
	if err := f.Guard("main"); err != nil {
		t.Errorf("the guard says %v", err)
	}
	if _, err := f.etcd(dataDir).HighestRevision(); err != nil {
		t.Errorf("its highest revision: %v", err)
	}
}

// mended imitates units of which the one that is asked for becomes active at a question.
type mended struct {
	Units
	asked, from int
}

func (m *mended) State(ctx context.Context, unit string) (api.UnitState, error) {
	state, err := m.Units.State(ctx, unit)
	if m.asked++; m.asked >= m.from {
		state.ActiveState, state.Restarts = "active", 0
	}
	return state, err
}

// TestAMemberThatIsMendedWhileItsDataIsRead has the member come up while its database is read, which may take minutes.
func TestAMemberThatIsMendedWhileItsDataIsRead(t *testing.T) {
	t.Parallel()
	f := written(t)
	f.units.active[api.Unit("main")], f.units.pid, f.units.restarts = "activating", 0, lostRestarts
	f.Run = func(context.Context, string, ...string) ([]byte, error) { return nil, nil }
	change(t, f.path(etcdfs.Database(dataDir)), half)
	units := &mended{Units: f.Units, from: math.MaxInt}
	f.Units = units
	o, err := f.look(t.Context(), "main", api.ObserveRequest{DataDir: dataDir}, 0)
	if err != nil || !crashes(o) {
		t.Fatalf("it is %+v, %v", o.Unit, err)
	}
	units.asked, units.from = 0, units.asked+1
	if o, err = f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir}); err != nil || o.Unit.ActiveState != "active" || o.Data.Damage != "" {
		t.Errorf("it is said to be %s, damaged %q, %v", o.Unit.ActiveState, o.Data.Damage, err)
	}
}
