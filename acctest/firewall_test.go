package acctest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// client is the network of the lab itself, where writers and etcdctl run.
const client = "192.0.2.1"

// reach is which ports of a member's host somebody reaches.
type reach struct {
	from  string // a host of the lab; client: the lab itself
	to    string
	ports string // of 22, 2379 and 2380
}

// mustReach has everybody try SSH and the two ports of etcd, and wants exactly those open that are named.
func mustReach(t *testing.T, l *lab.Lab, when string, reaches ...reach) {
	t.Helper()
	var tries sync.WaitGroup
	for _, r := range reaches {
		for _, port := range []string{"22", "2379", "2380"} {
			tries.Go(func() {
				open := strings.Contains(" "+r.ports+" ", " "+port+" ")
				patience := "2" // in s: whoever is dropped gets no answer
				if open {
					patience = "30"
				}
				try := []string{"timeout", patience, "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%s", l.Host(r.to).Address(), port)}
				var err error
				if r.from == client {
					err = l.Command(t.Context(), try[0], try[1:]...).Run()
				} else {
					_, err = l.Host(r.from).Run(t.Context(), try...)
				}
				if (err == nil) != open {
					t.Errorf("%s: %s reaches port %s of %s: %t, and should: %t (%v)", when, r.from, port, r.to, err == nil, open, err)
				}
			})
		}
	}
	tries.Wait()
}

// hasTable tells whether the kernel of a host has the table of the cluster.
func hasTable(t *testing.T, h *lab.Host) bool {
	t.Helper()
	return strings.Contains(inHost(t, h, "nft", "list", "tables"), "table inet etcd-prod\n")
}

// awaitTable waits until a host has laid the table down by itself.
func awaitTable(t *testing.T, h *lab.Host, after string) {
	t.Helper()
	for range 150 {
		if hasTable(t, h) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("%s has no table after %s", h.Config.Name, after)
}

// TestFirewallOnBootedHosts has hosts filter, with a writer on the cluster: exactly those reach the ports who may, from
// the create on, once a member was replaced, after a reboot with another firewall that begins by flushing all, and
// after a reload of that one. Tables that were flushed show, and an apply mends them. A host that has left, and all
// hosts after a destroy, have no table any more, but that of somebody else.
func TestFirewallOnBootedHosts(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d")})
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	filtered := fmt.Sprintf("firewall = { client_cidrs = [%q] }", client+"/32")
	v := loadedBesideOthers(t, l, setup{at: on("a", "b", "c"), cluster: filtered})
	const all, etcdClient, ssh = "22 2379 2380", "22 2379", "22"
	mustReach(t, l, "after the create",
		reach{"a", "b", all}, reach{"b", "c", all}, reach{"c", "a", all}, reach{"c", "c", all}, reach{client, "a", etcdClient}, reach{client, "c", etcdClient}, reach{"d", "a", ssh}, reach{"d", "c", ssh})

	inHost(t, a, "nft", "flush", "ruleset")
	inHost(t, b, "systemctl", "enable", "--now", "nftables") // whose first start flushes all, and asks nobody
	mustReach(t, l, "flushed", reach{"d", "a", all}, reach{"d", "b", all}, reach{"d", "c", ssh})
	v.repair("tables flushed")
	for _, name := range []string{"a", "b"} {
		if shown := v.memberBefore(name); !strings.Contains(shown, "its table etcd-prod is gone") {
			t.Errorf("the plan showed of %s: %s", name, shown)
		}
	}
	v.mustRollOut("firewall: clients " + client + "/32, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, on a, b; nothing else is filtered")
	mustReach(t, l, "mended", reach{"d", "a", ssh}, reach{"d", "b", ssh}, reach{"a", "b", all}, reach{client, "b", etcdClient})
	for _, does := range []string{"reload", "restart"} {
		inHost(t, b, "nft", "delete", "table", "inet", "etcd-prod")
		inHost(t, b, "systemctl", does, "nftables")
		awaitTable(t, b, does)
	}
	v.mustBeSettled()

	inHost(t, a, "nft", "add", "table", "inet", "other")
	inHost(t, c, "nft", "add", "table", "inet", "other")
	v.change("replaced", setup{at: on("a", "b", "c@d"), cluster: filtered})
	mustBeBare(t, c)
	mustReach(t, l, "replaced",
		reach{"d", "a", all}, reach{"a", "d", all}, reach{"b", "d", all}, reach{client, "d", etcdClient}, reach{"c", "a", ssh}, reach{"c", "b", ssh}, reach{"c", "d", ssh})

	v.check(besideOthers)

	if err := b.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitTable(t, b, "a reboot")
	var began []int
	for _, unit := range []string{"nftables", "etcd-firewall@prod", "etcd@prod"} {
		at, err := strconv.Atoi(strings.TrimSpace(inHost(t, b, "systemctl", "show", "--value", "--property=ExecMainStartTimestampMonotonic", unit)))
		if err != nil {
			t.Fatal(err)
		}
		began = append(began, at)
	}
	if began[0] == 0 || !slices.IsSorted(began) {
		t.Errorf("the boot began nftables, the firewall and the member at %v", began)
	}
	v.client().await(v.endpoints(), "get", "key")
	v.mustBeSettled()
	mustReach(t, l, "rebooted", reach{"a", "b", all}, reach{client, "b", etcdClient}, reach{"c", "b", ssh})

	v.destroy()
	for _, h := range l.Hosts {
		mustBeBare(t, h)
		if units := inHost(t, h, "sh", "-c", "systemctl list-unit-files --no-legend 'etcd-firewall@*' || true"); hasTable(t, h) || strings.TrimSpace(units) != "" {
			t.Errorf("%s has a firewall still: %s", h.Config.Name, units)
		}
	}
	for _, h := range []*lab.Host{a, c} {
		if tables := inHost(t, h, "nft", "list", "tables"); !strings.Contains(tables, "table inet other\n") {
			t.Errorf("the table of somebody else is gone from %s, which has %q", h.Config.Name, tables)
		}
	}
}
