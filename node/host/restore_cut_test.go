package host

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// errCut ends a call as a power cut would: nothing is cleaned up afterwards.
var errCut = errors.New("the power was cut")

// cutAt does something, and cuts it short before the nth name on the disk changes. false: it came to its end.
func cutAt(t *testing.T, m *Machine, n int, do func() error) (cut bool) {
	t.Helper()
	m.beforeRename = func(string) {
		if n--; n < 0 {
			panic(errCut)
		}
	}
	defer func() {
		m.beforeRename = nil
		if r := recover(); r == errCut {
			cut = true
		} else if r != nil {
			panic(r)
		}
	}()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	return false
}

// stopped returns a machine with the data of a real member, which has ended, and a fetched snapshot.
func stopped(t *testing.T) (*fleetMember, api.Snapshot) {
	t.Helper()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 30)
	formAll(t, []*fleetMember{f})
	_, content := f.saved(t)
	s := f.fetched(t, content)
	f.put(t, 40)
	f.units.end(syscall.SIGTERM)
	if err := f.Record(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	return f, s
}

// twin returns a copy of a machine, whose systemd runs nothing.
func twin(t *testing.T, f *fleetMember, mounted bool) (*Machine, *fakeUnits) {
	t.Helper()
	m, units := newMachine(t)
	if mounted {
		if err := exec.Command("mkdir", "-p", m.path(dataDir)).Run(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", m.path(dataDir), "tmpfs", 0, "size=512m,mode=0700"); err != nil {
			t.Skip("mounts a file system: ", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(m.path(dataDir), 0); err != nil {
				t.Error(err)
			}
		})
	}
	copied := exec.Command("cp", "-a", "--parents", "etc/etcd", "etc/systemd", "var", "usr", m.Root)
	copied.Dir = f.Root
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("copy the machine: %v: %s", err, out)
	}
	marker, err := m.records().Marker("main")
	if err != nil {
		t.Fatal(err)
	}
	if marker.Mount, err = m.disks().MountPoint(dataDir); err != nil {
		t.Fatal(err)
	}
	m.Users = &fakeUsers{made: true}
	if err := m.records().RewriteMarker(*marker); err != nil {
		t.Fatal(err)
	}
	units.enabled[api.Unit("main")] = true
	if err := units.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m, units
}

// was returns what a machine holds before a restore, or after its rollback: everything but what was moved aside.
func was(t *testing.T, m *Machine) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range []string{"/etc/etcd", "/etc/systemd", "/var/lib/etcd"} {
		maps.Copy(found, tree(t, m, dir))
	}
	maps.DeleteFunc(found, func(path, _ string) bool {
		// A file that never got its name is written over by the next one.
		return strings.Contains(path, api.AsidePrefix+"rolled-back") || strings.HasPrefix(path, snapshotDir) || strings.HasSuffix(path, ".new")
	})
	return found
}

// TestRestoreCutShortAnywhere cuts a restore off at each of its steps. The same call again comes to the same end,
// one with another token and another snapshot's source to its own, and a rollback leaves what was there before.
// In make test each step is cut off once: every other one where the data lies on a file system of its own, the rest
// where it does not.
func TestRestoreCutShortAnywhere(t *testing.T) {
	t.Parallel()
	f, s := stopped(t)
	fence := api.FenceRequest{Owner: fleetOwner, Source: "file:///backup.db", Snapshot: s.SHA256}
	request := f.restoreOf([]*fleetMember{f}, s, "token-2", 100)
	anew := f.restoreOf([]*fleetMember{f}, s, "token-3", 200)
	both := func(m *Machine, r api.RestoreRequest) error {
		if _, err := m.Fence(t.Context(), "main", fence); err != nil {
			return err
		}
		_, err := m.Restore(t.Context(), "main", r)
		return err
	}
	stride := sample.Stride(t, 5)
	for i, mounted := range []bool{false, true} {
		for n := i % stride; ; n += stride {
			m, units := twin(t, f, mounted)
			before := was(t, m)
			cut := cutAt(t, m, n, func() error { return both(m, request) })
			name := fmt.Sprintf("mounted %v, cut before rename %d", mounted, n)
			mustNotStartHalf(t, m, name)
			for _, r := range []api.RestoreRequest{request, anew} {
				if !cut || mounted && r.Marker.Token == anew.Marker.Token {
					break
				}
				again, _ := twin(t, f, mounted)
				cutAt(t, again, n, func() error { return both(again, request) })
				under, err := again.records().Restoration("main")
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if under != nil && under.Stage != api.StageFenced && r.Marker.Token != under.Token {
					continue
				}
				if err := both(again, r); err != nil {
					t.Fatalf("%s: again: %v", name, err)
				}
				mustBeRestored(t, again, r, before, name)
			}
			if !cut {
				configuredAnew(t, f, m, request)
			}
			mustRollBack(t, m, units, before, name)
			if !cut {
				break
			}
			if n > 100 {
				t.Fatal("a restore never ends")
			}
		}
	}
}

// configuredAnew configures a restored machine as the configuration for the restored cluster says.
func configuredAnew(t *testing.T, f *fleetMember, m *Machine, r api.RestoreRequest) {
	t.Helper()
	installStore(t, m, storeB)
	c := f.config
	c.Marker, c.Store, c.Unit = r.Marker, storeB, "[Service]\nRestart=no\n"
	c.Flags = append(slices.Clone(c.Flags), "--snapshot-count=5000")
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
}

// mustNotStartHalf wants a member to be let start on the old data or on the restored, as long as it is whole.
func mustNotStartHalf(t *testing.T, m *Machine, name string) {
	t.Helper()
	under, err := m.records().Restoration("main")
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	refused := m.Guard("main")
	if fenced := under != nil && under.Stage == api.StageFenced; fenced != (refused != nil) {
		t.Errorf("%s: %+v, and the guard says %v", name, under, refused)
	}
}

// mustBeRestored wants a machine to be what a restore makes of it, with all of the old data aside, once.
func mustBeRestored(t *testing.T, m *Machine, r api.RestoreRequest, before map[string]string, name string) {
	t.Helper()
	marker, err := m.records().Marker("main")
	if err != nil {
		t.Fatal(err)
	}
	under, err := m.records().Restoration("main")
	if err != nil {
		t.Fatal(err)
	}
	cluster, member, err := m.etcd(dataDir).Identity()
	if err != nil || marker.ClusterID != api.FormatID(cluster) || marker.MemberID != api.FormatID(member) || marker.Token != r.Marker.Token || marker.Mount == "" {
		t.Errorf("%s: %v, the data is of member %x of cluster %x, and the marker reads %+v", name, err, member, cluster, marker)
	}
	if under.Stage != api.StageRestored || under.Token != r.Marker.Token || under.Bump != r.Bump || under.Marker.Token == r.Marker.Token || !under.Enabled || under.Revision < 71 || len(under.Flags) == 0 || under.Progress.Index == 0 {
		t.Errorf("%s: recorded is %+v", name, under)
	}
	mustHave(t, m, dataDir+"/member/snap/db", etcdOwner, 0o600)
	aside, err := m.dataDir(dataDir).Aside()
	if err != nil || len(aside) != 1 || aside[0] != under.Aside {
		t.Fatalf("%s: aside is %q, %v", name, aside, err)
	}
	for path, what := range tree(t, m, under.Aside+"/member") {
		if before[strings.Replace(path, under.Aside, dataDir, 1)] != what {
			t.Errorf("%s: %s is not what it was", name, path)
		}
	}
	if err := m.Guard("main"); err != nil {
		t.Errorf("%s: the guard says %v", name, err)
	}
}

// mustRollBack rolls a restore back, cut short at each of its steps as well, and wants all to be what it was.
func mustRollBack(t *testing.T, m *Machine, units *fakeUnits, before map[string]string, name string) {
	t.Helper()
	rollBack := func() error { return m.RollBack(t.Context(), "main", api.RollBackRequest{Owner: fleetOwner}) }
	for n := 0; cutAt(t, m, n, rollBack); n++ {
		mustNotStartHalf(t, m, fmt.Sprintf("%s, and rolled back until rename %d", name, n))
	}
	if err := rollBack(); err != nil {
		t.Errorf("%s: once more: %v", name, err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(was(t, m)))); diff != "" {
		t.Errorf("%s: rolled back it has (+) and had (-):\n%s", name, diff)
		return
	}
	for path, what := range was(t, m) {
		if before[path] != what {
			t.Errorf("%s: %s is not what it was", name, path)
		}
	}
	if err := m.Guard("main"); err != nil || !units.enabled[api.Unit("main")] || len(units.active) > 0 {
		t.Errorf("%s: the guard says %v, enabled are %v, and active %v", name, err, units.enabled, units.active)
	}
	if selected, err := m.stores().Selected("main"); err != nil || selected != storeA {
		t.Errorf("%s: the selected store is %s, %v", name, selected, err)
	}
}
