package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

const dataDir = "/var/lib/etcd/main"

// newDir returns a data directory that does not exist, on a host of its own.
func newDir(t *testing.T) Dir {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Dir{files.Tree{Root: root}, func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }, dataDir}
}

func writeFile(t *testing.T, d Dir, path, text string) {
	t.Helper()
	at := d.Files.Path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// mountOn mounts a file system on the directory.
func mountOn(t *testing.T, d Dir) {
	t.Helper()
	if err := os.MkdirAll(d.path(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", d.path(), "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("this machine does not let us mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.path(), 0); err != nil {
			t.Error(err)
		}
	})
}

// stateOf returns the state of the data directory, without what depends on the disk.
func stateOf(t *testing.T, d Dir) api.Data {
	t.Helper()
	data, err := d.Data()
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
			d := newDir(t)
			for _, file := range test.files {
				if file[len(file)-1] != '/' {
					writeFile(t, d, file, "")
				} else if err := os.MkdirAll(d.Files.Path(file), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			test.want.Path = dataDir
			if diff := cmp.Diff(test.want, stateOf(t, d)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSetAsideMovesTheDirectory(t *testing.T) {
	d := newDir(t)
	writeFile(t, d, dataDir+"/member/wal/0.wal", "log")
	to, err := d.SetAside("unfinished")
	if err != nil {
		t.Fatal(err)
	}
	if want := dataDir + ".aside-unfinished-20260304T050607Z"; to != want {
		t.Errorf("it lies in %s, want %s", to, want)
	}
	if text, err := os.ReadFile(d.Files.Path(to + "/member/wal/0.wal")); err != nil || string(text) != "log" {
		t.Errorf("the log reads %q, %v", text, err)
	}
	if state := stateOf(t, d); state.Exists {
		t.Errorf("the directory is still there: %+v", state)
	}

	// Within the same second the name is taken. What was moved aside is never written over.
	writeFile(t, d, dataDir+"/member/wal/0.wal", "second")
	if _, err := d.SetAside("unfinished"); err == nil {
		t.Error("the second was moved over the first")
	}
	if text, _ := os.ReadFile(d.Files.Path(to + "/member/wal/0.wal")); string(text) != "log" {
		t.Errorf("the first log reads %q now", text)
	}
}

func TestSetAsideOfNothing(t *testing.T) {
	d := newDir(t)
	for range 2 {
		if to, err := d.SetAside("retired"); to != "" || err != nil {
			t.Errorf("it lies in %q, %v", to, err)
		}
		if err := os.MkdirAll(d.Files.Path(dataDir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if to, err := d.SetAside("retired"); to != "" || err != nil || stateOf(t, d).Exists {
		t.Errorf("of an empty directory: %q, %v, %+v", to, err, stateOf(t, d))
	}
}

func TestPurge(t *testing.T) {
	d := newDir(t)
	writeFile(t, d, dataDir+"/member/wal/0.wal", "")
	writeFile(t, d, dataDir+".aside-retired-1/member/wal/0.wal", "")
	writeFile(t, d, "/var/lib/etcd/events/member/wal/0.wal", "")
	for range 2 {
		if err := d.Purge(nil); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(d.Files.Path("/var/lib/etcd"))
	if err != nil || len(left) != 1 || left[0].Name() != "events" {
		t.Errorf("these are left: %v, %v", left, err)
	}
}

func TestSetAsideInAMountPoint(t *testing.T) {
	d := newDir(t)
	mountOn(t, d)
	if data, err := d.Data(); err != nil || data.Filesystem != "tmpfs" || data.FreeBytes != 1<<20 || data.Full {
		t.Errorf("the disk reads %+v, %v", data, err)
	}
	writeFile(t, d, dataDir+"/member/wal/0.wal", "log")
	if data, err := d.Data(); err != nil || !data.Full {
		t.Errorf("the disk of a member reads %+v, %v", data, err)
	}
	writeFile(t, d, dataDir+"/lost+found/inode", "")
	to, err := d.SetAside("retired")
	if err != nil {
		t.Fatal(err)
	}
	if want := dataDir + "/aside-retired-20260304T050607Z"; to != want {
		t.Errorf("it lies in %s, want %s", to, want)
	}
	if _, err := os.Stat(d.Files.Path(filepath.Join(to, "member/wal/0.wal"))); err != nil {
		t.Error(err)
	}
	want := api.Data{Path: dataDir, Exists: true, Empty: true, Aside: []string{to}}
	if diff := cmp.Diff(want, stateOf(t, d)); diff != "" {
		t.Error(diff)
	}

	// A call that was cut short has left some of it: the next one moves that too.
	writeFile(t, d, dataDir+"/member-2/file", "")
	if again, err := d.SetAside("retired"); err != nil || again != to || !stateOf(t, d).Empty {
		t.Errorf("the rest lies in %q, %v", again, err)
	}
	if err := d.Purge(nil); err != nil {
		t.Fatal(err)
	}
	if state := stateOf(t, d); !state.Exists || !state.Empty || len(state.Aside) > 0 {
		t.Errorf("after the purge: %+v", state)
	}
}

// TestCopyAsideAfterACut has what an interrupted copy has left take the room of the next one, which removes it before
// it looks for room. A copy that fails leaves nothing.
func TestCopyAsideAfterACut(t *testing.T) {
	d := newDir(t)
	parent := filepath.Dir(d.path())
	if err := os.MkdirAll(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", parent, "tmpfs", 0, "size=400m"); err != nil {
		t.Skipf("this machine does not let us mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(parent, 0); err != nil {
			t.Error(err)
		}
	})
	writeFile(t, d, dataDir+"/member/wal/0.wal", "log")
	writeFile(t, d, dataDir+".aside-copy-unfinished/member/snap/db", "")
	left, err := os.OpenFile(d.Files.Path(dataDir+".aside-copy-unfinished/member/snap/db"), os.O_WRONLY, 0)
	if err == nil {
		err = errors.Join(unix.Fallocate(int(left.Fd()), 0, 0, 200<<20), left.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := d.MustHoldCopy("copy"); err != nil {
		t.Errorf("there is no room: %v", err)
	}
	to, err := d.CopyAside("copy")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(d.Files.Path(to + "/member/wal/0.wal")); err != nil || string(text) != "log" {
		t.Errorf("the copied log reads %q, %v", text, err)
	}
	if err := unix.Mkfifo(d.Files.Path(dataDir+"/member/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CopyAside("again"); err == nil {
		t.Error("a pipe was copied")
	}
	if found, err := filepath.Glob(d.path() + ".aside-again*"); err != nil || len(found) > 0 {
		t.Errorf("the copy that failed has left %v, %v", found, err)
	}
}

// TestCopyAsideThroughLinks copies a directory whose log, or whose member, lies behind a link: root's is followed, and
// counted before anything is stopped; another's is refused then.
func TestCopyAsideThroughLinks(t *testing.T) {
	t.Parallel()
	for _, linked := range []string{"member/wal", "member"} {
		d := newDir(t)
		for _, file := range []string{"wal/0.wal", "snap/db"} {
			writeFile(t, d, dataDir+"/member/"+file, file)
		}
		link, behind := d.Files.Path(dataDir+"/"+linked), d.Files.Path("/fast/disk")
		if err := errors.Join(os.MkdirAll(filepath.Dir(behind), 0o755), os.Rename(link, behind), os.Symlink(behind, link)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(d.Files.Path(dataDir+"/member/wal/0.wal"), 1<<43); err != nil {
			t.Fatal(err)
		}
		if err := d.MustHoldCopy("copy"); err == nil {
			t.Errorf("%s: there is room for a log of terabytes", linked)
		}
		writeFile(t, d, dataDir+"/member/wal/0.wal", "wal/0.wal")
		to, err := d.CopyAside("copy")
		if err != nil {
			t.Fatalf("%s: %v", linked, err)
		}
		for _, file := range []string{"wal/0.wal", "snap/db"} {
			if text, err := os.ReadFile(d.Files.Path(to + "/member/" + file)); string(text) != file {
				t.Errorf("%s: %s of the copy is %q, %v", linked, file, text, err)
			}
		}
		if info, err := os.Lstat(d.Files.Path(to + "/" + linked)); err != nil || !info.IsDir() {
			t.Errorf("%s of the copy is %v, %v", linked, info, err)
		}
		if err := errors.Join(os.Lchown(link, 65534, 65534), os.Chown(filepath.Dir(link), 65534, 65534)); err != nil {
			t.Skipf("this is not root: %v", err)
		}
		if err := d.MustHoldCopy("again"); !errors.Is(err, inside.ErrLink) {
			t.Errorf("%s: of another's link it says %v", linked, err)
		}
		if to, err := d.CopyAside("again"); err == nil {
			t.Errorf("%s: another's link is followed, to %s", linked, to)
		}
		if err := os.Lchown(link, 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/", behind+"/further"); err != nil {
			t.Fatal(err)
		}
		if err := d.MustHoldCopy("again"); err == nil || !strings.Contains(err.Error(), "move it elsewhere") {
			t.Errorf("%s: of a link behind a link it says %v", linked, err)
		}
		writeFile(t, d, dataDir+"/member/wal/another's", "kept")
		lies, err := filepath.EvalSymlinks(d.Files.Path(dataDir + "/member/wal"))
		if err := errors.Join(err, d.Purge(nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(lies + "/0.wal"); !os.IsNotExist(err) {
			t.Errorf("%s: a purge leaves the log behind the link: %v", linked, err)
		}
		if _, err := os.Lstat(lies + "/another's"); err != nil {
			t.Errorf("%s: a purge takes what is no log: %v", linked, err)
		}
		if _, err := os.Lstat(d.path()); !os.IsNotExist(err) {
			t.Errorf("%s: a purge leaves the data: %v", linked, err)
		}
	}
}
