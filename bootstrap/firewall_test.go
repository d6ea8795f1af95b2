package bootstrap

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestAddressesOf: a new host is told at which addresses the others let peers in that are names, of the peers alone.
func TestAddressesOf(t *testing.T) {
	at := func(texts ...string) (addresses []netip.Addr) {
		for _, text := range texts {
			addresses = append(addresses, netip.MustParseAddr(text))
		}
		return addresses
	}
	lets := func(addresses map[string][]netip.Addr) Report {
		return Report{Observation: &api.Observation{Firewall: &api.FirewallStatus{Addresses: addresses}}}
	}
	reports := Reports{
		{Name: "a"}:                  lets(map[string][]netip.Addr{"d.example.com": at("192.0.2.14"), "gone.example.com": at("192.0.2.9")}),
		{Name: "b"}:                  lets(map[string][]netip.Addr{"d.example.com": at("192.0.2.14", "192.0.2.4")}),
		{Name: "c"}:                  {Observation: &api.Observation{}},
		membership.Member{Name: "d"}: {},
	}
	if got, want := fmt.Sprint(reports.AddressesOf([]string{"192.0.2.11", "d.example.com", "e.example.com"})), "map[d.example.com:[192.0.2.4 192.0.2.14]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
