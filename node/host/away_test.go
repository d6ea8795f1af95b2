package host

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// disk is a file system that is mounted on the data directory and unmounted again, with its contents.
type disk struct {
	*testing.T
	m    *Machine
	from string
}

func newDisk(t *testing.T, m *Machine) *disk {
	t.Helper()
	d := &disk{t, m, t.TempDir()}
	if err := unix.Mount("tmpfs", d.from, "tmpfs", 0, "size=10m"); err != nil {
		t.Skipf("this machine does not let us mount: %v", err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(m.path(dataDir), 0) // where it lies there
		if err := unix.Unmount(d.from, 0); err != nil {
			t.Error(err)
		}
	})
	d.mount()
	return d
}

func (d *disk) mount() {
	d.Helper()
	if err := os.MkdirAll(d.m.path(dataDir), 0o700); err != nil {
		d.Fatal(err)
	}
	if err := unix.Mount(d.from, d.m.path(dataDir), "", unix.MS_BIND, ""); err != nil {
		d.Fatal(err)
	}
}

func (d *disk) unmount() {
	d.Helper()
	if err := unix.Unmount(d.m.path(dataDir), 0); err != nil {
		d.Fatal(err)
	}
}

// cutRestore returns a machine with its data on a disk, on which a restore was cut short after the restored data was in
// place and before that was recorded. old is the marker of the previous member, which may be nil.
func cutRestore(t *testing.T, old *api.Marker) (*Machine, *disk) {
	t.Helper()
	m, _ := newMachine(t)
	m.Users.(*fakeUsers).made = true
	d := newDisk(t, m)
	if err := os.MkdirAll(m.path(api.ConfigDir("main")), 0o755); err != nil {
		t.Fatal(err)
	}
	under := &records.Restoration{DataDir: dataDir, Mount: m.path(dataDir), Owner: fleetOwner}
	under.Stage, under.Marker = api.StageFenced, old
	if old != nil {
		writeFile(t, m, dataDir+"/member/wal/0.wal", "old")
		if old.Mount != "" {
			old.Mount, under.Mount = m.path(dataDir), "" // as an earlier store has recorded it
		}
		if err := m.records().PutMarker(*old, etcdOwner); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.clearData("main", under); err != nil {
		t.Fatal(err)
	}
	under.Made = "abc"
	writeFile(t, m, dataDir+"/member/wal/0.wal", "restored")
	if err := m.records().PutRestoration("main", under); err != nil {
		t.Fatal(err)
	}
	return m, d
}

// TestRollBackWithoutItsDisk rolls a restore back while the disk is away that the old data was moved aside to. All of
// it is refused, with no trace on what lies under the mount point, and done once the disk is there.
func TestRollBackWithoutItsDisk(t *testing.T) {
	for name, old := range map[string]*api.Marker{
		"a member": {Cluster: "main", Owner: fleetOwner, Member: "a", DataDir: dataDir, Phase: api.PhaseFormed},
		"one of which only its marker says where": {Cluster: "main", Owner: fleetOwner, Member: "a", DataDir: dataDir, Phase: api.PhaseFormed, Mount: "recorded"},
		"no member before":                        nil,
	} {
		t.Run(name, func(t *testing.T) {
			m, d := cutRestore(t, old)
			d.unmount()
			before := tree(t, m, "/")
			mustRefuse(t, m.RollBack(t.Context(), "main", api.RollBackRequest{Owner: fleetOwner}), "mount what belongs there")
			if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
				t.Errorf("the refusal has changed (-before +after):\n%s", diff)
			}
			d.mount()
			if err := m.RollBack(t.Context(), "main", api.RollBackRequest{Owner: fleetOwner}); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(m.path(dataDir + "/member/wal/0.wal"))
			if want := map[bool]string{true: "old"}[old != nil]; string(text) != want {
				t.Errorf("the data is %q, %v, want %q", text, err, want)
			}
		})
	}
}

// TestRollBackWithoutTheOldData refuses before anything is moved where somebody has moved the old data away, and goes
// on once it is where it was.
func TestRollBackWithoutTheOldData(t *testing.T) {
	m, _ := cutRestore(t, &api.Marker{Cluster: "main", Owner: fleetOwner, Member: "a", DataDir: dataDir, Phase: api.PhaseFormed})
	under, err := m.records().Restoration("main")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.path(under.Aside), m.path(dataDir+"/aside-by-hand")); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, m.RollBack(t.Context(), "main", api.RollBackRequest{Owner: fleetOwner}), under.Aside)
	if text, err := os.ReadFile(m.path(dataDir + "/member/wal/0.wal")); string(text) != "restored" {
		t.Errorf("the data is %q, %v", text, err)
	}
	if err := os.Rename(m.path(dataDir+"/aside-by-hand"), m.path(under.Aside)); err != nil {
		t.Fatal(err)
	}
	if err := m.RollBack(t.Context(), "main", api.RollBackRequest{Owner: fleetOwner}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(m.path(dataDir + "/member/wal/0.wal")); string(text) != "old" {
		t.Errorf("the data is %q, %v", text, err)
	}
}

// TestTheGuardSaysThatTheDiskIsAway has the guard of a fenced member name the disk, which is what to mend first.
func TestTheGuardSaysThatTheDiskIsAway(t *testing.T) {
	m, d := cutRestore(t, &api.Marker{Cluster: "main", Owner: fleetOwner, Member: "a", DataDir: dataDir, Phase: api.PhaseFormed, Mount: "recorded"})
	marker, err := m.records().Marker("main")
	if err != nil {
		t.Fatal(err)
	}
	if check, err := m.guard(*marker, nil); check != api.GuardRestore {
		t.Errorf("with its disk the guard says %s: %v", check, err)
	}
	d.unmount()
	if check, err := m.guard(*marker, nil); check != api.GuardMount {
		t.Errorf("without its disk the guard says %s: %v", check, err)
	}
}

// TestRetireWithoutItsDisk takes a cluster off a host while the disk is away that its data lies on, a restored one too.
// All of it is refused, and done once the disk is there.
func TestRetireWithoutItsDisk(t *testing.T) {
	for name, old := range map[string]*api.Marker{
		"a member":         {Cluster: "main", Owner: fleetOwner, Member: "a", DataDir: dataDir, Phase: api.PhaseFormed, Mount: "recorded"},
		"no member before": nil,
	} {
		for _, purge := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, purge %t", name, purge), func(t *testing.T) {
				m, d := cutRestore(t, old)
				d.unmount()
				before := tree(t, m, "/")
				_, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: fleetOwner, Purge: purge})
				mustRefuse(t, err, "mount what belongs there")
				if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
					t.Errorf("the refusal has changed (-before +after):\n%s", diff)
				}
				d.mount()
				if _, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: fleetOwner, Purge: purge}); err != nil {
					t.Fatal(err)
				}
				if data := stateOf(t, m); !data.Empty || (len(data.Aside) == 0) != purge {
					t.Errorf("its data is %+v", data)
				}
			})
		}
	}
}
