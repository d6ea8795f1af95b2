package host

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// etcdOwner is the system user of test machines. It need not be an account.
var etcdOwner = files.Owner{UID: 64123, GID: 64124}

// fakeUsers has the system user from its first Ensure on.
type fakeUsers struct {
	made bool
	fail error
}

func (f *fakeUsers) Lookup(_ context.Context, name string) (files.Owner, bool, error) {
	if name != api.SystemUser {
		return files.Owner{}, false, fmt.Errorf("nobody asks for user %q", name)
	}
	if !f.made {
		return files.Owner{}, false, nil
	}
	return etcdOwner, true, nil
}

func (f *fakeUsers) Ensure(_ context.Context, name string) (files.Owner, error) {
	if f.fail != nil {
		return files.Owner{}, f.fail
	}
	f.made = true
	return etcdOwner, nil
}

// held returns the certificates that the machine holds.
func (m *Machine) held() map[string]api.Certificate {
	held, _ := m.keys().Held(context.Background(), "main")
	return held
}

// clientCRL returns the list of revoked certificates that the machine holds.
func (m *Machine) clientCRL() string {
	_, list := m.keys().Held(context.Background(), "main")
	return list
}

// fakeUnits is a systemd that reads the unit files of a test machine at a reload.
type fakeUnits struct {
	machine  *Machine
	loaded   map[string]string // text by unit, as of the last reload
	active   map[string]string // active state, where it is not inactive
	enabled  map[string]bool
	pid      int // of the process of an active unit
	vain     time.Duration
	looping  bool // each look finds that systemd has started it once more
	restarts int
	reloads  int
	fail     map[string]error // by method
	run      func(unit string) error
}

func (f *fakeUnits) State(_ context.Context, unit string) (api.UnitState, error) {
	s := api.UnitState{LoadState: "not-found", ActiveState: "inactive"}
	if state := f.active[unit]; state != "" {
		s.ActiveState = state
	}
	text, loaded := f.loaded[unit]
	if loaded {
		s.LoadState, s.FileState = "loaded", "disabled"
		s.NeedReload = f.text(unit) != text
	}
	if f.enabled[unit] {
		s.FileState = "enabled"
	}
	if s.ActiveState == "active" || s.ActiveState == "activating" {
		s.MainPID = f.pid
	}
	if f.looping {
		f.restarts++
	}
	s.Restarts, s.Vain = f.restarts, f.vain
	return s, f.fail["State"]
}

func (f *fakeUnits) text(unit string) string {
	text, _ := inside.ReadFile(f.machine.path("/etc/systemd/system/" + unit)) // systemd waits for no pipe either
	return string(text)
}

func (f *fakeUnits) Reload(context.Context) error {
	if err := f.fail["Reload"]; err != nil {
		return err
	}
	f.reloads++
	f.loaded = map[string]string{}
	files, err := os.ReadDir(f.machine.path("/etc/systemd/system"))
	for _, file := range files {
		f.loaded[file.Name()] = f.text(file.Name())
	}
	return err
}

func (f *fakeUnits) Start(_ context.Context, unit string) error {
	if _, loaded := f.loaded[unit]; !loaded {
		return fmt.Errorf("unit %s is not loaded", unit)
	}
	f.active[unit], f.enabled[unit] = "active", true
	return f.fail["Start"]
}

func (f *fakeUnits) Run(_ context.Context, unit string) error {
	if _, loaded := f.loaded[unit]; !loaded {
		return fmt.Errorf("unit %s is not loaded", unit)
	}
	return f.run(unit)
}

func (f *fakeUnits) Enable(_ context.Context, unit string) error {
	if err := f.fail["Enable"]; err != nil {
		return err
	}
	f.enabled[unit] = true
	return nil
}

func (f *fakeUnits) Stop(_ context.Context, unit string) error {
	if err := f.fail["Stop"]; err != nil {
		return err
	}
	delete(f.active, unit)
	return nil
}

func (f *fakeUnits) Disable(_ context.Context, unit string) error {
	if err := f.fail["Disable"]; err != nil {
		return err
	}
	delete(f.enabled, unit)
	return nil
}

// newMachine returns a bare machine in a directory of its own.
func newMachine(t *testing.T) (*Machine, *fakeUnits) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("gives files to other users: run as root")
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	units := &fakeUnits{loaded: map[string]string{}, active: map[string]string{}, enabled: map[string]bool{}, fail: map[string]error{}, pid: os.Getpid()}
	m := &Machine{
		Root:        root,
		EtcdVersion: "3.7.3",
		Binary:      filepath.Join(root, api.InstalledStore(storeA)),
		Units:       units,
		Users:       &fakeUsers{},
		Run: func(_ context.Context, name string, args ...string) ([]byte, error) {
			return nil, fmt.Errorf("nobody runs %s %q", name, args)
		},
		Now:    func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) },
		Random: rand.Reader,
	}
	units.machine = m
	for _, dir := range []string{"/etc/systemd/system", "/usr/local/bin"} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, m, "/proc/meminfo", "MemTotal:        8137000 kB\nMemAvailable:    4000000 kB\n")
	installStore(t, m, storeA)
	return m, units
}

// Hashes of stores that test machines have.
var (
	storeA = strings.Repeat("a1", 32)
	storeB = strings.Repeat("b2", 32)
)

func installStore(t *testing.T, m *Machine, hash string) {
	t.Helper()
	writeFile(t, m, api.InstalledStore(hash), "#!/bin/true")
	if err := os.Chmod(m.path(api.InstalledStore(hash)), 0o755); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, m *Machine, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree returns everything below a path of the machine, with modes, owners and contents, to compare.
func tree(t *testing.T, m *Machine, path string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(m.path(path), func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == m.path("/run") {
			return fs.SkipDir // locks
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			content = string(text)
		case info.Mode()&fs.ModeSymlink != 0:
			content, err = os.Readlink(p)
		}
		found[strings.TrimPrefix(p, m.Root)] = fmt.Sprintf("%s %v %s", info.Mode(), files.OwnerOf(info), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// paths returns the paths of a tree.
func paths(tree map[string]string) []string { return slices.Sorted(maps.Keys(tree)) }

// mustHave fails the test unless a path has this owner and mode.
func mustHave(t *testing.T, m *Machine, path string, owner files.Owner, mode fs.FileMode) {
	t.Helper()
	info, err := os.Stat(m.path(path))
	if err != nil {
		t.Error(err)
		return
	}
	if got := files.OwnerOf(info); got != owner || info.Mode().Perm() != mode {
		t.Errorf("%s is %v's with mode %o; want %v and %o", path, got, info.Mode().Perm(), owner, mode)
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func mustNotFail(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustRefuse fails the test unless an error is a refusal that says each of the texts.
func mustRefuse(t *testing.T, err error, texts ...string) {
	t.Helper()
	mustFail(t, err, api.CodeRefused, texts...)
}

func mustFail(t *testing.T, err error, code api.Code, texts ...string) {
	t.Helper()
	if err == nil {
		t.Error("it succeeded")
		return
	}
	if got := asError(err).Code; got != code {
		t.Errorf("the error has code %s, want %s: %v", got, code, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}
