package renewal

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// TestSettings: only root can read the key by which signing servers know the host, drift of each file shows, and
// nothing is left once renewals are switched off, whichever step fails first.
func TestSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour, 8000*time.Hour)
	status := func() api.RenewalStatus {
		t.Helper()
		s := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main"))
		if s == nil {
			t.Fatal("it renews nothing")
		}
		return *s
	}
	good := status()
	if good.Peers != "1" || good.Clients != "1" || good.Damaged || !good.Enabled || good.Units == "" || good.Last != nil {
		t.Errorf("its status is %+v", good)
	}
	secretFile := w.Files.Path(api.RenewalFile("main"))
	if info := must[os.FileInfo](t)(os.Lstat(secretFile)); info.Mode() != 0o600 || files.OwnerOf(info) != files.RootUser {
		t.Errorf("%s is %s", secretFile, info.Mode())
	}
	for name, drift := range map[string]func() error{
		"mode":    func() error { return os.Chmod(secretFile, 0o644) },
		"owner":   func() error { return os.Chown(secretFile, 64123, 0) },
		"content": func() error { return os.WriteFile(secretFile, []byte("{"), 0o600) },
		"service": func() error {
			return os.WriteFile(w.Files.Path("/etc/systemd/system/etcd-renew@main.service"), []byte("[Service]\n"), 0o644)
		},
		"timer": func() error { return os.Remove(w.Files.Path("/etc/systemd/system/etcd-renew@main.timer")) },
		"not reread": func() error {
			w.units.stale["etcd-renew@main.service"] = true
			return nil
		},
		"disabled": func() error {
			delete(w.units.enabled, "etcd-renew@main.timer")
			return nil
		},
	} {
		if err := drift(); err != nil {
			t.Fatal(err)
		}
		if status() == good {
			t.Errorf("%s: nothing shows", name)
		}
		w.setUp(t)
		if status() != good {
			t.Errorf("%s: it is not put right: %+v", name, status())
		}
	}
	if err := w.run(t, false); err != nil {
		t.Fatal(err)
	}
	// A request that leaves out an authority leaves the host's settings for it as they are.
	other := *w.renewal.Peers
	other.Digest = "2"
	for _, c := range []struct {
		by             *api.Renewal
		of             api.RenewalPlaces
		peers, clients string
	}{
		{&api.Renewal{Peers: &other}, api.RenewalPlaces{Peers: true}, "2", "1"},
		{nil, api.RenewalPlaces{Clients: true}, "2", ""},
		{&api.Renewal{Clients: &other}, api.RenewalPlaces{Clients: true}, "2", "2"},
		{nil, api.RenewalPlaces{Peers: true}, "", "2"},
	} {
		if err := w.SetUp(t.Context(), "main", api.RenewOnHostRequest{Owner: "us", Renewal: c.by, Of: c.of}); err != nil {
			t.Fatal(err)
		}
		if s := status(); s.Peers != c.peers || s.Clients != c.clients || !s.Enabled {
			t.Errorf("told of %+v, it is %+v", c.of, s)
		}
	}
	if err := w.SetUp(t.Context(), "main", api.RenewOnHostRequest{Owner: "us", Of: api.RenewalPlaces{Clients: true}}); err != nil {
		t.Fatal(err)
	}
	if s := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main")); s != nil {
		t.Errorf("it renews by nobody: %+v", s)
	}
	// An earlier store has written one digest for both authorities, which matches neither. The host reports that it
	// renews by them, keeps them, and removes them if told to.
	for _, c := range []struct {
		by              *api.Renewal
		of              api.RenewalPlaces
		peers, clients  string
		kept, renewsNot bool
	}{
		{by: &api.Renewal{Peers: &other}, of: api.RenewalPlaces{Peers: true}, peers: "2", kept: true},
		{by: nil, of: api.RenewalPlaces{Peers: true}, kept: true},
		{by: &api.Renewal{Peers: &other, Clients: &other}, of: both, peers: "2", clients: "2"},
		{by: nil, of: both, renewsNot: true},
	} {
		w.setUp(t)
		text := strings.ReplaceAll(string(must[[]byte](t)(os.ReadFile(secretFile))), `"digest": "1"`, `"digest": ""`)
		if err := os.WriteFile(secretFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := status(); s.Peers == "" || s.Clients == "" || s.Peers == "1" || s.Damaged {
			t.Errorf("an earlier store's: %+v", s)
		}
		calls := w.signer.calls
		if err := w.SetUp(t.Context(), "main", api.RenewOnHostRequest{Owner: "us", Renewal: c.by, Of: c.of}); err != nil {
			t.Errorf("over an earlier store's, told of %+v: %v", c.of, err)
			continue
		}
		if tried := w.signer.calls > calls; c.by == nil && tried {
			t.Errorf("told of %+v, it tries what it keeps", c.of)
		}
		if c.renewsNot {
			if s := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main")); s != nil {
				t.Errorf("it renews by an earlier store's settings: %+v", s)
			}
			continue
		}
		if s := status(); s.Peers != c.peers || c.kept != (s.Clients != c.clients) || s.Damaged {
			t.Errorf("over an earlier store's, told of %+v, it is %+v", c.of, s)
		}
	}
	w.setUp(t)
	off := func() error {
		return w.SetUp(t.Context(), "main", api.RenewOnHostRequest{Owner: "us", Of: both})
	}
	for _, command := range []string{"stop", "disable", "reload"} {
		w.units.fails = command
		if err := off(); err == nil {
			t.Errorf("a %s that fails is no error", command)
		}
		if _, err := os.Lstat(secretFile); err != nil {
			t.Errorf("after a %s that fails nothing says that there is something to remove: %v", command, err)
		}
		w.units.fails = ""
		w.setUp(t)
	}
	if err := off(); err != nil {
		t.Fatal(err)
	}
	if s := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main")); s != nil || w.units.enabled["etcd-renew@main.timer"] {
		t.Errorf("it renews: %+v", s)
	}
	nothingIsLeft := func() {
		t.Helper()
		for _, file := range []string{api.RenewalFile("main"), api.RenewalRecordFile("main"), api.RenewalMetricsFile("main"), "/etc/systemd/system/etcd-renew@main.timer", "/etc/systemd/system/etcd-renew@main.service"} {
			if _, err := os.Lstat(w.Files.Path(file)); err == nil {
				t.Errorf("%s is left", file)
			}
		}
	}
	nothingIsLeft()
	w.setUp(t)
	w.meanwhile(func() {
		if err := off(); err != nil {
			t.Error(err)
		}
	})
	if err := w.run(t, true); err == nil || !strings.Contains(err.Error(), "the host was told otherwise") {
		t.Errorf("switched off in the middle of a run: %v", err)
	}
	nothingIsLeft()
	if err := w.run(t, true); err == nil || !strings.Contains(err.Error(), "renews no certificates") {
		t.Errorf("by hand: %v", err)
	}
}

// TestDamagedSettings: a host whose settings cannot be read does not forget what it did for an authority of which a
// request does not speak. Told of both, it goes by what it is told.
func TestDamagedSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour, 8000*time.Hour)
	file := w.Files.Path(api.RenewalFile("main"))
	for _, r := range []api.RenewOnHostRequest{
		{Renewal: &api.Renewal{Peers: w.renewal.Peers}, Of: api.RenewalPlaces{Peers: true}},
		{Renewal: &api.Renewal{Clients: w.renewal.Clients}, Of: api.RenewalPlaces{Clients: true}},
		{Of: api.RenewalPlaces{Peers: true}},
	} {
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.Owner = "us"
		err := w.SetUp(t.Context(), "main", r)
		if refused := (*api.Error)(nil); !errors.As(err, &refused) || refused.Code != api.CodeRefused || !strings.Contains(err.Error(), "apply once with the signers of both") {
			t.Errorf("told of %+v: %v", r.Of, err)
		}
		if text := must[[]byte](t)(os.ReadFile(file)); string(text) != "{" {
			t.Errorf("told of %+v, it goes by\n%s", r.Of, text)
		}
	}
	w.setUp(t)
	if s := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main")); s == nil || s.Damaged || s.Peers != "1" || s.Clients != "1" {
		t.Errorf("told of both, it is %+v", s)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.SetUp(t.Context(), "main", api.RenewOnHostRequest{Owner: "us", Of: both}); err != nil {
		t.Errorf("told to disable renewals: %v", err)
	}
	if s := must[*api.RenewalStatus](t)(w.Status(t.Context(), "main")); s != nil {
		t.Errorf("told to disable renewals, it is %+v", s)
	}
}

// TestRefusedSettings: settings that no run could use are refused before anything is written.
func TestRefusedSettings(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*api.RenewOnHostRequest){
		"another owner":        func(r *api.RenewOnHostRequest) { r.Owner = "them" },
		"no digest":            func(r *api.RenewOnHostRequest) { r.Renewal.Peers.Digest = "" },
		"of nobody":            func(r *api.RenewOnHostRequest) { r.Of = api.RenewalPlaces{} },
		"of others":            func(r *api.RenewOnHostRequest) { r.Of.Peers = false },
		"no server":            func(r *api.RenewOnHostRequest) { r.Renewal.Peers, r.Renewal.Clients = nil, nil },
		"no TLS":               func(r *api.RenewOnHostRequest) { r.Renewal.Peers.URL = "http://192.0.2.1" },
		"no authority":         func(r *api.RenewOnHostRequest) { r.Renewal.Peers.Authority = "" },
		"another key":          func(r *api.RenewOnHostRequest) { r.Renewal.Peers.Key = secret.New("ff" + authKey[2:]) },
		"no profile":           func(r *api.RenewOnHostRequest) { r.Renewal.Peers.Profiles = map[string]string{"peer": "client"} },
		"for too long":         func(r *api.RenewOnHostRequest) { r.Renewal.Validity = time.Hour },
		"no key":               func(r *api.RenewOnHostRequest) { r.Renewal.Peers.Key = secret.Text{} },
		"looked at too rarely": func(r *api.RenewOnHostRequest) { r.Renewal.Peers.Profiles = map[string]string{"peer": "short"} },
	} {
		w := newWorld(t, time.Hour, 8000*time.Hour)
		before := must[[]byte](t)(os.ReadFile(w.Files.Path(api.RenewalFile("main"))))
		place, renewal := *w.renewal.Peers, w.renewal
		renewal.Peers = &place
		request := api.RenewOnHostRequest{Owner: "us", Renewal: &renewal, Of: both}
		place.Digest = "2"
		edit(&request)
		if err := w.SetUp(t.Context(), "main", request); err == nil {
			t.Errorf("%s: it is not refused", name)
		}
		if after := must[[]byte](t)(os.ReadFile(w.Files.Path(api.RenewalFile("main")))); string(after) != string(before) {
			t.Errorf("%s: it was written", name)
		}
	}
}
