package host

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// TestFilesOfTLSHaveTheirOwnersAndModes has somebody change whose the files of keys and certificates are, and who may
// read them: the host reports what etcd cannot read when it is started next, or what others than etcd have read, and a
// renewal mends it.
func TestFilesOfTLSHaveTheirOwnersAndModes(t *testing.T) {
	sample.LeaveToNewestMinor(t, "owners and modes are the same in each")
	peerKey, server := api.KeyFile("main", api.KeyPeer), api.CertificateFile("main", api.KeyServer)
	etcd, others := etcdOwner, files.Owner{UID: 54321, GID: 54321}
	for name, test := range map[string]struct {
		path    string
		owner   files.Owner
		mode    fs.FileMode
		held    string // name of what is reported
		says    string // its error; empty: it can be used, and others can read it
		exposed bool
	}{
		"a key that etcd cannot read":         {peerKey, files.RootUser, 0o600, api.KeyPeer, "user etcd cannot read", false},
		"a key that nobody reads":             {peerKey, etcd, 0o000, api.KeyPeer, "user etcd cannot read", false},
		"a key that all can read":             {peerKey, etcd, 0o644, api.KeyPeer, "", true},
		"a key that a group can read":         {peerKey, etcd, 0o640, api.KeyPeer, "", true},
		"a key that others can write":         {peerKey, etcd, 0o622, api.KeyPeer, "", true},
		"a key of another user":               {peerKey, others, 0o600, api.KeyPeer, "user etcd cannot read", true},
		"the administrator's, etcd's":         {api.KeyFile("main", api.KeyAdmin), etcd, 0o600, api.KeyAdmin, "", true},
		"a certificate that etcd cannot read": {server, files.RootUser, 0o600, api.KeyServer, "user etcd cannot read", false},
		"a bundle that etcd cannot read":      {api.PeerCAFile("main"), files.RootUser, 0o600, "peer-ca", "user etcd cannot read", false},
		"a directory that etcd cannot enter":  {api.TLSDir("main"), files.RootUser, 0o700, api.KeyServer, "user etcd cannot enter", false},
		"the one around that":                 {api.ConfigDir("main"), files.RootUser, 0o700, "client-ca", "user etcd cannot enter", false},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			ca := newAuthority(t)
			r := prepareOf("main")
			c := configureOf(t, r, prepared(t, m, r), ca)
			if err := m.Configure(t.Context(), "main", c); err != nil {
				t.Fatal(err)
			}
			for name, held := range m.held() {
				if held.Error != "" || held.Exposed {
					t.Fatalf("before anything was changed, %s reads %+v", name, held)
				}
			}
			before := tree(t, m, "/etc/etcd/main")
			text, _ := os.ReadFile(m.path(test.path))
			if err := errors.Join(os.Chown(m.path(test.path), test.owner.UID, test.owner.GID), os.Chmod(m.path(test.path), test.mode)); err != nil {
				t.Fatal(err)
			}
			held := m.held()[test.held]
			if !strings.Contains(held.Error, test.says) || held.Exposed != test.exposed || (held.Error == "") != (test.says == "") {
				t.Errorf("the host reports %+v", held)
			}

			p := prepared(t, m, r)
			if err := m.Configure(t.Context(), "main", configureOf(t, r, p, ca)); err != nil {
				t.Fatal(err)
			}
			for name, held := range m.held() {
				if held.Error != "" || held.Exposed || slices.Contains(api.KeyNames, name) && !held.HasKey {
					t.Errorf("afterwards, %s reads %+v", name, held)
				}
			}
			for at, was := range before {
				info, err := os.Lstat(m.path(at))
				if err != nil || !strings.HasPrefix(was, info.Mode().String()) {
					t.Errorf("%s was %.40s, and is %v, %v", at, was, info.Mode(), err)
				}
			}
			if now, _ := os.ReadFile(m.path(test.path)); bytes.Equal(now, text) != strings.HasSuffix(test.path, "-ca.crt") && !strings.HasSuffix(test.path, "/tls") && len(text) > 0 {
				t.Errorf("%s is the one from before: %t", test.path, bytes.Equal(now, text))
			}
		})
	}
}

// TestLinksInPlacesOfKeys has somebody put links and pipes where keys lie: none is written through or waited for, and
// what a link leads to stays as it was.
func TestLinksInPlacesOfKeys(t *testing.T) {
	sample.LeaveToNewestMinor(t, "files are the same in each")
	for name, put := range map[string]func(path, other string) error{
		"a pipe":            func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
		"a link":            func(path, other string) error { return os.Symlink(other, path) },
		"another name":      func(path, other string) error { return os.Link(other, path) },
		"a link to nothing": func(path, other string) error { return os.Symlink(other+"-gone", path) },
		"a directory":       func(path, _ string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			ca := newAuthority(t)
			r := prepareOf("main")
			if err := m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), ca)); err != nil {
				t.Fatal(err)
			}
			other := m.path("/etc/other")
			writeFile(t, m, "/etc/other", "another's")
			for _, at := range []string{api.KeyFile("main", api.KeyPeer), api.CertificateFile("main", api.KeyPeer), api.KeyFile("main", api.KeyAdmin), api.NextKeyFile("main", api.KeyServer), api.NextCertificateFile("main", api.KeyPeer), api.PeerCAFile("main")} {
				if err := os.Remove(m.path(at)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				if err := put(m.path(at), other); err != nil {
					t.Fatal(err)
				}
			}
			if held := m.held(); held[api.KeyPeer].HasKey || held["peer-ca"].PEM != "" {
				t.Errorf("the host reports %+v", held)
			}
			if err := m.Record(t.Context(), "main"); err != nil {
				t.Error(err)
			}
			if err := m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), ca)); err != nil {
				t.Fatal(err)
			}
			for name, held := range m.held() {
				if held.Error != "" || slices.Contains(api.KeyNames, name) && !held.HasKey {
					t.Errorf("afterwards, %s reads %+v", name, held)
				}
			}
			mustHave(t, m, api.KeyFile("main", api.KeyPeer), etcdOwner, 0o600)
			if text, err := os.ReadFile(other); err != nil || string(text) != "another's" {
				t.Errorf("what lay elsewhere is %q, %v", text, err)
			}
			mustHave(t, m, "/etc/other", files.RootUser, 0o644)
		})
	}
}

// TestNoKeyIsLeftUnderAnotherName cuts calls off while keys are written: what they leave goes with the next call,
// whatever that is about.
func TestNoKeyIsLeftUnderAnotherName(t *testing.T) {
	sample.LeaveToNewestMinor(t, "files are the same in each")
	m, _ := newMachine(t)
	ca := newAuthority(t)
	r := prepareOf("main")
	if err := m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), ca)); err != nil {
		t.Fatal(err)
	}
	other := r
	other.Keys = keysOf("ecdsa-p384")
	for n, cut := 0, true; cut; n++ {
		cut = cutAt(t, m, n, func() error { _, err := m.Prepare(t.Context(), "main", other); return err })
		if err := m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), ca)); err != nil { // as it was
			t.Fatal(err)
		}
		for at := range tree(t, m, api.TLSDir("main")) {
			if name := path.Base(at); strings.HasPrefix(name, ".") || strings.Contains(name, ".next") {
				t.Errorf("cut %d: %s is left", n, at)
			}
		}
	}
}
