package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/unitfiles"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// fakeUnits is a systemd that does what it is told.
type fakeUnits struct{ enabled, changed map[string]bool }

func (u *fakeUnits) State(_ context.Context, unit string) (api.UnitState, error) {
	state := api.UnitState{LoadState: "loaded", ActiveState: "inactive", FileState: "disabled", NeedReload: u.changed[unit]}
	if u.enabled[unit] {
		state.ActiveState, state.FileState = "active", "enabled"
	}
	return state, nil
}

func (u *fakeUnits) Reload(context.Context) error {
	clear(u.changed)
	return nil
}

func (u *fakeUnits) Start(_ context.Context, unit string) error {
	u.enabled[unit] = true
	return nil
}

func (u *fakeUnits) Stop(context.Context, string) error { return nil }

func (u *fakeUnits) Disable(_ context.Context, unit string) error {
	delete(u.enabled, unit)
	return nil
}

// world is a host in a network of its own, whose member belongs to a cluster main, and what names resolve to there.
type world struct {
	namespace
	Host
	names     map[string][]netip.Addr
	meanwhile func() // happens while the host waits
}

func newWorld(t *testing.T, clusters ...string) *world {
	t.Helper()
	w := &world{namespace: newNamespace(t), names: map[string][]netip.Addr{}, meanwhile: func() {}}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree := files.Tree{Root: root}
	etcd := files.Owner{UID: 64123, GID: 64124}
	w.Host = Host{Files: tree, Records: records.Records{Files: tree, SystemUser: func() (files.Owner, error) { return etcd, nil }}, Locks: locks.Host{Files: tree}, Units: &fakeUnits{map[string]bool{}, map[string]bool{}}}
	w.Resolve = func(_ context.Context, name string) ([]netip.Addr, error) {
		if w.names[name] == nil {
			return nil, errors.New("no such host")
		}
		return slices.Clone(w.names[name]), nil
	}
	w.Pause = func(context.Context, time.Duration) error { w.meanwhile(); return nil }
	if err := os.MkdirAll(tree.Path(unitfiles.Dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, cluster := range append(clusters, "main") {
		if err := os.MkdirAll(tree.Path(api.ConfigDir(cluster)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := w.Records.PutMarker(api.Marker{Cluster: cluster, Owner: "us", Member: "a", Phase: api.PhaseFormed, DataDir: "/var/lib/etcd/" + cluster}, etcd); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// filters is a firewall as a cluster has it whose members are these.
func filters(members ...string) api.Firewall {
	return api.Firewall{ClientPort: 2379, PeerPort: 2380, Clients: []string{"10.0.1.0/24", "fd00:1::/64"}, Peers: members}
}

func (w *world) setUp(f *api.Firewall) (err error) {
	w.do(func() { err = w.SetUp(context.Background(), "main", api.FirewallRequest{Owner: "us", Firewall: f}) })
	return err
}

func (w *world) mustSetUp(f api.Firewall) {
	w.t.Helper()
	if err := w.setUp(&f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) layDown() {
	w.t.Helper()
	var err error
	if w.do(func() { err = w.LayDown(context.Background(), "main") }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) status() *api.FirewallStatus {
	w.t.Helper()
	var status *api.FirewallStatus
	var err error
	if w.do(func() { status, err = w.Status(context.Background(), "main") }); err != nil {
		w.t.Fatal(err)
	}
	return status
}

// TestWhoReaches holds that exactly those reach the ports of a member who may, from the first packet after the call, of
// both families, and that no other port is filtered.
func TestWhoReaches(t *testing.T) {
	t.Parallel()
	w, others := newWorld(t), newNamespace(t)
	link(w.namespace, others, []string{"10.0.0.1/16", "fd00::1/16"}, []string{"10.0.0.2/16", "10.0.0.3/16", "10.0.1.7/16", "10.0.2.7/16", "fd00::2/16", "fd00::3/16", "fd00:1::7/16", "fd00:2::7/16"})
	ports := []string{"22", "2379", "2380", "2381"}
	w.do(func() {
		for _, port := range ports {
			for _, on := range []string{"0.0.0.0", "::"} {
				config := net.ListenConfig{}
				l, err := config.Listen(context.Background(), map[bool]string{true: "tcp4", false: "tcp6"}[on == "0.0.0.0"], net.JoinHostPort(on, port))
				if err != nil {
					t.Error(err)
					continue
				}
				t.Cleanup(func() { _ = l.Close() })
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						_ = c.Close()
					}
				}()
			}
		}
	})
	const client, member, removed, outside = "10.0.1.7", "10.0.0.2", "10.0.0.3", "10.0.2.7"
	const client6, member6, removed6, outside6 = "fd00:1::7", "fd00::2", "fd00::3", "fd00:2::7"
	all := []string{"22", "2379", "2380", "2381"}
	scan := func(what string, want map[string][]string) {
		t.Helper()
		var mu sync.Mutex
		var wait sync.WaitGroup
		for from, open := range want {
			for _, port := range ports {
				wait.Go(func() {
					to, in := "10.0.0.1", others
					if strings.Contains(from, ":") {
						to = "fd00::1"
					}
					if from == "10.0.0.1" || from == "fd00::1" || from == "127.0.0.1" || from == "::1" {
						to, in = from, w.namespace
					}
					var err error
					in.do(func() {
						dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 4 * time.Second}
						var c net.Conn
						if c, err = dialer.Dial("tcp", net.JoinHostPort(to, port)); err == nil {
							_ = c.Close()
						}
					})
					mu.Lock()
					defer mu.Unlock()
					if is := slices.Contains(open, port); is != (err == nil) {
						t.Errorf("%s: port %s from %s: open %t, and should be %t: %v", what, port, from, err == nil, is, err)
					}
				})
			}
		}
		wait.Wait()
	}
	scan("before", map[string][]string{client: all, member: all, removed: all, outside: all, outside6: all, "127.0.0.1": all, "::1": all})
	w.mustSetUp(filters("10.0.0.1", member, removed, "fd00::1", member6, removed6))
	scan("with three members", map[string][]string{
		client: {"22", "2379", "2381"}, member: all, removed: all, outside: {"22", "2381"}, "10.0.0.1": all, "127.0.0.1": all,
		client6: {"22", "2379", "2381"}, member6: all, removed6: all, outside6: {"22", "2381"}, "fd00::1": all, "::1": all,
	})
	f := filters("10.0.0.1", member, "fd00::1", member6)
	f.MetricsPort, f.Metrics = 2381, []string{"10.0.2.0/24"}
	w.mustSetUp(f)
	scan("once one was removed", map[string][]string{
		client: {"22", "2379"}, member: all, removed: {"22"}, outside: {"22", "2381"}, "10.0.0.1": all, "127.0.0.1": all,
		client6: {"22", "2379"}, member6: all, removed6: {"22"}, outside6: {"22"}, "fd00::1": all, "::1": all,
	})
	if err := w.setUp(nil); err != nil {
		t.Fatal(err)
	}
	scan("without", map[string][]string{client: all, removed: all, outside: all, outside6: all})
}

// TestATableThatSomebodyChanged holds that whatever is changed in the table shows as that, and is mended by the unit;
// and that nothing shows where nothing was changed.
func TestATableThatSomebodyChanged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		nft  []string
		want string
	}{
		"nothing":             {nil, ""},
		"all was flushed":     {[]string{"flush", "ruleset"}, "its table etcd-main is gone"},
		"its rules":           {[]string{"flush", "table", "inet", "etcd-main"}, `its table etcd-main lacks rule "iifname \"lo\" accept", rule "ip saddr != @clients4 tcp dport 2379 counter drop"`},
		"a host let in":       {[]string{"add", "element", "inet", "etcd-main", "peers4", "{ 192.0.2.66 }"}, "its table etcd-main has peers4 192.0.2.66 besides"},
		"a member shut out":   {[]string{"delete", "element", "inet", "etcd-main", "peers4", "{ 192.0.2.13 }"}, "its table etcd-main lacks peers4 192.0.2.13"},
		"all let in before":   {[]string{"insert", "rule", "inet", "etcd-main", "input", "accept"}, `its table etcd-main has rule "(not the provider's)" besides`},
		"loopback once more":  {[]string{"insert", "rule", "inet", "etcd-main", "input", "iifname", "lo", "accept"}, `its table etcd-main has rule "iifname \"lo\" accept" besides`},
		"it sleeps":           {[]string{"add", "table", "inet", "etcd-main", "{ flags dormant; }"}, `has rule "(not the provider's)" besides`},
		"another chain of it": {[]string{"add", "chain", "inet", "etcd-main", "other", "{ type filter hook output priority 0; policy drop; }"}, `has rule "(not the provider's)" besides`},
		"all dropped":         {[]string{"add", "chain", "inet", "etcd-main", "input", "{ policy drop; }"}, `has rule "(not the provider's)" besides`},
		"another set of it":   {[]string{"add", "set", "inet", "etcd-main", "more", "{ type ipv4_addr; }"}, "its table etcd-main has set more besides"},
		"another table":       {[]string{"add", "table", "inet", "etcd-events"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			f := filters("192.0.2.11", "192.0.2.13", "2001:db8::11")
			f.Clients = append(f.Clients, "10.0.0.0/16", "10.1.0.0/16", "0.0.0.0/0", "::/0")
			f.MetricsPort = 2381
			w.mustSetUp(f)
			w.run("nft", "add", "table", "ip", "filter")
			if len(test.nft) > 0 {
				w.run("nft", test.nft...)
			}
			if got := w.status().Differs; got != test.want && (test.want == "" || !strings.Contains(got, test.want)) {
				t.Errorf("it shows %q, and should %q\n%s", got, test.want, w.run("nft", "list", "ruleset"))
			}
			w.layDown()
			if status := w.status(); status.Differs != "" {
				t.Errorf("once it was laid down again, there is %q", status.Differs)
			}
		})
	}
}

// TestNftReadsIt holds what an operator sees.
func TestNftReadsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustSetUp(filters("192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.15", "2001:db8::11"))
	listed := w.run("nft", "list", "table", "inet", "etcd-main")
	for _, want := range []string{
		"type filter hook input priority filter - 10; policy accept;", `iifname "lo" accept`, "elements = { 192.0.2.11-192.0.2.13, 192.0.2.15 }",
		"elements = { 10.0.1.0/24, 192.0.2.11-192.0.2.13,", "tcp dport 2380 ip saddr != @peers4 counter packets 0 bytes 0 drop", "tcp dport 2380 ip6 saddr != @peers6 counter packets 0 bytes 0 drop",
	} {
		if !strings.Contains(listed, want) {
			t.Errorf("it has no %q:\n%s", want, listed)
		}
	}
}

// TestNamesOfMembers holds that members known by names are let in at the addresses that the names have on this host: a
// change shows, and is followed by the next start, which shuts nobody out, and by the next call; a resolver that is
// away changes nothing.
func TestNamesOfMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := filters("192.0.2.11", "b.example.com")
	if err := w.setUp(&f); err == nil || !strings.Contains(err.Error(), "member b.example.com") || w.status() != nil {
		t.Errorf("a name that nobody knows: %v, and the host filters by %+v", err, w.status())
	}
	w.names["b.example.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.12"), netip.MustParseAddr("2001:db8::12")}
	w.mustSetUp(f)
	shows := func(want string) {
		t.Helper()
		if got := w.status().Differs; got != want {
			t.Errorf("it shows %q, and should %q", got, want)
		}
	}
	shows("")
	w.names["b.example.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.22")}
	shows("it lets member b.example.com in at 192.0.2.12 and 2001:db8::12, whose name resolves to 192.0.2.22 on this host")
	w.layDown()
	shows("it lets member b.example.com in at 192.0.2.12 and 192.0.2.22 and 2001:db8::12, whose name resolves to 192.0.2.22 on this host")
	if listed := w.run("nft", "list", "set", "inet", "etcd-main", "peers4"); !strings.Contains(listed, "192.0.2.22") || !strings.Contains(listed, "192.0.2.11-192.0.2.12") {
		t.Errorf("after a start it lets in\n%s", listed)
	}
	w.mustSetUp(f)
	shows("")
	if listed := w.run("nft", "list", "set", "inet", "etcd-main", "peers4"); !strings.Contains(listed, "192.0.2.22") || strings.Contains(listed, "192.0.2.12") {
		t.Errorf("after an apply it lets in\n%s", listed)
	}
	delete(w.names, "b.example.com")
	shows("")
	w.run("nft", "flush", "ruleset")
	w.layDown()
	shows("")
	if listed := w.run("nft", "list", "set", "inet", "etcd-main", "peers4"); !strings.Contains(listed, "192.0.2.22") {
		t.Errorf("without a resolver it lets in\n%s", listed)
	}
}

// TestTwoClustersOnAHost holds that neither knows of the other, nor of anybody else's tables.
func TestTwoClustersOnAHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "events")
	w.run("nft", "add", "table", "inet", "firewalld")
	before := w.run("nft", "list", "ruleset")
	w.mustSetUp(filters("192.0.2.11"))
	events := filters("192.0.2.11")
	events.ClientPort, events.PeerPort = 3379, 3380
	call := func(f *api.Firewall) {
		t.Helper()
		var err error
		w.do(func() { err = w.SetUp(context.Background(), "events", api.FirewallRequest{Owner: "us", Firewall: f}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	call(&events)
	if status := w.status(); status.Differs != "" || status.ClientPort != 2379 || !status.Enabled {
		t.Errorf("cluster main filters by %+v", status)
	}
	call(nil)
	if status := w.status(); status.Differs != "" {
		t.Errorf("without cluster events, main has %q", status.Differs)
	}
	for range 2 { // the second finds nothing to remove
		if err := w.setUp(nil); err != nil {
			t.Fatal(err)
		}
	}
	if after := w.run("nft", "list", "ruleset"); after != before {
		t.Errorf("it leaves\n%s\nand there was\n%s", after, before)
	}
	for _, file := range []string{api.FirewallFile("main"), filepath.Join(unitfiles.Dir, api.FirewallUnit("main"))} {
		if _, err := os.Lstat(w.Files.Path(file)); err == nil {
			t.Errorf("%s is left", file)
		}
	}
	if status := w.status(); status != nil {
		t.Errorf("it still filters by %+v", status)
	}
}

// TestFirewallRefuses holds that nothing is laid down of what is no firewall, or somebody else's.
func TestFirewallRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, spoil := range map[string]func(*api.FirewallRequest){
		"another owner":       func(r *api.FirewallRequest) { r.Owner = "them" },
		"no port":             func(r *api.FirewallRequest) { r.Firewall.PeerPort = 0 },
		"no network":          func(r *api.FirewallRequest) { r.Firewall.Clients = []string{"10.0.0.1"} },
		"a host in a network": func(r *api.FirewallRequest) { r.Firewall.Clients = []string{"10.0.0.1/24"} },
		"nobody":              func(r *api.FirewallRequest) { r.Firewall.Peers = nil },
		"a line in a name":    func(r *api.FirewallRequest) { r.Firewall.Peers = []string{"a\nb"} },
	} {
		f := filters("192.0.2.11")
		request := api.FirewallRequest{Owner: "us", Firewall: &f}
		spoil(&request)
		var err error
		w.do(func() { err = w.SetUp(context.Background(), "main", request) })
		if err == nil || w.status() != nil {
			t.Errorf("%s: %v, and the host filters by %+v", name, err, w.status())
		}
	}
}

// TestFirewallFilesOfOthers holds that a file and a unit that somebody has changed show.
func TestFirewallFilesOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustSetUp(filters("192.0.2.11"))
	text, err := UnitText("main")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.status().Units, systemd.Digest(map[string]string{api.FirewallUnit("main"): text}); got != want {
		t.Errorf("its unit has digest %s, and should have %s", got, want)
	}
	if err := os.WriteFile(w.Files.Path(filepath.Join(unitfiles.Dir, api.FirewallUnit("main"))), []byte("[Unit]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, not := w.status().Units, systemd.Digest(map[string]string{api.FirewallUnit("main"): text}); got == not {
		t.Error("another unit does not show")
	}
	w.Units.(*fakeUnits).changed[api.FirewallUnit("main")] = true
	if status := w.status(); !status.NeedReload {
		t.Errorf("a unit that systemd has not read shows as %+v", status)
	}
	for _, text := range []string{"{", "{}", `{"client_port": 2379}`} {
		if err := os.WriteFile(w.Files.Path(api.FirewallFile("main")), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if status := w.status(); !status.Damaged {
			t.Errorf("file %q shows as %+v", text, status)
		}
	}
	w.mustSetUp(filters("192.0.2.11"))
	if status := w.status(); status.Damaged || status.Differs != "" || status.NeedReload {
		t.Errorf("a call over it leaves %+v", status)
	}
}

// TestAHostThatCannotFilter holds that a host whose kernel lets nobody filter says so, and is left as it was.
func TestAHostThatCannotFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := filters("192.0.2.11")
	var err error
	unusable := ""
	w.do(func() {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var has [2]unix.CapUserData
		if err = unix.Capget(&header, &has[0]); err != nil {
			return
		}
		has[0].Effective &^= 1 << unix.CAP_NET_ADMIN // of this thread, which ends with this
		if err = unix.Capset(&header, &has[0]); err != nil {
			return
		}
		unusable = w.Unusable()
		err = w.SetUp(context.Background(), "main", api.FirewallRequest{Owner: "us", Firewall: &f})
	})
	for _, says := range []string{unusable, fmt.Sprint(err)} {
		if !strings.Contains(says, "nftables cannot be used on this host: the kernel does not permit it (CAP_NET_ADMIN is missing") {
			t.Errorf("it says %q", says)
		}
	}
	if w.status() != nil {
		t.Errorf("it filters by %+v", w.status())
	}
	w.do(func() { unusable = w.Unusable() })
	if unusable != "" {
		t.Errorf("with that capability it cannot either: %s", unusable)
	}
}
