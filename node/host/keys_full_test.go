package host

import (
	"crypto"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
)

// TestPairsOnAFullDisk changes the algorithm of keys while the disk of the configuration is full, or lets nobody write,
// at whichever of the writes: the call fails, the member keeps whole pairs, no key is left under another name, and the
// next call does it.
func TestPairsOnAFullDisk(t *testing.T) {
	sample.LeaveToNewestMinor(t, "files are the same in each")
	const size = 1 << 20
	failures := 0
	for free := 0; ; free++ {
		m, _ := newMachine(t)
		mountOn(t, m, "/etc/etcd", fmt.Sprint(size))
		ca := newAuthority(t)
		r := prepareOf("main")
		if err := m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), ca)); err != nil {
			t.Fatal(err)
		}
		r.Keys = keysOf("ecdsa-p384")
		change := func() error {
			p, err := m.Prepare(t.Context(), "main", r)
			if err != nil {
				return err
			}
			return m.Configure(t.Context(), "main", configureOf(t, r, p, ca))
		}
		whole := func(when string) {
			t.Helper()
			if err := m.Record(t.Context(), "main"); err != nil { // as after the end of a member
				t.Errorf("%s, with %d pages free: %v", when, free, err)
			}
			for name, held := range m.held() {
				if held.Error != "" || slices.Contains(api.KeyNames, name) && !held.HasKey {
					t.Errorf("%s, with %d pages free: %s is %+v", when, free, name, held)
				}
			}
			for at := range tree(t, m, api.TLSDir("main")) {
				if strings.HasPrefix(path.Base(at), ".") {
					t.Errorf("%s, with %d pages free: %s is left", when, free, at)
				}
			}
		}

		var full unix.Statfs_t
		if err := unix.Statfs(m.path("/etc/etcd"), &full); err != nil {
			t.Fatal(err)
		}
		ballast := m.path("/etc/etcd/ballast")
		pages := int64(full.Bavail) - int64(free)
		if err := os.WriteFile(ballast, make([]byte, pages*full.Bsize), 0o600); err != nil {
			t.Fatal(err)
		}
		failed := change()
		whole("on a full disk")
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if failed == nil {
			break
		}
		failures++
		if !strings.Contains(failed.Error(), "no space left") || !strings.Contains(failed.Error(), "/etc/etcd/main") {
			t.Errorf("with %d pages free: %v", free, failed)
		}

		if err := unix.Mount("", m.path("/etc/etcd"), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		if err := change(); err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("where nobody writes: %v", err)
		}
		if err := unix.Mount("", m.path("/etc/etcd"), "", unix.MS_REMOUNT, ""); err != nil {
			t.Fatal(err)
		}
		whole("where nobody wrote")
		if err := change(); err != nil {
			t.Fatal(err)
		}
		whole("afterwards")
		if key, err := m.keys().Read("main", api.KeyPeer); err != nil || !isP384(key) {
			t.Errorf("afterwards, with %d pages free: %v", free, err)
		}
	}
	if failures < 3 {
		t.Errorf("%d writes found the disk full: the test tries little", failures)
	}
}

func isP384(key crypto.Signer) bool { return keys.Fits("ecdsa-p384", key) }
