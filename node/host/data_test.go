package host

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
)

const dataDir = "/var/lib/etcd/main"

// stateOf is the state of the data directory, without what depends on the disk.
func stateOf(t *testing.T, m *Machine) api.Data {
	t.Helper()
	data, err := m.data(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	if data.Filesystem == "" || data.FreeBytes <= 0 {
		t.Errorf("the file system reads %q with %d bytes free", data.Filesystem, data.FreeBytes)
	}
	data.Filesystem, data.FreeBytes, data.Full = "", 0, false
	return data
}

func TestDataDirectories(t *testing.T) {
	for name, test := range map[string]struct {
		files []string
		want  api.Data
	}{
		"missing":                  {nil, api.Data{}},
		"empty":                    {[]string{dataDir + "/"}, api.Data{Exists: true, Empty: true}},
		"a fresh file system":      {[]string{dataDir + "/lost+found/"}, api.Data{Exists: true, Empty: true}},
		"a member":                 {[]string{dataDir + "/member/wal/0.wal", dataDir + "/member/snap/db"}, api.Data{Exists: true, HasMember: true}},
		"a member without a log":   {[]string{dataDir + "/member/snap/db"}, api.Data{Exists: true}},
		"something else":           {[]string{dataDir + "/notes.txt"}, api.Data{Exists: true}},
		"moved aside":              {[]string{dataDir + ".aside-retired-1/member/", dataDir + ".aside-unfinished-2/member/", dataDir + "-2.aside-retired-1/"}, api.Data{Aside: []string{dataDir + ".aside-retired-1", dataDir + ".aside-unfinished-2"}}},
		"moved aside in a mount":   {[]string{dataDir + "/aside-retired-1/member/wal/"}, api.Data{Exists: true, Empty: true, Aside: []string{dataDir + "/aside-retired-1"}}},
		"a name that begins alike": {[]string{dataDir + "/asides/"}, api.Data{Exists: true}},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			for _, file := range test.files {
				if file[len(file)-1] != '/' {
					writeFile(t, m, file, "")
				} else if err := os.MkdirAll(m.path(file), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			test.want.Path = dataDir
			if diff := cmp.Diff(test.want, stateOf(t, m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSetAsideMovesTheDirectory(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, dataDir+"/member/wal/0.wal", "log")
	to, err := m.setAside(dataDir, "unfinished")
	if err != nil {
		t.Fatal(err)
	}
	if want := dataDir + ".aside-unfinished-20260304T050607Z"; to != want {
		t.Errorf("it lies in %s, want %s", to, want)
	}
	if text, err := os.ReadFile(m.path(to + "/member/wal/0.wal")); err != nil || string(text) != "log" {
		t.Errorf("the log reads %q, %v", text, err)
	}
	if state := stateOf(t, m); state.Exists {
		t.Errorf("the directory is still there: %+v", state)
	}

	// Within the same second the name is taken. What was moved aside is never written over.
	writeFile(t, m, dataDir+"/member/wal/0.wal", "second")
	if _, err := m.setAside(dataDir, "unfinished"); err == nil {
		t.Error("the second was moved over the first")
	}
	if text, _ := os.ReadFile(m.path(to + "/member/wal/0.wal")); string(text) != "log" {
		t.Errorf("the first log reads %q now", text)
	}
}

func TestSetAsideOfNothing(t *testing.T) {
	m, _ := newMachine(t)
	for range 2 {
		if to, err := m.setAside(dataDir, "retired"); to != "" || err != nil {
			t.Errorf("it lies in %q, %v", to, err)
		}
		if err := os.MkdirAll(m.path(dataDir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if to, err := m.setAside(dataDir, "retired"); to != "" || err != nil || stateOf(t, m).Exists {
		t.Errorf("of an empty directory: %q, %v, %+v", to, err, stateOf(t, m))
	}
}

func TestPurge(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, dataDir+"/member/wal/0.wal", "")
	writeFile(t, m, dataDir+".aside-retired-1/member/wal/0.wal", "")
	writeFile(t, m, "/var/lib/etcd/events/member/wal/0.wal", "")
	for range 2 {
		if err := m.purge(dataDir); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(m.path("/var/lib/etcd"))
	if err != nil || len(left) != 1 || left[0].Name() != "events" {
		t.Errorf("these are left: %v, %v", left, err)
	}
}

// mountData mounts a file system on the data directory.
func mountData(t *testing.T, m *Machine) {
	t.Helper()
	mountOn(t, m, dataDir, "1m")
}

// mountOn mounts a file system of a size on a directory.
func mountOn(t *testing.T, m *Machine, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(m.path(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", m.path(dir), "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("this machine does not let us mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(m.path(dir), 0); err != nil {
			t.Error(err)
		}
	})
}

// TestPlacesOfTheirOwn has somebody mount disks where a member keeps its snapshots and its runs work: they are emptied, and
// stay, when the cluster leaves the host.
func TestPlacesOfTheirOwn(t *testing.T) {
	m, _ := newMachine(t)
	state := api.BackupStateDir(dataDir)
	mountOn(t, m, api.SnapshotDir(dataDir), "1m")
	mountOn(t, m, state, "1m")
	for _, file := range []string{api.SnapshotDir(dataDir) + "/7-20260101T000000Z.db", backups.RecordFile(dataDir, backups.KindBackup), backups.RehearsalDir(dataDir) + "/data/member/snap/db", dataDir + "/member/wal/0.wal"} {
		writeFile(t, m, file, "")
	}
	for range 2 {
		if err := errors.Join(m.Backups().RemoveState("main", dataDir), m.purge(dataDir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{api.SnapshotDir(dataDir), state} {
		if left, err := os.ReadDir(m.path(dir)); err != nil || len(left) > 0 {
			t.Errorf("in %s is left %v, %v", dir, left, err)
		}
	}
	if _, err := os.Stat(m.path(dataDir)); !os.IsNotExist(err) {
		t.Errorf("the data is left: %v", err)
	}
}

func TestSetAsideInAMountPoint(t *testing.T) {
	m, _ := newMachine(t)
	mountData(t, m)
	if data, err := m.data(dataDir); err != nil || data.Filesystem != "tmpfs" || data.FreeBytes != 1<<20 || data.Full {
		t.Errorf("the disk reads %+v, %v", data, err)
	}
	writeFile(t, m, dataDir+"/member/wal/0.wal", "log")
	if data, err := m.data(dataDir); err != nil || !data.Full {
		t.Errorf("the disk of a member reads %+v, %v", data, err)
	}
	writeFile(t, m, dataDir+"/lost+found/inode", "")
	to, err := m.setAside(dataDir, "retired")
	if err != nil {
		t.Fatal(err)
	}
	if want := dataDir + "/aside-retired-20260304T050607Z"; to != want {
		t.Errorf("it lies in %s, want %s", to, want)
	}
	if _, err := os.Stat(m.path(filepath.Join(to, "member/wal/0.wal"))); err != nil {
		t.Error(err)
	}
	want := api.Data{Path: dataDir, Exists: true, Empty: true, Aside: []string{to}}
	if diff := cmp.Diff(want, stateOf(t, m)); diff != "" {
		t.Error(diff)
	}

	// A call that was cut short has left some of it: the next one moves that too.
	writeFile(t, m, dataDir+"/member-2/file", "")
	if again, err := m.setAside(dataDir, "retired"); err != nil || again != to || !stateOf(t, m).Empty {
		t.Errorf("the rest lies in %q, %v", again, err)
	}
	if err := m.purge(dataDir); err != nil {
		t.Fatal(err)
	}
	if state := stateOf(t, m); !state.Exists || !state.Empty || len(state.Aside) > 0 {
		t.Errorf("after the purge: %+v", state)
	}
}
