package stores

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

var (
	storeA = strings.Repeat("a1", 32)
	storeB = strings.Repeat("b2", 32)
)

// newStores returns a host with one store, which runs this code.
func newStores(t *testing.T) Stores {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := Stores{
		Files: files.Tree{Root: root}, EtcdVersion: "3.7.3", Now: time.Now,
		IsRunning: func(string) (bool, error) { return false, nil },
		OtherRuns: func(string) (time.Time, bool, error) { return time.Time{}, false, nil },
	}
	s.Binary = s.Files.Path(api.InstalledStore(storeA))
	install(t, s, storeA)
	return s
}

func writeFile(t *testing.T, s Stores, path, text string) {
	t.Helper()
	at := s.Files.Path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func install(t *testing.T, s Stores, hash string) {
	t.Helper()
	writeFile(t, s, api.InstalledStore(hash), "#!/bin/true")
	if err := os.Chmod(s.Files.Path(api.InstalledStore(hash)), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestWhichStoresThereAre(t *testing.T) {
	s := newStores(t)
	install(t, s, storeB)
	// What a cut-off upload leaves is no store, and neither is a file that is not executable.
	writeFile(t, s, api.StoreRoot+"/.incoming.x1/store", "half")
	writeFile(t, s, api.InstalledStore(hex.EncodeToString(make([]byte, 32))), "not executable")
	if err := s.Files.Link(api.SelectedStore("main"), storeB); err != nil {
		t.Fatal(err)
	}
	got, err := s.State("main")
	want := api.Store{EtcdVersion: "3.7.3", SHA256: storeA, Selected: storeB, Installed: []string{storeA, storeB}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestAStoreThatIsNotInstalledKnowsItself holds that a store that runs from elsewhere, such as a checkout, has the hash
// by which it would be installed.
func TestAStoreThatIsNotInstalledKnowsItself(t *testing.T) {
	s := newStores(t)
	writeFile(t, s, "/home/me/store", "binary")
	s.Binary = s.Files.Path("/home/me/store")
	sum := sha256.Sum256([]byte("binary"))
	if got, err := s.Hash(); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Errorf("its hash is %s, %v", got, err)
	}
}

func TestAMachineWithoutStores(t *testing.T) {
	s := newStores(t)
	if err := os.RemoveAll(s.Files.Path(api.StoreRoot)); err != nil {
		t.Fatal(err)
	}
	if installed, err := s.Installed(); err != nil || len(installed) > 0 {
		t.Errorf("there are %q, %v", installed, err)
	}
	if err := s.Deselect("main"); err != nil {
		t.Error(err)
	}
}

// TestUploadsThatWereCutOffGo: with the last of a cluster goes what is left of its uploads, and what nobody goes on
// with; an upload that is under way stays, and so does the recent rest of another cluster's.
func TestUploadsThatWereCutOffGo(t *testing.T) {
	const boot, other = "6f0f2c2e-0a38-4a3c-8c51-6e4f3f3f0d6b", "11111111-2222-3333-4444-555555555555"
	s := newStores(t)
	writeFile(t, s, "/proc/sys/kernel/random/boot_id", boot+"\n")
	writeFile(t, s, "/proc/42/stat", "")
	old := time.Now().Add(-2 * Recent)
	for name, stays := range map[string]bool{
		boot + ".42.main-AbCdEf":    true, // under way
		boot + ".43.main-AbCdEf":    false,
		boot + ".43.x-main-AbCdEf":  true,
		boot + ".43.main-x-AbCdEf":  true,
		boot + ".44.other-AbCdEf":   false, // old
		other + ".42.other-AbCdEf":  false,
		other + ".42.other2-AbCdEf": false,
	} {
		at := api.StoreRoot + "/.incoming." + name
		writeFile(t, s, at+"/"+storeB, "half")
		if strings.Contains(name, ".44.") {
			if err := os.Chtimes(s.Files.Path(at), old, old); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			if _, err := os.Stat(s.Files.Path(at)); (err == nil) != stays {
				t.Errorf("%s is there: %t", name, err == nil)
			}
		})
	}
	if err := s.Deselect("main"); err != nil {
		t.Error(err)
	}
}
