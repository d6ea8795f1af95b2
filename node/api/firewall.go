package api

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// OpFirewall has the host let only those reach its member's ports who may, or let anybody again.
const OpFirewall Operation = "firewall" // FirewallRequest -> Done; wants the lock

// FirewallFile holds what the host filters by, as JSON, with the addresses that names had.
func FirewallFile(cluster string) string { return path.Join(ConfigDir(cluster), "firewall.json") }

// FirewallTable is the name of the cluster's table of nftables, of the family inet.
func FirewallTable(cluster string) string { return "etcd-" + cluster }

// FirewallUnit is the service that lays the table down before the member starts.
func FirewallUnit(cluster string) string { return "etcd-firewall@" + cluster + ".service" }

// Firewall says who may reach the ports of a host's member. The host itself always may. No other port is filtered.
type Firewall struct {
	ClientPort  int      `json:"client_port"`
	PeerPort    int      `json:"peer_port"`
	MetricsPort int      `json:"metrics_port,omitempty"` // 0: it is not filtered
	Clients     []string `json:"clients"`                // networks that may reach the client port, as CIDR
	Metrics     []string `json:"metrics,omitempty"`      // networks that may reach the metrics port, as CIDR
	// Peers are members' IP addresses and names, sorted. They may reach all three ports.
	Peers []string `json:"peers"`
}

// Check refuses what is no firewall of a member.
func (f Firewall) Check() error {
	for _, port := range []int{f.ClientPort, f.PeerPort} {
		if port < 1 || port > 65535 {
			return Refuse("%d is no port to filter", port)
		}
	}
	if f.MetricsPort < 0 || f.MetricsPort > 65535 {
		return Refuse("%d is no port to filter", f.MetricsPort)
	}
	for _, cidr := range slices.Concat(f.Clients, f.Metrics) {
		if err := CheckCIDR(cidr); err != nil {
			return Refuse("network %q: %s", cidr, err)
		}
	}
	for _, peer := range f.Peers {
		if peer == "" || strings.ContainsAny(peer, " \n/") {
			return Refuse("%q is no address of a member", peer)
		}
	}
	if len(f.Peers) == 0 {
		return Refuse("it is no firewall of a member that nobody may reach as a peer")
	}
	return nil
}

// CheckCIDR returns what is wrong with a network, or nil.
func CheckCIDR(text string) error {
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return errors.New("this is no network")
	case network != network.Masked():
		return fmt.Errorf("its address has bits beyond the prefix, which %s has not", network.Masked())
	case network.Addr().Is4In6():
		return errors.New("this is an IPv4 network in the notation of IPv6")
	}
	return nil
}

// FirewallRequest has the host filter so, or with a nil Firewall no longer.
type FirewallRequest struct {
	Owner    string    `json:"owner"` // must be the marker's
	Firewall *Firewall `json:"firewall"`
	// Known are the addresses at which other hosts let peers in that are names: they count where this host cannot
	// resolve a name, and has never known its addresses.
	Known map[string][]netip.Addr `json:"known,omitempty"`
}

// FirewallStatus is what a host knows about its firewall for a cluster.
type FirewallStatus struct {
	Firewall        // by which it filters
	Damaged  bool   `json:"damaged,omitempty"` // what it filters by cannot be read
	Differs  string `json:"differs,omitempty"` // how the kernel's table is not what follows from that; empty: it is
	Units    string `json:"units"`             // digest of its unit (systemd.Digest)
	Enabled  bool   `json:"enabled"`           // the unit runs before the member starts
	// Addresses are those at which it lets peers in that are names.
	Addresses map[string][]netip.Addr `json:"addresses,omitempty"`
	// NeedReload tells that the unit's file has changed since systemd read it.
	NeedReload bool `json:"need_reload,omitempty"`
}
