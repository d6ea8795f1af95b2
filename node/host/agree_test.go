package host

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/agree"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// TestAgreeAsTheSystemUser holds that the log is repaired and written to by nobody but the system user: the names of
// files that etcd's code makes there may be links of his, to files of root's.
func TestAgreeAsTheSystemUser(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	f.units.end(syscall.SIGKILL)
	logs := f.etcd(dataDir).LogFiles()
	last := f.path(logs[len(logs)-1])
	before := f.etcd(dataDir).ReadLog()
	if commit, err := etcdfs.AgreedIndex(filepath.Dir(last)); err != nil || commit >= before.Index {
		t.Fatalf("entry %d of %d is agreed on already, %v", commit, before.Index, err)
	}
	tear(t, last)

	elsewhere, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(elsewhere) })
	precious, made := filepath.Join(elsewhere, "precious"), filepath.Join(elsewhere, "made")
	broken, next := last+".broken", filepath.Join(filepath.Dir(last), "0.tmp")
	err = errors.Join(os.Chmod(elsewhere, 0o755), os.WriteFile(precious, []byte("of root's"), 0o644), os.RemoveAll(next))
	for link, target := range map[string]string{broken: precious, next: made} {
		err = errors.Join(err, os.Symlink(target, link), os.Lchown(link, etcdOwner.UID, etcdOwner.GID))
	}
	if err != nil {
		t.Fatal(err)
	}
	err = f.agree().Log(dataDir)
	if text, _ := os.ReadFile(precious); string(text) != "of root's" {
		t.Errorf("a file of root's was written to: %d bytes", len(text))
	}
	if exists(made) {
		t.Error("a file was made for root")
	}
	if err == nil || !strings.Contains(err.Error(), etcdfs.LogDir(dataDir)) {
		t.Errorf("it goes well: %v", err)
	}

	if err := errors.Join(os.Remove(broken), os.Remove(next)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing to do
		if err := f.agree().Log(dataDir); err != nil {
			t.Fatal(err)
		}
	}
	after := f.etcd(dataDir).ReadLog()
	if commit, err := etcdfs.AgreedIndex(filepath.Dir(last)); err != nil || commit != after.Index || after.Error != "" || after.Index > before.Index {
		t.Errorf("entry %d of %+v is agreed on, before %+v, %v", commit, after, before, err)
	}
	info, err := os.Lstat(broken)
	if err != nil || files.OwnerOf(info) != etcdOwner {
		t.Errorf("what was repaired is not the system user's: %v, %v", info, err)
	}
}

// agreeWithin has the log count as agreed on by a process that may come to nothing for this long.
func agreeWithin(m *Machine, patience time.Duration) error {
	agrees := m.agree()
	agrees.Patience = patience
	return agrees.Log(dataDir)
}

// tear cuts a file of a log off in the middle of its last record.
func tear(t *testing.T, file string) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	end := int64(0)
	for {
		var head [8]byte // the length in the lower bits, and in the highest byte how much fills it up
		if _, err := in.ReadAt(head[:], end); err != nil || end >= info.Size() {
			break
		}
		word := binary.LittleEndian.Uint64(head[:])
		if word == 0 {
			break
		}
		end += int64(len(head)) + int64(word&(1<<56-1)) + int64(word>>56&7)
	}
	if err := os.Truncate(file, end-3); err != nil {
		t.Fatal(err)
	}
}

// userIs has a system user that is this one.
type userIs struct{ files.Owner }

func (u userIs) Lookup(context.Context, string) (files.Owner, bool, error) { return u.Owner, true, nil }
func (u userIs) Ensure(context.Context, string) (files.Owner, error)       { return u.Owner, nil }

// TestAgreeNeverAsRoot refuses a system user that is root.
func TestAgreeNeverAsRoot(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, etcdfs.LogDir(dataDir)+"/0.wal", "")
	for _, user := range []files.Owner{files.RootUser, {UID: etcdOwner.UID, GID: files.RootUser.GID}, files.RootFor(etcdOwner)} {
		m.Users = userIs{user}
		mustFail(t, m.agree().Log(dataDir), api.CodeFailed, "not root")
	}
	if err := agree.Run(); err == nil || !strings.Contains(err.Error(), "not as root") {
		t.Errorf("root itself does it: %v", err)
	}
}

// TestAgreeEndsWithWhatComesToNothing has a log be a pipe that nobody writes to.
func TestAgreeEndsWithWhatComesToNothing(t *testing.T) {
	t.Parallel()
	m, _ := newMachine(t)
	m.Users = userIs{etcdOwner}
	pipe := m.path(etcdfs.LogDir(dataDir) + "/0000000000000000-0000000000000000.wal")
	if err := errors.Join(os.MkdirAll(filepath.Dir(pipe), 0o700), syscall.Mkfifo(pipe, 0o600), giveTree(m.path(dataDir), etcdOwner)); err != nil {
		t.Fatal(err)
	}
	mustFail(t, agreeWithin(m, 2*time.Second), api.CodeFailed, "nothing has come of it for 2s")
}
