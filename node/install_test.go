package node

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// unpack runs the install script on this machine, into root.
func unpack(root, hash string, archive []byte) error {
	command := unpacking(root, hash, archive)
	command.Stdin = bytes.NewReader(archive)
	return command.Run()
}

// unpacking runs the install script with the patience of a real one: a test may be stopped for seconds by its machine.
func unpacking(root, hash string, archive []byte) *exec.Cmd {
	return unpackingFor(api.LockSilence, api.Target{}, root, hash, archive)
}

// unpackingFor runs the install script for a target. It ends once nothing has arrived for so long.
func unpackingFor(patience time.Duration, target api.Target, root, hash string, archive []byte) *exec.Cmd {
	return exec.Command("sh", "-c", fmt.Sprintf(
		"root=%s\nhash=%s\nwanted=%s\nmachine=%s\nbooted=%s\nsilence=%d\ncluster=main\narchive=%x\nbytes=%d\n%s",
		ssh.Quote(root), hash, ssh.Quote(wantedAt(root)), ssh.Quote(target.MachineID), ssh.Quote(target.BootID),
		int(patience.Seconds()), sha256.Sum256(archive), len(archive), installScript))
}

// wantedAt returns the file in which an install beside a root demands its store.
func wantedAt(root string) string {
	return filepath.Join(filepath.Dir(root), "run-"+filepath.Base(root), "wanted")
}

// TestInstallEndsOnceNothingComes holds that an upload ends on the host if its sender sends nothing for a while, and
// goes on if the sender is only slow.
func TestInstallEndsOnceNothingComes(t *testing.T) {
	hash, packed := archive(t)
	for name, sleeps := range map[string]bool{"it is slow": false, "it has fallen asleep": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "etcd-store")
			patience := time.Second
			if !sleeps { // the pieces take longer than that together, and none of them may, on a busy machine either
				patience = 5 * time.Second
			}
			command := unpackingFor(patience, api.Target{}, root, hash, packed)
			var said bytes.Buffer
			command.Stderr = &said
			input, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- command.Wait() }()
			for piece := range slices.Chunk(packed, len(packed)/8) {
				if _, err := input.Write(piece); err != nil {
					t.Fatal(err)
				}
				if sleeps && len(piece) > 0 {
					break
				}
				time.Sleep(800 * time.Millisecond)
			}
			if !sleeps {
				input.Close()
			}
			select {
			case err := <-ended:
				if sleeps == (err == nil) || sleeps != strings.Contains(said.String(), "nothing has arrived for 1 s") {
					t.Errorf("%v: %s", err, &said)
				}
			case <-time.After(time.Minute):
				t.Fatal("it waits for its sender still")
			}
			if names := entries(t, root); len(names) != 1 || sleeps != strings.HasPrefix(names[0], ".incoming.") {
				t.Errorf("there lie %v", names)
			}
		})
	}
}

// archive returns a packed binary of random bytes, and its hash.
func archive(t *testing.T) (hash string, packed []byte) {
	t.Helper()
	binary := make([]byte, 1<<20)
	if _, err := rand.Read(binary); err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	if _, err := writer.Write(binary); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	return hex.EncodeToString(sum[:]), buffer.Bytes()
}

// entries returns the names in a directory, or none if there is no directory.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range found {
		names = append(names, entry.Name())
	}
	return names
}

func TestInstallPutsTheStoreInPlace(t *testing.T) {
	root := filepath.Join(t.TempDir(), "lib", "etcd-store")
	hash, packed := archive(t)
	for range 2 {
		if err := unpack(root, hash, packed); err != nil {
			t.Fatal(err)
		}
	}
	if names := entries(t, root); len(names) != 1 || names[0] != hash {
		t.Errorf("beside the store lie %v", names)
	}
	info, err := os.Stat(filepath.Join(root, hash, "store"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o755 {
		t.Errorf("mode is %v", info.Mode())
	}
}

// TestInstallIsForOneMachine holds that only the machine that the run observed takes a store, in the boot in which it
// was: an address may lead elsewhere by now, or to a clone.
func TestInstallIsForOneMachine(t *testing.T) {
	hash, packed := archive(t)
	here := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	machine, boot := here("/etc/machine-id"), here("/proc/sys/kernel/random/boot_id")
	for name, test := range map[string]struct {
		target api.Target
		says   string // empty: it is installed
	}{
		"itself":          {api.Target{MachineID: machine, BootID: boot}, ""},
		"nobody knows":    {api.Target{}, ""},
		"another machine": {api.Target{MachineID: "0123", BootID: boot}, "its machine ID is " + machine + ", and was 0123"},
		"another boot":    {api.Target{MachineID: machine, BootID: "0123"}, "its boot ID is " + boot + ", and was 0123"},
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "etcd-store")
			command := unpackingFor(api.LockSilence, test.target, root, hash, packed)
			command.Stdin = bytes.NewReader(packed)
			said, err := command.CombinedOutput()
			if (err == nil) != (test.says == "") || !strings.Contains(string(said), test.says) {
				t.Errorf("%v: %s", err, said)
			}
			if names := entries(t, root); (len(names) > 0) != (err == nil) {
				t.Errorf("there lie %v", names)
			}
		})
	}
}

func TestInstallLeavesNothingOfABadUpload(t *testing.T) {
	hash, packed := archive(t)
	other, _ := archive(t)
	for name, bad := range map[string]struct {
		hash    string
		archive []byte
	}{
		"cut short":      {hash, packed[:len(packed)/2]},
		"empty":          {hash, nil},
		"another binary": {other, packed},
		"no archive":     {hash, []byte("404 not found")},
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "etcd-store")
			if err := unpack(root, bad.hash, bad.archive); err == nil {
				t.Error("it was taken")
			}
			if names := entries(t, root); len(names) != 0 {
				t.Errorf("it left %v", names)
			}
		})
	}
}

// TestInstallMendsADirectoryThatLostItsStore holds that an upload restores the store in a directory, whatever a
// clean-up or a cut-off removal has left there. If it cannot, its error says why.
func TestInstallMendsADirectoryThatLostItsStore(t *testing.T) {
	hash, packed := archive(t)
	for name, test := range map[string]struct {
		leave func(dir string) error
		says  string // the error of the upload; empty: it restores the store
	}{
		"its links alone": {leave: func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.Symlink("store", filepath.Join(dir, "etcd")))
		}},
		"nothing in it": {leave: func(dir string) error { return os.Mkdir(dir, 0o755) }},
		"a store that cannot be run": {leave: func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "store"), []byte("half"), 0o644))
		}},
		"a link that leads nowhere": {leave: func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.Symlink("gone", filepath.Join(dir, "store")))
		}},
		"a directory in the store's place": {
			leave: func(dir string) error { return os.MkdirAll(filepath.Join(dir, "store", "x"), 0o755) },
			says:  "store",
		},
		"a file in the directory's place": {
			leave: func(dir string) error { return os.WriteFile(dir, nil, 0o644) },
			says:  hash,
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, hash)
			if err := test.leave(dir); err != nil {
				t.Fatal(err)
			}
			links := len(entries(t, root))
			command := unpacking(root, hash, packed)
			command.Stdin = bytes.NewReader(packed)
			said, err := command.CombinedOutput()
			if names := entries(t, root); len(names) != links {
				t.Errorf("beside it lie %v", names)
			}
			if test.says != "" {
				if err == nil || !strings.Contains(string(said), test.says) {
					t.Errorf("it ends with %v, and says %q", err, said)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			binary, err := os.ReadFile(filepath.Join(dir, "store"))
			if sum := sha256.Sum256(binary); err != nil || hex.EncodeToString(sum[:]) != hash {
				t.Errorf("the store has %d bytes, and not those that were sent; %v", len(binary), err)
			}
			info, err := os.Lstat(filepath.Join(dir, "store"))
			if err != nil || info.Mode() != 0o755 {
				t.Errorf("the store is %v, %v", info, err)
			}
			if _, err := os.Lstat(filepath.Join(dir, "etcd")); name == "its links alone" && err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInstallSaysWhatIsWanted holds that a run demands a store before it looks whether the store is there, and again
// once it has uploaded the store, by the time since the boot.
func TestInstallSaysWhatIsWanted(t *testing.T) {
	root := filepath.Join(t.TempDir(), "etcd-store")
	hash, packed := archive(t)
	for _, when := range []string{"brought", "found"} {
		if err := os.RemoveAll(wantedAt(root)); err != nil {
			t.Fatal(err)
		}
		if err := unpack(root, hash, packed); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(wantedAt(root))
		at, failed := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		now, _ := os.ReadFile("/proc/uptime")
		up, _ := strconv.ParseFloat(strings.Fields(string(now))[0], 64)
		if err != nil || failed != nil || at > up || at < up-60 {
			t.Errorf("of a store that was %s it says %q, at %v: %v", when, text, up, err)
		}
	}
	if err := os.RemoveAll(wantedAt(root)); err != nil {
		t.Fatal(err)
	}
	if err := unpack(filepath.Dir(root)+"/other", hash, packed[:100]); err == nil {
		t.Error("half a store was taken")
	}
	if _, err := os.Stat(wantedAt(filepath.Dir(root) + "/other")); err != nil {
		t.Errorf("a run that is at it has not said that it wants it: %v", err)
	}
}

// TestInstallLeavesUploadsThatAreUnderWay removes the rest of an upload whose shell has ended, and nothing of another
// upload, whatever the clock says.
func TestInstallLeavesUploadsThatAreUnderWay(t *testing.T) {
	root := t.TempDir()
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Skip(err)
	}
	boot, self := strings.TrimSpace(string(text)), strconv.Itoa(os.Getpid())
	lefts := map[string]bool{ // whether the directory stays
		".incoming." + boot + "." + self + ".abcdef":                         true,
		".incoming." + boot + ".4194305.abcdef":                              false, // no process has such a number
		".incoming.11111111-2222-3333-4444-555555555555." + self + ".abcdef": false,
		".incoming.abcdef": false, // of an older release
	}
	old := time.Now().Add(-2 * time.Hour)
	for name := range lefts {
		if err := errors.Join(os.Mkdir(filepath.Join(root, name), 0o755), os.Chtimes(filepath.Join(root, name), old, old)); err != nil {
			t.Fatal(err)
		}
	}
	hash, packed := archive(t)
	if err := unpack(root, hash, packed); err != nil {
		t.Fatal(err)
	}
	for name, stays := range lefts {
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != stays {
			t.Errorf("%s is there: %t", name, err == nil)
		}
	}
}
