package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

const snapshotDir = dataDir + ".snapshots"

func snapshotsOf(t *testing.T, m *Machine) []string {
	t.Helper()
	entries, err := os.ReadDir(m.path(snapshotDir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestSnapshotOfAMember(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 30)
	minor := version.Cluster(version.Version)
	eventually(t, "its storage version is known", func() bool { return f.probe(t).StorageVersion == minor+".0" })
	clock := f.Now()
	f.Now = func() time.Time { return clock }
	// What a call that was cut short has left.
	writeFile(t, f.Machine, snapshotDir+"/"+snapshots.Unfinished, "half")

	take := func(keep int) api.Snapshot {
		t.Helper()
		s, err := f.Snapshot(t.Context(), "main", api.SnapshotRequest{Owner: fleetOwner, Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Minute)
		return s
	}
	s := take(2)
	if s.Revision != 31 || s.Keys != 30 || s.Version != minor+".0" || s.Path != snapshotDir+"/31-20260304T050607Z.db" || len(s.SHA256) != 64 || s.SHA256 != f.sum(s.Path) {
		t.Errorf("it reads %+v", s)
	}
	info, err := os.Stat(f.path(s.Path))
	if err != nil || info.Size() != s.SizeBytes {
		t.Errorf("the file is %+v, %v", info, err)
	}
	mustHave(t, f.Machine, snapshotDir, files.RootUser, 0o700)
	mustHave(t, f.Machine, s.Path, files.RootUser, 0o600)
	if names := snapshotsOf(t, f.Machine); len(names) != 1 {
		t.Errorf("there are %q", names)
	}

	take(2)
	last := take(2)
	if names := snapshotsOf(t, f.Machine); len(names) != 2 || names[1] != filepath.Base(last.Path) || names[0] == filepath.Base(s.Path) {
		t.Errorf("of three, of which two are kept, there are %q", names)
	}
	clock = clock.Add(-24 * time.Hour) // a clock that was put back
	if s := take(1); snapshotsOf(t, f.Machine)[0] != filepath.Base(s.Path) || len(snapshotsOf(t, f.Machine)) != 1 {
		t.Errorf("there are %q, without %s", snapshotsOf(t, f.Machine), s.Path)
	}

	// One of a cluster that was there before.
	marker, err := f.records().Owned("main", fleetOwner)
	if err != nil {
		t.Fatal(err)
	}
	former := snapshotDir + "/5-20250304T050607Z.db"
	marker.Former = []string{former}
	writeFile(t, f.Machine, former, "")
	if err := f.records().RewriteMarker(*marker); err != nil {
		t.Fatal(err)
	}
	if s := take(1); !slices.Equal(snapshotsOf(t, f.Machine), []string{filepath.Base(s.Path), filepath.Base(former)}) {
		t.Errorf("beside one of a former cluster there are %q", snapshotsOf(t, f.Machine))
	}
	if err := f.dataDir(dataDir).Purge(marker.Former); err != nil || !slices.Equal(snapshotsOf(t, f.Machine), []string{filepath.Base(former)}) {
		t.Errorf("after a purge there are %q, %v", snapshotsOf(t, f.Machine), err)
	}
	take(1)

	for _, r := range []api.SnapshotRequest{{Owner: fleetOwner}, {Owner: "another", Keep: 1}} {
		_, err := f.Snapshot(t.Context(), "main", r)
		mustRefuse(t, err)
	}
	if err := f.dataDir(dataDir + "-2").Purge(nil); err != nil || len(snapshotsOf(t, f.Machine)) != 2 {
		t.Errorf("a neighbour's purge: %v", err)
	}
	if err := f.dataDir(dataDir).Purge(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.path(snapshotDir)); !os.IsNotExist(err) {
		t.Errorf("a purge has left the snapshots: %v", err)
	}

	// On a disk that somebody has mounted for them, whose room counts.
	mountOn(t, f.Machine, snapshotDir, "32m")
	_, err = f.Snapshot(t.Context(), "main", api.SnapshotRequest{Owner: fleetOwner, Keep: 1})
	mustRefuse(t, err, snapshotDir+" has 3", "MiB free")
	mountOn(t, f.Machine, snapshotDir, "256m")
	if s := take(1); len(snapshotsOf(t, f.Machine)) != 1 || snapshotsOf(t, f.Machine)[0] != filepath.Base(s.Path) {
		t.Errorf("on a disk of their own there are %q", snapshotsOf(t, f.Machine))
	}
}

// TestSnapshotThatIsDamaged holds that a snapshot in which anything has changed is not taken for one.
func TestSnapshotThatIsDamaged(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 3)
	s, err := f.Snapshot(t.Context(), "main", api.SnapshotRequest{Owner: fleetOwner, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(f.path(s.Path))
	if err != nil {
		t.Fatal(err)
	}
	flipped := []byte(string(good))
	flipped[len(flipped)/2] ^= 1
	for name, test := range map[string]struct{ text, says string }{
		"one bit":     {string(flipped), "its SHA-256 is"},
		"cut off":     {string(good[:len(good)-100]), "cut off"},
		"without sum": {string(good[:len(good)-32]), "cut off"},
		"empty":       {"", "cut off"},
		"no database": {strings.Repeat("x", 4096+32), "its SHA-256 is"},
		"in a circle": {string(circle(good)), "two pages lead to page"},
	} {
		writeFile(t, f.Machine, "/damaged.db", test.text)
		_, err := etcdfs.VerifySnapshot("/damaged.db", f.path("/damaged.db"))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.disks().MustHold(dataDir, 1<<60, "a snapshot"); err == nil || !strings.Contains(err.Error(), "MiB free") {
		t.Errorf("a snapshot of an exbibyte: %v", err)
	}
}
