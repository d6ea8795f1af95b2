package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// onADisk puts an ext4 of its own on a directory of the host. cut is a power cut: what no sync has brought to the disk
// is gone.
func onADisk(t *testing.T, m *Machine, at string) (cut func()) {
	t.Helper()
	path, image := m.path(at), filepath.Join(t.TempDir(), "image")
	file, err := os.Create(image)
	if err == nil {
		err = file.Truncate(64 << 20)
	}
	if err == nil {
		err = file.Close()
	}
	if err == nil {
		err = os.MkdirAll(path, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Skipf("this machine makes no ext4: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, path).CombinedOutput(); err != nil {
		t.Skipf("this machine does not let us mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	})
	return func() {
		t.Helper()
		d, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
		if err := unix.IoctlSetPointerInt(int(d.Fd()), shutdown, noLogFlush); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Unmount(path, 0); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mount", "-o", "loop", image, path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// TestWhatACallFindsDoneIsOnTheDisk has calls that were killed after they had done something, and before they had
// brought it to the disk. The next call finds nothing left to do, and once it has answered, a power cut undoes nothing.
func TestWhatACallFindsDoneIsOnTheDisk(t *testing.T) {
	const wal = dataDir + "/member/wal/0.wal"
	for name, c := range map[string]struct {
		killed  func(*Machine) error // what the call did before it was killed
		again   func(*Machine) error
		holds   string // a path that is there after the cut
		without string // and one that is not
	}{
		"purge": {
			killed:  func(m *Machine) error { return os.RemoveAll(m.path(dataDir)) },
			again:   func(m *Machine) error { return m.dataDir(dataDir).Purge(nil) },
			without: dataDir,
		},
		"purge, all but the directory": {
			killed:  func(m *Machine) error { return os.RemoveAll(m.path(dataDir + "/member")) },
			again:   func(m *Machine) error { return m.dataDir(dataDir).Purge(nil) },
			without: dataDir,
		},
		"set aside": {
			killed:  func(m *Machine) error { return os.Rename(m.path(dataDir), m.path(dataDir+".aside-retired-1")) },
			again:   func(m *Machine) error { _, err := m.dataDir(dataDir).SetAside("retired"); return err },
			holds:   dataDir + ".aside-retired-1/member/wal/0.wal",
			without: dataDir,
		},
		"clear for a restore": {
			killed: func(m *Machine) error {
				if err := os.Mkdir(m.path(dataDir+".aside-restore-1"), 0o700); err != nil {
					return err
				}
				return os.Rename(m.path(dataDir+"/member"), m.path(dataDir+".aside-restore-1/member"))
			},
			again: func(m *Machine) error {
				under := &records.Restoration{DataDir: dataDir}
				under.Stage, under.Aside = api.StageFenced, dataDir+".aside-restore-1"
				return m.clearData("main", under)
			},
			holds:   dataDir + ".aside-restore-1/member/wal/0.wal",
			without: dataDir + "/member",
		},
		"put the old data back": {
			killed: func(m *Machine) error { return os.Rename(m.path(dataDir), m.path("/var/lib/etcd/back")) },
			again: func(m *Machine) error {
				under := &records.Restoration{DataDir: "/var/lib/etcd/back"}
				under.Stage, under.Aside = api.StageFenced, dataDir
				return m.restoreOldData("main", under)
			},
			holds:   "/var/lib/etcd/back/member/wal/0.wal",
			without: dataDir,
		},
		"remove": {
			killed:  func(m *Machine) error { return os.Remove(m.path(wal)) },
			again:   func(m *Machine) error { return files.Remove(m.path(wal)) },
			without: wal,
		},
		"remove what lay in a directory that is gone": {
			killed:  func(m *Machine) error { return os.RemoveAll(m.path(dataDir)) },
			again:   func(m *Machine) error { return files.Remove(m.path(wal)) },
			without: wal,
		},
		"remove all": {
			killed:  func(m *Machine) error { return os.RemoveAll(m.path(dataDir + "/member")) },
			again:   func(m *Machine) error { return files.RemoveAll(m.path(dataDir + "/member")) },
			without: dataDir + "/member",
		},
		"put": {
			killed: func(m *Machine) error { return os.Rename(m.path(wal), m.path(dataDir+"/put")) },
			again: func(m *Machine) error {
				_, err := m.files().Put(files.File{Path: dataDir + "/put", Text: []byte("log"), Owner: files.RootUser, Mode: 0o600})
				return err
			},
			holds: dataDir + "/put",
		},
		"link": {
			killed: func(m *Machine) error { return os.Symlink("member", m.path(dataDir+"/link")) },
			again:  func(m *Machine) error { return m.files().Link(dataDir+"/link", "member") },
			holds:  dataDir + "/link",
		},
		"make a directory": {
			killed: func(m *Machine) error { return os.Mkdir(m.path(dataDir+"/made"), 0o700) },
			again:  func(m *Machine) error { return m.files().EnsureDir(dataDir+"/made", files.RootUser, 0o700) },
			holds:  dataDir + "/made",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			m.Users.(*fakeUsers).made = true
			if err := os.MkdirAll(m.path(api.ConfigDir("main")), 0o755); err != nil {
				t.Fatal(err)
			}
			cut := onADisk(t, m, "/var/lib/etcd")
			writeFile(t, m, wal, "log")
			unix.Sync()
			if err := c.killed(m); err != nil {
				t.Fatal(err)
			}
			if err := c.again(m); err != nil {
				t.Fatal(err)
			}
			cut()
			if c.holds != "" {
				if _, err := os.Lstat(m.path(c.holds)); err != nil {
					t.Errorf("after the power cut: %v", err)
				}
			}
			if c.without != "" {
				if _, err := os.Lstat(m.path(c.without)); err == nil {
					t.Errorf("after the power cut %s is there", c.without)
				}
			}
		})
	}
}
