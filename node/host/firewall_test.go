package host

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// The first thread of a process is the one whose network /proc/net shows, and it outlasts the goroutine that it was
// locked to: main keeps it, so that no test moves it to another network.
func init() { runtime.LockOSThread() }

// ownNetwork moves the test to a network of its own, whose tables of nftables nobody else has. The thread ends with the
// test.
func ownNetwork(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("makes networks: run as root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// tables returns the names of the tables that the network of the test has.
func tables(t *testing.T) (names []string) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	found, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range found {
		names = append(names, table.Name)
	}
	return names
}

// TestFirewallOfAMember: a host reports how it filters, and what differs from that; it lays the table down anew as its
// unit does; and a retired host has neither table nor unit nor file left.
func TestFirewallOfAMember(t *testing.T) {
	m, _, r := formed(t)
	describe(t, m)
	others := leftovers(t, m)
	ownNetwork(t)
	filters := api.Firewall{ClientPort: 2379, PeerPort: 2380, Clients: []string{"10.0.1.0/24"}, Peers: []string{"192.0.2.11", "192.0.2.12"}}
	observe := func() api.Observation {
		t.Helper()
		o, err := m.Observe(t.Context(), "main", api.ObserveRequest{Firewall: true})
		if err != nil || o.NoNftables != "" {
			t.Fatalf("%q, %v", o.NoNftables, err)
		}
		return o
	}
	if has := observe().Firewall; has != nil {
		t.Errorf("before it was told: %+v", has)
	}
	if err := m.Firewalls().SetUp(t.Context(), "main", api.FirewallRequest{Owner: r.Marker.Owner, Firewall: &filters}); err != nil {
		t.Fatal(err)
	}
	if has := observe().Firewall; has == nil || has.Differs != "" || !has.Enabled || has.Units == "" || strings.Join(has.Peers, " ") != "192.0.2.11 192.0.2.12" {
		t.Errorf("once it was told: %+v", has)
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	conn.FlushRuleset()
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if has := observe().Firewall; has == nil || has.Differs != "its table etcd-main is gone" {
		t.Errorf("once somebody has flushed it: %+v", has)
	}
	if err := m.Firewalls().LayDown(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	if has := observe().Firewall; has == nil || has.Differs != "" {
		t.Errorf("once it was laid down anew: %+v", has)
	}
	if _, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: r.Marker.Owner}); err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(leftovers(t, m), func(path string) bool { return slices.Contains(others, path) && !strings.HasPrefix(path, "/etc/etcd") })
	if has := tables(t); len(left) > 0 || len(has) > 0 {
		t.Errorf("these are left: files %q, tables %q", left, has)
	}
}
