package bootstrap

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Firewall is who may reach the members besides each other and their own hosts.
type Firewall struct {
	Clients []string // networks that may reach the client port, as CIDR, sorted
}

// Filtered returns the cluster whose hosts filter so; nil: not at all.
func (c Cluster) Filtered(by *Firewall) Cluster {
	c.Filters, c.Spec.Firewall = by, ""
	if by != nil {
		c.Spec.Firewall = "clients " + orNobody(by.Clients)
	}
	return c
}

func orNobody(networks []string) string {
	if len(networks) == 0 {
		return "nobody"
	}
	return strings.Join(networks, " ")
}

// FirewallFor returns how a host filters who reaches its member, where these addresses are its peers; nil: not at all.
func (c Cluster) FirewallFor(peers []string) *api.Firewall {
	if c.Filters == nil {
		return nil
	}
	return &api.Firewall{ClientPort: c.ClientPort, PeerPort: c.PeerPort, Clients: c.Filters.Clients, Peers: peers}
}

// peers returns the addresses of the desired members, as Peers has those of a cluster that runs.
func (c Cluster) peers() []string { return slices.Compact(slices.Sorted(slices.Values(c.Addresses()))) }

// unfiltered returns how a host filters otherwise than desired, apart from the peers that it lets in, or "".
func (c Cluster) unfiltered(o *api.Observation) string {
	has := o.Firewall
	switch {
	case c.Filters == nil && has == nil:
		return ""
	case c.Filters == nil:
		return "it has a firewall, which the configuration does not ask for"
	case has == nil:
		return "it has no firewall yet"
	case has.Damaged:
		return "what its firewall goes by cannot be read"
	case has.Differs != "":
		return has.Differs
	}
	want := c.FirewallFor(has.Peers)
	switch {
	case has.ClientPort != want.ClientPort || has.PeerPort != want.PeerPort || has.MetricsPort != want.MetricsPort:
		return "its firewall is for other ports"
	case !slices.Equal(has.Clients, want.Clients) || !slices.Equal(has.Metrics, want.Metrics):
		return fmt.Sprintf("its firewall lets in clients %s", orNobody(has.Clients))
	case !has.Enabled:
		return "its firewall is not laid down before the member starts: its unit is disabled, or has failed"
	case has.Units != c.firewallUnits() && c.versionOf(o.Store.Selected) != "": // another store writes its own
		return "the unit of its firewall is not as this version of the provider writes it"
	}
	return ""
}

// filtersAsDesired tells whether a host filters as desired, and lets in the desired members as peers.
func (c Cluster) filtersAsDesired(o *api.Observation) bool {
	return c.unfiltered(o) == "" && (c.Filters == nil || admitted(o) == strings.Join(c.peers(), ", "))
}

// unfilterable returns why a host cannot filter as desired, or "".
func (c Cluster) unfilterable(report Report) string {
	if o := report.Observation; c.Filters != nil && o != nil && o.NoNftables != "" {
		return o.NoNftables + ": " + membership.FilterRemedy
	}
	return ""
}

// firewallUnits returns the digest of the unit by which a host lays down its firewall.
func (c Cluster) firewallUnits() string {
	text, err := systemd.RenderFirewall(systemd.FirewallOptions{Cluster: c.Name, Store: api.SelectedStore(c.Name), ConfigDir: api.ConfigDir(c.Name), RunDir: api.RunDir})
	if err != nil {
		return "" // the host refuses it
	}
	return systemd.Digest(map[string]string{api.FirewallUnit(c.Name): text})
}

// admitted returns the peers that a host lets in, as MemberStatus has them.
func admitted(o *api.Observation) string {
	if o.Firewall == nil {
		return ""
	}
	return strings.Join(o.Firewall.Peers, ", ")
}

// filters notes how a member's host filters. A host of somebody else is not asked.
func (c Cluster) filters(s *membership.MemberStatus, report Report, owner string) {
	o := report.Observation
	if o == nil || o.Marker == nil || o.Marker.Owner != owner || s.State == membership.Foreign {
		return
	}
	s.Unfiltered, s.Admits = c.unfiltered(o), admitted(o)
	if c.Filters != nil {
		s.NoNftables = o.NoNftables
	}
	if !s.Desired && c.knowsNoFirewall(o) { // no step gives it another store
		s.OldStore = true
	}
}

// otherStoreFilters is why a member is restarted whose store may know no firewall.
const otherStoreFilters = "its store is of another release, and may know no firewall"

// mayMisunderstandFirewall tells whether a host's store may know no firewall, and can be exchanged.
func (c Cluster) mayMisunderstandFirewall(o *api.Observation) bool {
	return c.knowsNoFirewall(o) && c.Stores[o.Facts.Architecture] != ""
}

// knowsNoFirewall tells whether a host's store is of another release, and may know no firewall.
func (c Cluster) knowsNoFirewall(o *api.Observation) bool {
	return c.Filters != nil && o.Firewall == nil && o.Store.Selected != "" && !c.Carries(o.Store.Selected)
}

// Filtering tells whether a host is told how it filters along with its configuration, by a store: it is to filter, or
// filters and is not to, and the store is none of another release, which may know no firewall.
func (c Cluster) Filtering(o *api.Observation, store string) bool {
	if c.Filters == nil {
		return o != nil && o.Firewall != nil
	}
	return o == nil || o.Firewall != nil || c.Carries(store)
}

// AddressesOf returns the addresses at which hosts let peers in that are names, as far as any of them knows. A member
// that is gone may have taken its name along, and a new host has never known it.
func (r Reports) AddressesOf(peers []string) map[string][]netip.Addr {
	known := map[string][]netip.Addr{}
	for _, report := range r {
		if o := report.Observation; o != nil && o.Firewall != nil {
			for peer, addresses := range o.Firewall.Addresses {
				if slices.Contains(peers, peer) {
					known[peer] = append(known[peer], addresses...)
				}
			}
		}
	}
	for peer, addresses := range known {
		slices.SortFunc(addresses, netip.Addr.Compare)
		known[peer] = slices.Compact(addresses)
	}
	return known
}
