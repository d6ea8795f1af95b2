package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestNamesThatOthersKnow holds that a host which has never known a member's name lets that member in where other hosts
// do, as long as the name does not resolve: a member that is gone may have taken its name along.
func TestNamesThatOthersKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := filters("192.0.2.11", "b.example.com")
	known := map[string][]netip.Addr{"b.example.com": {netip.MustParseAddr("192.0.2.12")}}
	lets := func(want string) {
		t.Helper()
		var err error
		if w.do(func() {
			err = w.SetUp(context.Background(), "main", api.FirewallRequest{Owner: "us", Firewall: &f, Known: known})
		}); err != nil {
			t.Fatal(err)
		}
		w.run("nft", "flush", "ruleset")
		w.layDown()
		if status := w.status(); status.Differs != "" || fmt.Sprint(status.Addresses) != "map[b.example.com:["+want+"]]" {
			t.Errorf("it filters by %+v, and should let b in at %s", status, want)
		}
		if listed := w.run("nft", "list", "set", "inet", "etcd-main", "peers4"); !strings.Contains(listed, want) {
			t.Errorf("it lets in\n%s", listed)
		}
	}
	lets("192.0.2.12")
	w.names["b.example.com"] = []netip.Addr{netip.MustParseAddr("192.0.2.22")}
	lets("192.0.2.22")
	delete(w.names, "b.example.com")
	lets("192.0.2.22") // what it knew itself
}
