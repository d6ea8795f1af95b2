package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// TestNoPipeHoldsALookUp puts a pipe that nobody writes to in the place of each file that a host has of its cluster.
// The look ends, and so does the next configuration's way to the member: root waits for nobody there.
func TestNoPipeHoldsALookUp(t *testing.T) {
	m, units := newMachine(t)
	describe(t, m)
	configured(t, m, prepareOf("main"))
	must(t, m.files().EnsureDir(api.RunDir, etcdOwner, 0o755))
	for _, file := range []string{api.ProgressFile("main"), api.RestoreFile("main"), api.RecoveryFile("main"), api.BackupFile("main"), vainFile("main"), api.ClientCRLFile("main")} {
		writeFile(t, m, file, `{"stage":"opened"}`)
	}
	units.active[api.Unit("main")], units.restarts = "active", 1
	if _, err := m.Observe(t.Context(), "main", api.ObserveRequest{}); err != nil {
		t.Fatal(err) // it would come to none of the files after that
	}
	var held []string
	for _, dir := range []string{"/etc/etcd", "/etc/systemd", api.RunDir, "/var/lib"} {
		must(t, filepath.WalkDir(m.path(dir), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				held = append(held, path)
			}
			return err
		}))
	}
	if len(held) < 15 {
		t.Fatalf("the host has only %q", held)
	}
	for _, path := range held {
		away := path + ".away"
		must(t, errors.Join(os.Rename(path, away), unix.Mkfifo(path, 0o666)))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = m.Observe(t.Context(), "main", api.ObserveRequest{})
			_, _ = m.local(markerOf("main")).Dial(t.Context())
		}()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("the look waits for %s", path)
		}
		must(t, os.Rename(away, path))
	}
}

// TestUnitAndFlagsThatAreNoFiles are drift like changed ones: the next configuration replaces them. One directory is
// full, and stays.
func TestUnitAndFlagsThatAreNoFiles(t *testing.T) {
	m, _ := newMachine(t)
	describe(t, m)
	c := configured(t, m, prepareOf("main"))
	for _, path := range []string{api.FlagsFile("main"), api.UnitFile("main")} {
		for name, put := range map[string]func(path string) error{
			"pipe":      func(path string) error { return unix.Mkfifo(path, 0o666) },
			"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
			"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		} {
			must(t, errors.Join(os.Remove(m.path(path)), put(m.path(path))))
			o, err := m.Observe(t.Context(), "main", api.ObserveRequest{})
			if text := map[bool]string{true: o.Unit.Text, false: ""}[path == api.UnitFile("main")]; err != nil || text != "" || o.Flags == nil || path == api.FlagsFile("main") && len(o.Flags) > 0 {
				t.Errorf("with a %s at %s the unit is %q and the flags are %q, %v", name, path, o.Unit.Text, o.Flags, err)
			}
			must(t, m.Configure(t.Context(), "main", c))
			if o, err = m.Observe(t.Context(), "main", api.ObserveRequest{}); err != nil || o.Unit.Text != c.Unit || len(o.Flags) != len(c.Flags) {
				t.Errorf("after it the unit is %q and the flags are %q, %v", o.Unit.Text, o.Flags, err)
			}
		}
		must(t, errors.Join(os.Remove(m.path(path)), os.MkdirAll(m.path(path+"/kept"), 0o755)))
		if err := m.Configure(t.Context(), "main", c); err == nil || !strings.Contains(err.Error(), "with something in it") {
			t.Errorf("with a full directory at %s configure says %v", path, err)
		}
		must(t, errors.Join(os.Remove(m.path(path+"/kept")), m.Configure(t.Context(), "main", c)))
	}
}

// TestALookFindsTheSystemUserOnce counts how often one look asks for accounts, and that the look's context goes along.
func TestALookFindsTheSystemUserOnce(t *testing.T) {
	m, _ := newMachine(t)
	describe(t, m)
	configured(t, m, prepareOf("main"))
	counted := &countedUsers{Users: m.Users, t: t}
	m.Users = counted
	ctx := context.WithValue(t.Context(), ofLook{}, true)
	if _, err := m.Observe(ctx, "main", api.ObserveRequest{}); err != nil || counted.asked != 1 {
		t.Errorf("asked %d times, %v", counted.asked, err)
	}
}

type ofLook struct{} // a key of the context of a look

type countedUsers struct {
	Users
	t     *testing.T
	asked int
}

func (c *countedUsers) Lookup(ctx context.Context, name string) (files.Owner, bool, error) {
	c.asked++
	if ctx.Value(ofLook{}) == nil {
		c.t.Error("the lookup does not end with the look")
	}
	return c.Users.Lookup(ctx, name)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
