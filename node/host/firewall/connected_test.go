package firewall

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestAFirewallWithoutItsFile holds that a firewall shows whose file somebody has removed, and that it can be removed.
func TestAFirewallWithoutItsFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustSetUp(filters("192.0.2.11"))
	if err := os.Remove(w.Files.Path(api.FirewallFile("main"))); err != nil {
		t.Fatal(err)
	}
	if status := w.status(); status == nil || !status.Damaged {
		t.Errorf("it shows as %+v", status)
	}
	if err := w.setUp(nil); err != nil {
		t.Fatal(err)
	}
	if status, left := w.status(), w.run("nft", "list", "ruleset"); status != nil || left != "" {
		t.Errorf("it shows as %+v, and this is left:\n%s", status, left)
	}
}

// TestAPeerWhosePacketsLeaveByAnotherAddress holds that the first firewall of a host is refused which would shut out
// somebody who is connected to the peer port. From then on, whoever is connected was let in, and may be shut out.
func TestAPeerWhosePacketsLeaveByAnotherAddress(t *testing.T) {
	t.Parallel()
	w, others := newWorld(t), newNamespace(t)
	link(w.namespace, others, []string{"10.0.0.1/16", "fd00::1/16"}, []string{"10.0.0.2/16", "10.0.0.3/16", "fd00::3/16"})
	w.do(func() {
		for _, on := range []string{"10.0.0.1:2379", "10.0.0.1:2380", "[fd00::1]:2380"} {
			l, err := net.Listen("tcp", on)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = l.Close() })
		}
	})
	connect := func(in namespace, from, to string) {
		t.Helper()
		in.do(func() {
			c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", to)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		})
	}
	connect(others, "10.0.0.2", "10.0.0.1:2380")
	connect(others, "10.0.0.3", "10.0.0.1:2379")
	connect(others, "10.0.0.3", "10.0.0.1:2380")
	connect(others, "fd00::3", "[fd00::1]:2380")
	connect(w.namespace, "10.0.0.1", "10.0.0.1:2380")
	w.do(func() { // as the kernel shows it in this network
		for _, table := range []string{"tcp", "tcp6"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + table)
			if err == nil {
				err = os.MkdirAll(w.Files.Path("/proc/net"), 0o755)
			}
			if err == nil {
				err = os.WriteFile(w.Files.Path("/proc/net/"+table), text, 0o600)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	for _, step := range []struct {
		peers   []string
		refused string // whom it would shut out
	}{
		{[]string{"10.0.0.1", "10.0.0.2"}, "10.0.0.3"},
		{[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, "fd00::3"},
		{[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::3"}, ""},
		{[]string{"10.0.0.1", "10.0.0.2"}, ""},
	} {
		f := filters(step.peers...)
		err := w.setUp(&f)
		if refused := step.refused + " is connected to peer port 2380 of this host, and is the address of no member"; (err != nil) != (step.refused != "") || err != nil && !strings.HasPrefix(err.Error(), refused) {
			t.Errorf("with peers %s: %v", step.peers, err)
		}
		if status := w.status(); (status == nil) != (step.refused != "") {
			t.Errorf("with peers %s the host filters by %+v", step.peers, status)
		}
	}
}

// TestAPeerThatConnectsAnew holds that somebody counts as connected who is between two connections when the host looks.
func TestAPeerThatConnectsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.meanwhile = func() { // 10.0.0.3 is connected to port 2380 of 10.0.0.1
		const table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
			"   0: 0100000A:094C 0300000A:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 20 4 30 10 -1\n"
		if err := errors.Join(os.MkdirAll(w.Files.Path("/proc/net"), 0o755), os.WriteFile(w.Files.Path("/proc/net/tcp"), []byte(table), 0o600)); err != nil {
			t.Error(err)
		}
	}
	f := filters("10.0.0.1", "10.0.0.2")
	if err := w.setUp(&f); err == nil || !strings.HasPrefix(err.Error(), "10.0.0.3 is connected to peer port 2380") || w.status() != nil {
		t.Errorf("%v, and the host filters by %+v", err, w.status())
	}
}

// TestANameThatWentBeforeItsMember holds that the name of a dead member, once nobody knows it any more, keeps no
// newcomer out: the host goes on with the addresses that it knows. A name that it never knew is an error.
func TestANameThatWentBeforeItsMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := filters("192.0.2.11", "b.example.com")
	w.names["b.example.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.22")}
	w.mustSetUp(f)
	delete(w.names, "b.example.com")
	f.Peers = append(f.Peers, "c.example.com")
	if err := w.setUp(&f); err == nil || !strings.Contains(err.Error(), "member c.example.com") || strings.Contains(err.Error(), "b.example.com") {
		t.Errorf("a newcomer whose name nobody knows: %v", err)
	}
	w.names["c.example.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.33")}
	w.mustSetUp(f)
	if listed := w.run("nft", "list", "set", "inet", "etcd-main", "peers4"); !strings.Contains(listed, "192.0.2.22") || !strings.Contains(listed, "192.0.2.33") {
		t.Errorf("it lets in\n%s", listed)
	}
	if differs := w.status().Differs; differs != "" {
		t.Errorf("it shows %q", differs)
	}
}
