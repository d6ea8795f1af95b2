package host

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/stores"
)

// formed returns a machine whose member runs and has data.
func formed(t *testing.T) (*Machine, *fakeUnits, api.PrepareRequest) {
	t.Helper()
	m, units := newMachine(t)
	r := prepareOf("main")
	c := configured(t, m, r)
	c.Marker.Phase = api.PhaseFormed
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	writeFile(t, m, dataDir+"/member/wal/0.wal", "log")
	return m, units, r
}

// leftovers returns what is left on a machine that no longer carries a cluster, except for data.
func leftovers(t *testing.T, m *Machine) []string {
	t.Helper()
	return slices.DeleteFunc(paths(tree(t, m, "/")), func(path string) bool {
		return slices.Contains([]string{"", "/etc", "/etc/systemd", "/etc/systemd/system", "/usr", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/var", "/var/lib", "/var/lib/etcd"}, path) ||
			strings.HasPrefix(path, "/proc") || strings.HasPrefix(path, dataDir+"."+api.AsidePrefix)
	})
}

func TestRetireLeavesABareHost(t *testing.T) {
	for name, purge := range map[string]bool{"data moved aside": false, "data purged": true} {
		t.Run(name, func(t *testing.T) {
			m, units, r := formed(t)
			retired, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: r.Marker.Owner, Purge: purge})
			if err != nil {
				t.Fatal(err)
			}
			if left := leftovers(t, m); len(left) > 0 {
				t.Errorf("these are left: %q", left)
			}
			if len(units.active)+len(units.enabled)+len(units.loaded) > 0 {
				t.Errorf("systemd still runs %v, starts %v, knows %v", units.active, units.enabled, units.loaded)
			}
			if _, err := os.Stat(m.path(retired.Path + "/member/wal/0.wal")); (err == nil) == purge {
				t.Errorf("the data in %q: %v", retired.Path, err)
			}
			// It is done, and a new create works.
			if again, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: r.Marker.Owner, Purge: purge}); err != nil || again.Path != "" {
				t.Errorf("the second call: %+v, %v", again, err)
			}
			installStore(t, m, storeA)
			r.Marker.Owner, r.Marker.Token = "next", "next"
			configured(t, m, r)
		})
	}
}

// TestFormerClustersKeepWhatTheyLeft holds that what a destroy without a purge leaves on a host stays there, whatever
// the next clusters of the name do: it is not among the snapshots that they keep, and none of their purges deletes it.
func TestFormerClustersKeepWhatTheyLeft(t *testing.T) {
	m, _, r := formed(t)
	snapshot := func(day int) string { return fmt.Sprintf("%s/%d-202603%02dT000000Z.db", snapshotDir, day, day) }
	next := func(owner string) {
		t.Helper()
		installStore(t, m, storeA)
		r.Marker.Owner, r.Marker.Token = owner, owner
		configured(t, m, r)
		writeFile(t, m, dataDir+"/member/wal/0.wal", "log")
	}
	retire := func(purge bool) string {
		t.Helper()
		retired, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: r.Marker.Owner, Purge: purge})
		if err != nil {
			t.Fatal(err)
		}
		return retired.Path
	}
	mustLie := func(want ...string) {
		t.Helper()
		found, err := m.dataDir(dataDir).Aside()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(m.path(snapshotDir)); err == nil {
			for _, name := range snapshotsOf(t, m) {
				found = append(found, path.Join(snapshotDir, name))
			}
		}
		slices.Sort(want)
		slices.Sort(found)
		if diff := cmp.Diff(want, found); diff != "" {
			t.Error(diff)
		}
	}
	writeFile(t, m, snapshot(1), "the first")
	writeFile(t, m, snapshot(2), "the first")
	writeFile(t, m, dataDir+".aside-restore-1/member/wal/0.wal", "log")
	left := []string{snapshot(1), snapshot(2), dataDir + ".aside-restore-1", retire(false)}

	next("second")
	writeFile(t, m, dataDir+".aside-restore-2/member/wal/0.wal", "log")
	for _, taken := range []int{3, 4, 5} {
		writeFile(t, m, snapshot(taken), "the second")
		marker, err := m.records().Owned("main", "second")
		if err == nil {
			err = m.snapshots().KeepNewest(snapshot(taken), marker.Former, 2)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	mustLie(append([]string{snapshot(4), snapshot(5), dataDir + ".aside-restore-2"}, left...)...)
	retire(true)
	mustLie(left...)

	next("third")
	if data := stateOf(t, m); !data.HasMember {
		t.Fatalf("the third has no data: %+v", data)
	}
	units := m.Units.(*fakeUnits)
	units.fail["Reload"] = errors.New("connection reset")
	if _, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: "third", Purge: true}); err == nil {
		t.Fatal("it succeeded without systemd")
	}
	delete(units.fail, "Reload")
	retire(true)
	mustLie(left...)
}

// TestRetireGoesOn holds that a call that was cut short anywhere is made again by the same owner: the
// host says whose it is until nothing is left to do.
func TestRetireGoesOn(t *testing.T) {
	for _, cut := range []string{"Stop", "Disable", "Reload"} {
		t.Run(cut, func(t *testing.T) {
			m, units, r := formed(t)
			units.fail[cut] = errors.New("connection reset")
			request := api.RetireRequest{Owner: r.Marker.Owner}
			if _, err := m.Retire(t.Context(), "main", request); err == nil {
				t.Fatal("it succeeded without systemd")
			}
			if marker, err := m.records().Marker("main"); err != nil || marker == nil || marker.Owner != r.Marker.Owner {
				t.Fatalf("the marker is %+v, %v", marker, err)
			}
			if state := stateOf(t, m); !state.HasMember {
				t.Errorf("the data of a member that may still run was touched: %+v", state)
			}
			delete(units.fail, cut)
			if _, err := m.Retire(t.Context(), "main", request); err != nil {
				t.Fatal(err)
			}
			if left := leftovers(t, m); len(left) > 0 {
				t.Errorf("these are left: %q", left)
			}
		})
	}
}

func TestOnlyTheOwnerTakesAMemberDown(t *testing.T) {
	m, units, r := formed(t)
	before, active := tree(t, m, "/"), maps.Clone(units.active)
	_, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: "another"})
	mustRefuse(t, err, "another Terraform object")
	_, err = m.SetAside(t.Context(), "main", api.SetAsideRequest{Owner: "another", Why: "unfinished"})
	mustRefuse(t, err, "another Terraform object")
	mustRefuse(t, m.Stop(t.Context(), "main", api.StopRequest{Owner: "another"}), "another Terraform object")
	_, err = m.SetAside(t.Context(), "main", api.SetAsideRequest{Owner: r.Marker.Owner, Why: "../../etc"})
	mustRefuse(t, err, "../../etc")
	if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" || !maps.Equal(active, units.active) {
		t.Errorf("a refused call has changed the host:\n%s", diff)
	}
}

func TestSetAsideStopsFirst(t *testing.T) {
	m, units, r := formed(t)
	units.fail["Stop"] = errors.New("connection reset")
	request := api.SetAsideRequest{Owner: r.Marker.Owner, Why: "unfinished"}
	if _, err := m.SetAside(t.Context(), "main", request); err == nil || !stateOf(t, m).HasMember {
		t.Errorf("data was moved from under a member that may still run: %v", err)
	}
	delete(units.fail, "Stop")
	aside, err := m.SetAside(t.Context(), "main", request)
	if err != nil || units.active[api.Unit("main")] != "" || stateOf(t, m).Exists {
		t.Errorf("the member is %q and its data in %+v, %v", units.active[api.Unit("main")], aside, err)
	}
	if units.enabled[api.Unit("main")] {
		t.Error("it starts at boot")
	}
	if again, err := m.SetAside(t.Context(), "main", request); err != nil || again != aside {
		t.Errorf("the second call: %+v, %v", again, err)
	}
}

// TestWhatSomebodyHasWrittenIsNotSetAside has a create set aside what it takes for unwritten data: the host looks, and
// starts the member again.
func TestWhatSomebodyHasWrittenIsNotSetAside(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.await(t, api.AwaitRequest{Members: 1})
	f.put(t, 1)
	aside := api.SetAsideRequest{Owner: fleetOwner, Why: "unfinished", Unwritten: true}
	if _, err := f.SetAside(t.Context(), "main", aside); err == nil || !strings.Contains(err.Error(), "somebody has written to the data in "+dataDir+" (revision 2)") {
		t.Errorf("set aside: %v", err)
	}
	if o := f.await(t, api.AwaitRequest{Members: 1}); !o.Member.Healthy || o.Member.Revision != 2 {
		t.Errorf("it is left as %+v", o.Member)
	}
	aside.Unwritten = false
	if moved, err := f.SetAside(t.Context(), "main", aside); err != nil || moved.Path == "" {
		t.Errorf("set aside: %+v, %v", moved, err)
	}
}

// TestNeighboursKeepWhatTheyShare holds that a cluster that goes takes nothing from one that stays on
// the same host: neither its store nor the programs for operators.
func TestNeighboursKeepWhatTheyShare(t *testing.T) {
	m, _, r := formed(t)
	events := prepareOf("events")
	events.Marker.ClientPort, events.Marker.PeerPort, events.Marker.MetricsPort = 3379, 3380, 3381
	configured(t, m, events)
	installStore(t, m, storeB)

	if _, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: r.Marker.Owner}); err != nil {
		t.Fatal(err)
	}
	if selected, err := m.stores().Selected("events"); err != nil || selected != storeA || !m.stores().IsInstalled(storeA) {
		t.Errorf("the neighbour runs %q, %v", selected, err)
	}
	if !m.stores().IsInstalled(storeB) {
		t.Error("a store that was installed this moment, for a create that is to select it, is gone")
	}
	if target, err := os.Readlink(m.path("/usr/local/bin/etcdctl")); err != nil || target != api.SelectedStore("events")+"/etcdctl" {
		t.Errorf("an operator's etcdctl is %q, %v", target, err)
	}
	if marker, err := m.records().Marker("events"); err != nil || marker == nil {
		t.Errorf("the neighbour's marker is %+v, %v", marker, err)
	}

	m.Now = func() time.Time { return time.Now().Add(2 * stores.Recent) }
	if _, err := m.Retire(t.Context(), "events", api.RetireRequest{Owner: events.Marker.Owner}); err != nil {
		t.Fatal(err)
	}
	if left := slices.DeleteFunc(leftovers(t, m), func(path string) bool { return strings.HasPrefix(path, "/var/lib/etcd/events") }); len(left) > 0 {
		t.Errorf("these are left: %q", left)
	}
}

// TestForeignProgramsStay holds that an etcdctl which somebody else has put there is left to him.
func TestForeignProgramsStay(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, "/usr/local/bin/etcdctl", "somebody's")
	r := prepareOf("main")
	configured(t, m, r)
	if _, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: r.Marker.Owner}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(m.path("/usr/local/bin/etcdctl")); err != nil || string(text) != "somebody's" {
		t.Errorf("it reads %q, %v", text, err)
	}
}

// TestDataThatAKilledCallHasMovedIsNamed: a call that finds the data moved says where it lies, and takes no other
// member's for it.
func TestDataThatAKilledCallHasMovedIsNamed(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	formAll(t, []*fleetMember{f})
	f.units.end(syscall.SIGTERM)
	if _, err := f.Machine.dataDir(dataDir).SetAside("left"); err != nil { // and the call was killed
		t.Fatal(err)
	}
	request := api.SetAsideRequest{Owner: fleetOwner, Why: "left"}
	moved, err := f.SetAside(t.Context(), "main", request)
	if err != nil || moved.Path != dataDir+".aside-left-"+f.Now().UTC().Format(files.Stamp) {
		t.Errorf("its data lies in %q, %v", moved.Path, err)
	}
	if again, err := f.SetAside(t.Context(), "main", api.SetAsideRequest{Owner: fleetOwner, Why: "other"}); err != nil || again.Path != "" {
		t.Errorf("for another reason it lies in %q, %v", again.Path, err)
	}
	if err := os.Rename(f.path(moved.Path), f.path(strings.Replace(moved.Path, "left", "retired", 1))); err != nil {
		t.Fatal(err)
	}
	other := f.marker
	other.MemberID = "abc"
	if err := f.records().RewriteMarker(other); err != nil {
		t.Fatal(err)
	}
	if to, err := f.dataDir(other.DataDir).MoveAside(other, "retired"); err != nil || to != "" {
		t.Errorf("another's data lies in %q, %v", to, err)
	}
	if err := f.records().RewriteMarker(f.marker); err != nil {
		t.Fatal(err)
	}
	retired, err := f.Retire(t.Context(), "main", api.RetireRequest{Owner: fleetOwner})
	if err != nil || !strings.Contains(retired.Path, ".aside-retired-") {
		t.Errorf("retired, its data lies in %q, %v", retired.Path, err)
	}
}
