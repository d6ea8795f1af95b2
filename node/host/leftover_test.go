package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// TestLeftoversOfUploadsGo has a run find parts of uploads of a restore that was given up: old ones go, on a host of
// the cluster and on a bare one, and what is recent, another's, or needed by a restore stays. What is recent takes no
// room for what has not come.
func TestLeftoversOfUploadsGo(t *testing.T) {
	const old, recent = arrivals.LeftAfter + time.Hour, arrivals.LeftAfter - time.Hour
	part, fetched := "arriving-"+strings.Repeat("a", 64), "restore-"+strings.Repeat("b", 64)+".db"
	for name, test := range map[string]struct {
		arrange func(t *testing.T, m *Machine) (dataDir string)
		goes    bool
	}{
		"a host of the cluster": {func(t *testing.T, m *Machine) string {
			r := prepareOf("main")
			r.Marker.DataDir = "/srv/etcd"
			prepared(t, m, r)
			return r.Marker.DataDir
		}, true},
		"a bare host": {func(*testing.T, *Machine) string { return api.DefaultDataDir("main") }, true},
		"a host of another cluster there": {func(t *testing.T, m *Machine) string {
			r := prepareOf("events")
			r.Marker.DataDir = api.DefaultDataDir("main")
			prepared(t, m, r)
			return r.Marker.DataDir
		}, false},
		"a restore under way": {func(t *testing.T, m *Machine) string {
			r := prepareOf("main")
			prepared(t, m, r)
			if err := m.records().PutRestoration("main", &records.Restoration{Restoration: api.Restoration{Stage: api.StageFenced}}); err != nil {
				t.Fatal(err)
			}
			return r.Marker.DataDir
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			dir := api.SnapshotDir(test.arrange(t, m))
			ages := map[string]time.Duration{
				part: old, fetched: old, arrivals.Fetching: old, "12-20260101T000000Z.db": old, "arriving-mine": old,
				"arriving-" + strings.Repeat("c", 64): recent,
			}
			for name, age := range ages {
				path := filepath.Join(dir, name)
				writeFile(t, m, path, "part")
				if err := os.Chtimes(m.path(path), m.Now(), m.Now().Add(-age)); err != nil {
					t.Fatal(err)
				}
			}
			begun, err := os.OpenFile(m.path(filepath.Join(dir, "arriving-"+strings.Repeat("c", 64))), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer begun.Close()
			if err := durable.Reserve(begun, 8<<20); err != nil {
				t.Fatal(err)
			}
			hold(t, m, "main", "1", patience).release(t)
			info, err := begun.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if taken := info.Sys().(*syscall.Stat_t).Blocks * 512; (taken < 8<<20) != test.goes {
				t.Errorf("a part of %d bytes, whose call has ended, takes %d on the disk", info.Size(), taken)
			}
			for name := range ages {
				_, err := os.Lstat(m.path(filepath.Join(dir, name)))
				if goes := test.goes && slices.Contains([]string{part, fetched, arrivals.Fetching}, name); os.IsNotExist(err) != goes {
					t.Errorf("%s is gone: %t", name, os.IsNotExist(err))
				}
			}
		})
	}
}

// TestLeftoversOutlastAClockThatJumps: what has been written to since the boot is as old as it is by the time since
// that, however far the clock has jumped ahead.
func TestLeftoversOutlastAClockThatJumps(t *testing.T) {
	part, fetched := "arriving-"+strings.Repeat("a", 64), "restore-"+strings.Repeat("b", 64)+".db"
	for name, test := range map[string]struct {
		noted, up string // the time since the boot, when it was written to, and now
		stays     bool
	}{
		"an hour later":         {"1000.50 1.00\n", "4600.50 2.00\n", true},
		"four days later":       {"1000.50 1.00\n", "346600.50 2.00\n", false},
		"before the last boot":  {"", "4600.50 2.00\n", false},
		"of an older version's": {"\n", "4600.50 2.00\n", false}, // which wrote nothing down
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			for _, file := range []string{part, fetched} {
				path := filepath.Join(api.SnapshotDir(api.DefaultDataDir("main")), file)
				writeFile(t, m, path, "part")
				came := m.Now()
				if err := os.Chtimes(m.path(path), came, came); err != nil {
					t.Fatal(err)
				}
				if test.noted != "" {
					writeFile(t, m, "/proc/uptime", test.noted)
					if err := m.arrivals().NoteSinceBoot(path); err != nil {
						t.Fatal(err)
					}
				}
				writeFile(t, m, "/proc/uptime", test.up)
				m.Now = func() time.Time { return came.Add(10 * arrivals.LeftAfter) }
				if err := m.arrivals().CleanUp("main"); err != nil {
					t.Fatal(err)
				}
				if exists(m.path(path)) != test.stays {
					t.Errorf("%s is there: %t", file, exists(m.path(path)))
				}
				m.Now = func() time.Time { return came }
			}
		})
	}
}

// TestPartsThatWereGivenUpGo holds that a part goes once nobody has gone on with it for long enough, however often runs
// come by in between, and whether its call ended or was killed.
func TestPartsThatWereGivenUpGo(t *testing.T) {
	for name, aside := range map[string]int64{"its call ended": 0, "its call was killed": 8 << 20} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			part := filepath.Join(api.SnapshotDir(api.DefaultDataDir("main")), "arriving-"+strings.Repeat("a", 64))
			writeFile(t, m, part, strings.Repeat("x", 5000))
			file, err := os.OpenFile(m.path(part), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := durable.Reserve(file, aside); err != nil {
				t.Fatal(err)
			}
			came := m.Now()
			if err := os.Chtimes(m.path(part), came, came); err != nil {
				t.Fatal(err)
			}
			for age := time.Duration(0); age <= arrivals.LeftAfter; age += arrivals.LeftAfter / 3 {
				m.Now = func() time.Time { return came.Add(age) }
				if err := m.arrivals().CleanUp("main"); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Lstat(m.path(part)); os.IsNotExist(err) != (age >= arrivals.LeftAfter) {
					t.Errorf("after %v it is gone: %v", age, os.IsNotExist(err))
				}
			}
		})
	}
}
