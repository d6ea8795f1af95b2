package host

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
)

const dataDir = "/var/lib/etcd/main"

// stateOf returns the state of the data directory.
func stateOf(t *testing.T, m *Machine) api.Data {
	t.Helper()
	data, err := m.dataDir(dataDir).Data()
	if err != nil {
		t.Fatal(err)
	}
	return data
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

// TestPlacesOfTheirOwn has somebody mount disks where a member keeps its snapshots and its runs work: they are emptied,
// and stay, when the cluster leaves the host.
func TestPlacesOfTheirOwn(t *testing.T) {
	m, _ := newMachine(t)
	state := api.BackupStateDir(dataDir)
	mountOn(t, m, api.SnapshotDir(dataDir), "1m")
	mountOn(t, m, state, "1m")
	for _, file := range []string{api.SnapshotDir(dataDir) + "/7-20260101T000000Z.db", backups.RecordFile(dataDir, backups.KindBackup), backups.RehearsalDir(dataDir) + "/data/member/snap/db", dataDir + "/member/wal/0.wal"} {
		writeFile(t, m, file, "")
	}
	for range 2 {
		if err := errors.Join(m.Backups().RemoveState("main", dataDir), m.dataDir(dataDir).Purge(nil)); err != nil {
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
