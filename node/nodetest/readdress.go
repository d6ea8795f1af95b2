package nodetest

import (
	"net/url"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// Readdress gives the host a further address.
func (w *World) Readdress(from, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.holds(from)
	if h == nil {
		w.t.Errorf("nodetest: no host has the address %s", from)
		return
	}
	if w.also == nil {
		w.also = map[string]*Host{}
	}
	w.also[to] = h
	h.addresses = append(h.addresses, to)
}

// keepalive is for how long Go takes a connection for alive that nobody answers on: one probe after 15 s, and nine more
// every 15 s.
const keepalive = 150 * time.Second

// LoseAddress takes an address from the host that has it. A member that listens on it continues to run, and nobody
// reaches it any more. No packet says so to the peers that it has connections with: they count them until TCP's
// keepalive has failed.
func (w *World) LoseAddress(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.holds(address); h != nil {
		w.each(func(at *Host, part *installation) {
			if p := part.unit.Process; p != nil {
				p.Lingering, p.LingeringUntil = running{at, part}.connected(), time.Now().Add(keepalive)
			}
		})
		h.addresses = slices.DeleteFunc(h.addresses, func(held string) bool { return held == address })
		w.convene()
	}
}

// ReturnAddress gives an address that its host has lost back to it.
func (w *World) ReturnAddress(address string) {
	h := w.Host(address)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holds(address) == nil {
		h.addresses = append(h.addresses, address)
		w.convene()
	}
}

// Pass gives an address that a host has lost to another host, which is reached at it from then on.
func (w *World) Pass(address, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, h := w.hosts[address], w.holds(to)
	for _, left := range before.addresses {
		w.hosts[left] = before
	}
	w.hosts[address] = h
	h.addresses = append(h.addresses, address)
	w.convene()
}

// Way returns the way to the host that has an address. If no host has it any more, the way leads nowhere.
func (w *World) Way(address string) *Host {
	w.t.Helper()
	h := w.Host(address)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holds(address) != nil {
		return h
	}
	nobody := newHost(w, address)
	nobody.Unreachable = errOff
	return nobody
}

// holds returns the host that has an address, or nil.
func (w *World) holds(address string) *Host {
	for _, h := range []*Host{w.hosts[address], w.also[address]} {
		if h != nil && slices.Contains(h.addresses, address) {
			return h
		}
	}
	return nil
}

// heard tells whether the host still has the address on which a process listens for its peers.
func (h *Host) heard(p *model.Process) bool {
	at, err := url.Parse(p.Flags["listen-peer-urls"])
	return err == nil && h.has(at.Hostname())
}

// has tells whether the host can listen on an address.
func (h *Host) has(address string) bool {
	return address == "0.0.0.0" || address == "127.0.0.1" || slices.Contains(h.addresses, address)
}

// updateMember gives a voter another peer URL.
func (c call) updateMember(r api.UpdateMemberRequest) (api.Done, error) {
	if r.PeerURL == "" {
		return api.Done{}, refuse("no peer URL was given for member %s", r.ID)
	}
	if _, err := api.ParseID(r.ID); err != nil {
		return api.Done{}, err
	}
	leader, s, err := c.changing(r.Owner, r.Timeout)
	if err != nil {
		return api.Done{}, err
	}
	i := s.Find(r.ID)
	switch {
	case i < 0:
		return api.Done{}, refuse("update member %s: it is not in the list", r.ID)
	case s.Members[i].Learner:
		return api.Done{}, c.world.unexpected("%s: learner %s is to be updated, to which some versions of etcd would give a vote by that", c.Address, r.ID)
	case s.Members[i].PeerURL == r.PeerURL:
		return api.Done{}, nil
	case s.At(r.PeerURL) >= 0:
		return api.Done{}, failed("update member %s: etcdserver: Peer URLs already exists", r.ID)
	}
	moved := s.Members[i]
	moved.PeerURL = r.PeerURL
	leader.Append(1, s.With(moved))
	c.world.convene()
	c.world.moment()
	return api.Done{}, nil
}
