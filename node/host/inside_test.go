package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// TestDataThatLeadsElsewhere: what the system user puts into his data directory leads root to no other file, and keeps
// root waiting for nobody.
func TestDataThatLeadsElsewhere(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("of root's"), 0o600); err != nil {
		t.Fatal(err)
	}
	const user = 65534 // links of root's are followed, and the system user cannot make those
	link := func(path string) error { return errors.Join(os.Symlink(secret, path), os.Lchown(path, user, user)) }
	pipe := func(path string) error { return unix.Mkfifo(path, 0o600) }
	away := func(path string) error {
		return errors.Join(os.Symlink(filepath.Dir(secret), path), os.Lchown(path, user, user))
	}
	for name, test := range map[string]struct {
		path string
		put  func(path string) error
	}{
		"a log that is a link": {etcdfs.LogDir(dataDir) + "/0.wal", link}, "a log that is a pipe": {etcdfs.LogDir(dataDir) + "/0.wal", pipe},
		"a database that is a link": {etcdfs.Database(dataDir), link}, "a database that is a pipe": {etcdfs.Database(dataDir), pipe},
		"a directory that is a link": {filepath.Dir(etcdfs.Database(dataDir)), away}, "a directory of logs that is a link": {etcdfs.LogDir(dataDir), away},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			m.Users = userIs{etcdOwner}
			writeFile(t, m, dataDir+"/member/x", "")
			if err := os.MkdirAll(filepath.Dir(m.path(test.path)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Lchown(filepath.Dir(m.path(test.path)), user, user), test.put(m.path(test.path))); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if l := m.etcd(dataDir).Log(false); l.Error == "" || strings.Contains(l.Error, "of root's") {
					t.Errorf("its log is read: %+v", l)
				}
				if why := m.damage(dataDir, lostRestarts).Find(t.Context()); strings.Contains(why, "of root's") {
					t.Error(why)
				}
				if _, err := m.etcd(dataDir).HighestRevision(); err != nil && strings.Contains(err.Error(), "of root's") {
					t.Error(err)
				}
				if _, err := m.progressOf(dataDir); err == nil {
					t.Error("how far it has come is read")
				}
				if to, err := m.dataDir(dataDir).CopyAside("copy"); err == nil {
					t.Errorf("it is copied to %s", to)
				}
				if data, err := inside.Open(m.path(dataDir)); err != nil {
					t.Error(err)
				} else if err := errors.Join(syncTree(data, etcdOwner), data.Close()); err != nil {
					t.Error(err)
				}
				if err := agreeWithin(m, 3*time.Second); err == nil {
					t.Error("its log counts as agreed on")
				}
			}()
			select {
			case <-done:
			case <-time.After(patience):
				t.Fatal("it waits")
			}
			info, err := os.Stat(secret)
			if err != nil || files.OwnerOf(info) == etcdOwner {
				t.Errorf("root's file was given away: %v", err)
			}
		})
	}
}

// TestLogOnADiskOfItsOwn: a link of root's, by which somebody has given a log another disk, is followed, and a log that
// cannot be listed is not taken for one that is gone.
func TestLogOnADiskOfItsOwn(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, dataDir+"/member/x", "")
	writeFile(t, m, "/fast/wal/0000000000000000-0000000000000000.wal", "")
	if m.etcd(dataDir).HasMember() {
		t.Error("there is a member without a log")
	}
	if err := os.Symlink(m.path("/fast/wal"), m.path(etcdfs.LogDir(dataDir))); err != nil {
		t.Fatal(err)
	}
	if files := m.etcd(dataDir).LogFiles(); len(files) != 1 || !m.etcd(dataDir).HasMember() {
		t.Errorf("behind root's link lies %v", files)
	}
	if err := errors.Join(os.Lchown(m.path(etcdfs.LogDir(dataDir)), 65534, 65534), os.Chown(m.path(filepath.Dir(etcdfs.LogDir(dataDir))), 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if files := m.etcd(dataDir).LogFiles(); len(files) != 0 || !m.etcd(dataDir).HasMember() {
		t.Errorf("behind another's link lies %v, and its data counts as gone: %t", files, !m.etcd(dataDir).HasMember())
	}
}
