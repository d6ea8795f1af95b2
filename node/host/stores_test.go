package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/stores"
)

// TestSweepLeavesStoresToRunsOfOtherClusters holds that a store that nobody selects stays for as long as a run of
// another cluster is under way that may have brought it, however slow that is; and that it goes with the next cluster
// after that.
func TestSweepLeavesStoresToRunsOfOtherClusters(t *testing.T) {
	const run, elapsed = "events", 5 * time.Hour // since the run has begun
	for name, test := range map[string]struct {
		cluster string
		ended   bool
		brought time.Duration // after the run has begun
		ahead   time.Duration // so far the clock was ahead when the run began, and was put right since
		stays   bool
	}{
		"by a run that began by a clock that was ahead": {cluster: run, brought: time.Hour, ahead: 24 * time.Hour, stays: true},
		"of another run, by a clock that was ahead":     {cluster: "main", brought: time.Hour, ahead: 24 * time.Hour},
		"in the middle of the run":                      {cluster: run, brought: time.Hour, stays: true},
		"before the run had the lock":                   {cluster: run, brought: -stores.Recent / 2, stays: true},
		"long before the run":                           {cluster: run, brought: -2 * stores.Recent},
		"by a run that has ended":                       {cluster: run, ended: true, brought: time.Hour},
		"by an earlier run of this cluster":             {cluster: "main", brought: time.Minute},
		"of late, by a run before its locks":            {cluster: "main", brought: elapsed - stores.Recent/2, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			configured(t, m, prepareOf("main"))
			installStore(t, m, storeB)
			began := time.Now()
			m.Now = func() time.Time { return began.Add(test.ahead) }
			held := hold(t, m, test.cluster, "1", patience)
			if test.ended {
				held.release(t)
			}
			brought := began.Add(test.brought)
			if err := os.Chtimes(filepath.Dir(m.path(api.InstalledStore(storeB))), brought, brought); err != nil {
				t.Fatal(err)
			}
			m.Now = func() time.Time { return began.Add(elapsed) }
			if err := m.stores().Deselect("main"); err != nil {
				t.Fatal(err)
			}
			if m.stores().IsInstalled(storeA) || m.stores().IsInstalled(storeB) != test.stays {
				t.Errorf("the store that was deselected is there: %t; the one that was brought: %t", m.stores().IsInstalled(storeA), m.stores().IsInstalled(storeB))
			}
		})
	}
}

// TestSweepLeavesWantedStores holds that a store which a run of another cluster has brought, or has found, stays until
// that cluster has selected it, also where it is the one that leaves, and whatever the host's clock says.
func TestSweepLeavesWantedStores(t *testing.T) {
	const other = "events"
	for name, test := range map[string]struct {
		by    string // the cluster whose run wants it
		since string // the time since the boot, now
		locks bool   // its run holds its lock
		stays bool
	}{
		"of a run before its lock":     {by: other, since: "1600.00 1.00\n", stays: true},
		"of a run with its lock":       {by: other, since: "90000.00 1.00\n", locks: true, stays: true},
		"of a run that came to naught": {by: other, since: "90000.00 1.00\n"},
		"of this cluster's own":        {by: "main", since: "1600.00 1.00\n"},
		"where nobody knows the time":  {by: other, since: "\n", stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			configured(t, m, prepareOf("main"))
			installStore(t, m, storeB)
			for _, store := range []string{storeA, storeB} {
				writeFile(t, m, api.WantedStore(test.by, store), "1000.00\n")
			}
			if test.locks {
				hold(t, m, other, "1", patience)
			}
			writeFile(t, m, "/proc/uptime", test.since)
			now := time.Now().Add(1000 * time.Hour) // the clock has jumped
			m.Now = func() time.Time { return now }
			if err := m.stores().Deselect("main"); err != nil {
				t.Fatal(err)
			}
			for _, store := range []string{storeA, storeB} {
				if m.stores().IsInstalled(store) != test.stays {
					t.Errorf("store %s is there: %t", store, m.stores().IsInstalled(store))
				}
			}
			if left, _ := filepath.Glob(m.path(api.StoreRoot + "/.leaving-*")); len(left) > 0 {
				t.Errorf("beside them lie %q", left)
			}
		})
	}
}

// TestSelectedStoresAreWantedNoMore: once a cluster has selected a store, that keeps it.
func TestSelectedStoresAreWantedNoMore(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, api.WantedStore("main", storeA), "1000.00\n")
	writeFile(t, m, api.WantedStore("events", storeA), "1000.00\n")
	configured(t, m, prepareOf("main"))
	if exists(m.path(api.WantedStore("main", storeA))) || !exists(m.path(api.WantedStore("events", storeA))) {
		t.Error("it is wanted by who has it, or no more by who has it not")
	}
}

// TestSweepEndsARemovalThatWasCutShort: what a sweep that was killed had moved away goes with the next.
func TestSweepEndsARemovalThatWasCutShort(t *testing.T) {
	m, _ := newMachine(t)
	configured(t, m, prepareOf("main"))
	writeFile(t, m, filepath.Join(api.StoreRoot, stores.Leaving+storeB, "store"), "half")
	if err := m.stores().Deselect("main"); err != nil {
		t.Fatal(err)
	}
	if exists(m.path(filepath.Join(api.StoreRoot, stores.Leaving+storeB))) {
		t.Error("it is there still")
	}
}

// TestToolsInAClosedPlace holds that a host is configured, and left, where the links for operators cannot be written.
func TestToolsInAClosedPlace(t *testing.T) {
	m, _ := newMachine(t)
	const tools = "/usr/local/bin"
	mountOn(t, m, tools, "1m")
	closed := func(flag uintptr) {
		t.Helper()
		if err := unix.Mount("", m.path(tools), "", unix.MS_REMOUNT|flag, ""); err != nil {
			t.Skipf("this machine does not let us mount: %v", err)
		}
	}
	closed(unix.MS_RDONLY)
	configured(t, m, prepareOf("main"))
	if err := m.stores().Select("events", storeA); err != nil {
		t.Fatal(err)
	}
	closed(0)
	if err := m.stores().Select("main", storeA); err != nil {
		t.Fatal(err)
	}
	closed(unix.MS_RDONLY)
	if err := m.stores().Deselect("main"); err != nil {
		t.Errorf("the one whose programs are offered: %v", err)
	}
	closed(0)
	if err := os.RemoveAll(m.path(tools + "/etcd")); err != nil {
		t.Fatal(err)
	}
	closed(unix.MS_RDONLY)
	if err := m.stores().Deselect("other"); err != nil {
		t.Errorf("one that leaves others behind: %v", err)
	}
	if err := m.stores().Deselect("events"); err != nil {
		t.Errorf("the last one: %v", err)
	}
	if _, err := os.Lstat(m.path(api.StoreRoot)); !os.IsNotExist(err) {
		t.Errorf("stores are left: %v", err)
	}
}
