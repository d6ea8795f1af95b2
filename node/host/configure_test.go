package host

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
)

func TestConfigureWritesAllThatAMemberRunsBy(t *testing.T) {
	m, units := newMachine(t)
	c := configured(t, m, prepareOf("main"))
	readable := files.Owner{UID: 0, GID: etcdOwner.GID}
	for _, path := range []string{api.FlagsFile("main"), api.PeerCAFile("main"), api.ClientCAFile("main"), api.CertificateFile("main", api.KeyPeer)} {
		mustHave(t, m, path, readable, 0o640)
	}
	mustHave(t, m, api.UnitFile("main"), files.RootUser, 0o644)
	if flags, err := m.flags("main"); err != nil || !cmp.Equal(flags, c.Flags) {
		t.Errorf("the flags read back as %q, %v", flags, err)
	}
	if units.loaded[api.Unit("main")] != c.Unit || len(units.active)+len(units.enabled) > 0 {
		t.Errorf("systemd has read %q, runs %v, and starts %v at boot", units.loaded, units.active, units.enabled)
	}
	for name, held := range m.held() {
		if wantKey := !strings.HasSuffix(name, "-ca"); held.PEM == "" || held.Error != "" || held.HasKey != wantKey {
			t.Errorf("certificate %s reads %+v", name, held)
		}
	}
	for path, want := range map[string]string{
		api.SelectedStore("main"):                 storeA,
		"/usr/local/bin/etcdctl":                  api.SelectedStore("main") + "/etcdctl",
		api.StoreRoot + "/" + storeA + "/etcd":    "store",
		api.StoreRoot + "/" + storeA + "/etcdutl": "store",
		"/usr/local/bin/etcd":                     api.SelectedStore("main") + "/etcd",
	} {
		if got, err := os.Readlink(m.path(path)); err != nil || got != want {
			t.Errorf("%s points to %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestConfigureAgainChangesNothing(t *testing.T) {
	m, units := newMachine(t)
	c := configured(t, m, prepareOf("main"))
	before, inodeBefore, reloads := tree(t, m, "/"), inode(t, m.path(api.FlagsFile("main"))), units.reloads
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
		t.Errorf("the host has changed:\n%s", diff)
	}
	if inode(t, m.path(api.FlagsFile("main"))) != inodeBefore || units.reloads != reloads {
		t.Error("what was right was written, or read, anew")
	}
}

// TestConfigureReloadsAfterACutShortCall holds that a unit which was written, and that systemd was
// never told of, is told of by the next call.
func TestConfigureReloadsAfterACutShortCall(t *testing.T) {
	m, units := newMachine(t)
	r := prepareOf("main")
	c := configureOf(t, r, prepared(t, m, r), newAuthority(t))
	units.fail["Reload"] = errors.New("connection reset")
	if err := m.Configure(t.Context(), "main", c); err == nil {
		t.Fatal("it succeeded without systemd")
	}
	delete(units.fail, "Reload")
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	if units.loaded[api.Unit("main")] != c.Unit {
		t.Error("systemd has not read the unit")
	}
}

func TestConfigureKeepsWhatIsNotGiven(t *testing.T) {
	m, _ := newMachine(t)
	c := configured(t, m, prepareOf("main"))
	before := m.held()
	c.Certificates, c.PeerCA, c.ClientCA = nil, "", ""
	c.Flags = append(c.Flags, "--log-level=warn")
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, m.held()); diff != "" {
		t.Errorf("certificates have changed:\n%s", diff)
	}
	if flags, _ := m.flags("main"); !cmp.Equal(flags, c.Flags) {
		t.Errorf("the flags are %q", flags)
	}
}

func TestConfigureRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, c *api.ConfigureRequest)
		text  string
	}{
		"another owner":             {func(_ *testing.T, c *api.ConfigureRequest) { c.Marker.Owner = "another" }, "another Terraform object"},
		"another cluster":           {func(_ *testing.T, c *api.ConfigureRequest) { c.Marker.Cluster = "events" }, "events"},
		"another member":            {func(_ *testing.T, c *api.ConfigureRequest) { c.Marker.Member = "b" }, "member b"},
		"another data directory":    {func(_ *testing.T, c *api.ConfigureRequest) { c.Marker.DataDir = "/data" }, "/data"},
		"a store that is not there": {func(_ *testing.T, c *api.ConfigureRequest) { c.Store = storeB }, storeB},
		"a path for a store":        {func(_ *testing.T, c *api.ConfigureRequest) { c.Store = "../../../bin" }, "../../../bin"},
		"no unit":                   {func(_ *testing.T, c *api.ConfigureRequest) { c.Unit = "" }, "unit"},
		"a flag with a line break": {func(_ *testing.T, c *api.ConfigureRequest) {
			c.Flags = append(c.Flags, "--name=a\n--force-new-cluster=true")
		}, "--force-new-cluster"},
		"a comment for a flag":   {func(_ *testing.T, c *api.ConfigureRequest) { c.Flags = append(c.Flags, "# --name=a") }, "# --name=a"},
		"a flag without a value": {func(_ *testing.T, c *api.ConfigureRequest) { c.Flags = append(c.Flags, "--name") }, "--name"},
		"no data directory":      {func(_ *testing.T, c *api.ConfigureRequest) { c.Flags = c.Flags[1:] }, "--data-dir=/var/lib/etcd/main"},
		"a certificate of another key": {func(_ *testing.T, c *api.ConfigureRequest) {
			c.Certificates[api.KeyPeer] = c.Certificates[api.KeyServer]
		}, "another key"},
		"a key for a certificate": {func(_ *testing.T, c *api.ConfigureRequest) {
			c.Certificates[api.KeyPeer] = encode("PRIVATE KEY", []byte("key"))
		}, "PRIVATE KEY"},
		"a path for a key": {func(_ *testing.T, c *api.ConfigureRequest) { c.Certificates["../flags"] = c.PeerCA }, "../flags"},
		"an empty bundle":  {func(_ *testing.T, c *api.ConfigureRequest) { c.PeerCA = "none" }, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			r := prepareOf("main")
			c := configureOf(t, r, prepared(t, m, r), newAuthority(t))
			test.spoil(t, &c)
			before := tree(t, m, "/")
			mustRefuse(t, m.Configure(t.Context(), "main", c), test.text)
			if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
				t.Errorf("a refused call has changed the host:\n%s", diff)
			}
		})
	}
}

// TestConfigureOfABusyHostChangesNothing has another call hold what all clusters on the host share for longer than the
// request may wait: whoever reads "busy" takes it that the member runs by what it ran by.
func TestConfigureOfABusyHostChangesNothing(t *testing.T) {
	m, _ := newMachine(t)
	r := prepareOf("main")
	configured(t, m, r)
	ca := newAuthority(t)
	c := configureOf(t, r, prepared(t, m, r), ca)
	c.Flags, c.ClientCRL = append(c.Flags, "--log-level=warn"), ca.revoking(t)
	before := tree(t, m, "/")
	ended, end := context.WithCancel(t.Context())
	end()
	err := m.locks().Alone(t.Context(), locks.Shared, func() error { return m.Configure(ended, "main", c) })
	mustFail(t, err, api.CodeBusy)
	if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
		t.Errorf("a call that says that the host is busy has changed it:\n%s", diff)
	}
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{api.PeerCAFile("main"), api.ClientCAFile("main"), api.CertificateFile("main", api.KeyPeer), api.ClientCRLFile("main"), api.FlagsFile("main")} {
		if after := tree(t, m, path); after[path] == before[path] {
			t.Errorf("%s is not written once the host is free", path)
		}
	}
}

func TestConfigureWantsAPreparedHost(t *testing.T) {
	m, _ := newMachine(t)
	ca := newAuthority(t)
	c := configureOf(t, prepareOf("main"), api.Prepared{}, ca)
	mustRefuse(t, m.Configure(t.Context(), "main", c), "carries no cluster main")
}

// TestAFormedMemberStaysFormed holds that to configure a member anew does not undo that it has
// joined, by which the guard goes, unless its data is gone.
func TestAFormedMemberStaysFormed(t *testing.T) {
	m, _ := newMachine(t)
	r := prepareOf("main")
	c := configured(t, m, r)
	c.Marker.Phase, c.Marker.ClusterID = api.PhaseFormed, "cdf818194e3a8c32"
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	writeFile(t, m, "/var/lib/etcd/main/member/wal/0.wal", "")
	again := c
	again.Marker = r.Marker
	prepared(t, m, r)
	if err := m.Configure(t.Context(), "main", again); err != nil {
		t.Fatal(err)
	}
	if marker, err := m.records().Marker("main"); err != nil || marker.Phase != api.PhaseFormed || marker.ClusterID != c.Marker.ClusterID {
		t.Errorf("the marker is %+v, %v", marker, err)
	}

	if err := os.RemoveAll(m.path("/var/lib/etcd/main/member")); err != nil {
		t.Fatal(err)
	}
	prepared(t, m, r)
	if marker, err := m.records().Marker("main"); err != nil || marker.Phase != api.PhaseForming {
		t.Errorf("without its data the marker is %+v, %v", marker, err)
	}
}
