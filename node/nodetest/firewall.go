package nodetest

import (
	"net/url"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// filter is how a host filters who reaches its member.
type filter struct {
	api.Firewall
	units   string // api.FirewallStatus.Units
	differs string // somebody has changed the kernel's table
	flushed bool   // it is gone: anybody reaches the member
}

// Filters returns what a host filters by for a cluster; nil: it does not.
func (h *Host) Filters(cluster string) *api.Firewall {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if f := h.on(cluster).filter; f != nil && !f.flushed {
		return &f.Firewall
	}
	return nil
}

// FlushFirewall removes all tables from the host's kernel, as another manager of them does when it starts.
func (h *Host) FlushFirewall() {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	for cluster, part := range h.clusters {
		if f := part.filter; f != nil {
			f.flushed, f.differs = true, "its table "+api.FirewallTable(cluster)+" is gone"
		}
	}
}

// ShutOut has somebody take a member's address out of the host's table.
func (h *Host) ShutOut(cluster, address string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if f := h.on(cluster).filter; f != nil {
		f.differs = "its table " + api.FirewallTable(cluster) + " lacks peers4 " + address
		h.world.shut[[2]string{h.Address, address}] = true
	}
	h.world.convene()
}

// firewall has the host filter, otherwise, or no longer. A member that etcd's list has is never shut out.
func (c call) firewall(r api.FirewallRequest) (api.Done, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Done{}, err
	}
	part := c.on(c.cluster)
	if r.Firewall == nil {
		part.filter = nil
		c.opened()
		return api.Done{}, nil
	}
	if err := r.Firewall.Check(); err != nil {
		return api.Done{}, err
	}
	if c.NoNftables != "" {
		return api.Done{}, refuse("%s", c.NoNftables)
	}
	for _, address := range c.world.listed(part.marker.ClusterID) {
		if !slices.Contains(r.Firewall.Peers, address) {
			return api.Done{}, c.world.unexpected("%s: its firewall is to let in %v, and etcd's list has a member at %s", c.Address, r.Firewall.Peers, address)
		}
	}
	text, err := systemd.RenderFirewall(systemd.FirewallOptions{Cluster: c.cluster, Store: api.SelectedStore(c.cluster), ConfigDir: api.ConfigDir(c.cluster), RunDir: api.RunDir})
	if err != nil {
		return api.Done{}, refuse("%s", err)
	}
	part.filter = &filter{Firewall: *r.Firewall, units: systemd.Digest(map[string]string{api.FirewallUnit(c.cluster): text})}
	c.opened()
	return api.Done{}, nil
}

// opened forgets whom somebody has shut out of the host.
func (h *Host) opened() {
	for pair := range h.world.shut {
		if pair[0] == h.Address {
			delete(h.world.shut, pair)
		}
	}
	h.world.convene()
}

// status returns what the host reports of its firewall, or nil if it does not filter.
func (f *filter) status() *api.FirewallStatus {
	if f == nil {
		return nil
	}
	return &api.FirewallStatus{Firewall: f.Firewall, Units: f.units, Differs: f.differs, Enabled: true}
}

// listed returns the addresses at which the leader of a cluster lists its members.
func (w *World) listed(cluster string) (addresses []string) {
	for at, group := range w.groups() {
		leader := leaderOf(group)
		if at.cluster != cluster || at.cluster == "" || leader == nil {
			continue
		}
		for _, m := range leader.State().Members {
			if u, err := url.Parse(m.PeerURL); err == nil {
				addresses = append(addresses, u.Hostname())
			}
		}
	}
	return addresses
}

// admits tells whether a host lets another one reach its member of a cluster.
func (h *Host) admits(part *installation, other *Host) bool {
	in := func(address string) bool { return h.world.shut[[2]string{h.Address, address}] }
	switch f := part.filter; {
	case h == other || f == nil || f.flushed:
		return true
	case slices.ContainsFunc(other.addresses, in):
		return false
	default:
		return slices.ContainsFunc(other.addresses, func(address string) bool { return slices.Contains(f.Peers, address) })
	}
}

// keptOut tells whether firewalls keep a host's member from most of the other running members of its cluster.
func (h *Host) keptOut(part *installation) bool {
	others, apart := 0, 0
	h.world.each(func(other *Host, its *installation) {
		p, own := its.unit.Process, part.unit.Process
		if other == h || p == nil || own == nil || p.Member.Cluster != own.Member.Cluster {
			return
		}
		others++
		if !h.admits(part, other) || !other.admits(its, h) {
			apart++
		}
	})
	return apart*2 > others
}

// mustBeLetIn fails the test if a member is added whom a running member's host keeps out: it could not copy the data.
func (w *World) mustBeLetIn(cluster, peerURL string) {
	at, err := url.Parse(peerURL)
	if err != nil {
		return
	}
	w.each(func(h *Host, part *installation) {
		p, f := part.unit.Process, part.filter
		if p != nil && p.Member.Cluster == cluster && f != nil && !f.flushed && !slices.Contains(f.Peers, at.Hostname()) {
			_ = w.unexpected("a member is added at %s, whom %s does not let in", at.Hostname(), h.Address)
		}
	})
}
