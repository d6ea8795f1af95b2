package nodetest

import (
	"encoding/pem"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// This file has what a real host refuses about a request before it looks at itself.

// known refuses a key that no host makes.
func known(want api.KeyRequest) error {
	if err := api.CheckKeyName(want.Name); err != nil {
		return err
	}
	if !slices.Contains([]string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"}, want.Algorithm) {
		return refuse("key %s: there is no algorithm %q", want.Name, want.Algorithm)
	}
	return nil
}

// mayInstallCertificates refuses certificates and bundles that a member could not run with.
func (i *installation) mayInstallCertificates(r api.ConfigureRequest) error {
	for _, bundle := range []string{r.PeerCA, r.ClientCA} {
		if block, _ := pem.Decode([]byte(bundle)); bundle != "" && block == nil {
			return refuse("the bundle cannot be used: it holds no certificate")
		}
	}
	if block, _ := pem.Decode([]byte(r.ClientCRL)); r.ClientCRL != "" && block == nil {
		return refuse("the list of revoked certificates cannot be used: it holds no PEM block")
	}
	for name, text := range r.Certificates {
		if err := api.CheckKeyName(name); err != nil {
			return err
		}
		if i.next[name].Belongs(text) || i.keys[name].Belongs(text) {
			continue
		}
		if _, there := i.keys[name]; !there {
			return refuse("there is no key %s: prepare the host first", name)
		}
		return refuse("the certificate for key %s cannot be used: it certifies another key", name)
	}
	return nil
}

// mayHold fails the test if a certificate has expired, or does not hold yet, by the host's own clock: its etcd would
// refuse everybody who shows it.
func (c call) mayHold(certificates map[string]string) {
	for name, text := range certificates {
		leaf, err := cert.ParseLeaf([]byte(text))
		if now := c.world.Clock.Add(c.Skew); err == nil && (now.Before(leaf.NotBefore) || now.After(leaf.NotAfter)) {
			c.broken(HoldsThere, "certificate %s holds from %s until %s, and it is %s", name, leaf.NotBefore, leaf.NotAfter, now)
		}
	}
}

// keepFormed returns the marker to write: a member that has joined, and has its data, stays formed.
func (h *Host) keepFormed(old *api.Marker, marker api.Marker) api.Marker {
	if old == nil || old.Token != marker.Token || h.directory(old.DataDir).member == nil {
		return marker
	}
	if old.Phase == api.PhaseFormed && marker.Phase != api.PhaseFormed {
		marker.Phase, marker.ClusterID, marker.MemberID = old.Phase, old.ClusterID, old.MemberID
	}
	if marker.ClusterID == "" {
		marker.ClusterID, marker.MemberID = old.ClusterID, old.MemberID
	}
	return marker
}

// Trials is what a host finds out when it tries what a member needs there. The zero value finds nothing wrong.
type Trials struct {
	// Blocks are addresses of other hosts that no packet from this host reaches, while theirs reach this one.
	Blocks []string

	// SyncP99 is how long all but one of a hundred appends to the host's disk take at most; 0: a millisecond.
	SyncP99 time.Duration

	// Lookups are names that lead elsewhere on this host than on the others.
	Lookups map[string]api.Lookup
}

// preflight tries what a member needs on the host. It keeps nothing of it.
func (c call) preflight(r api.PreflightRequest) (api.Preflight, error) {
	if err := api.CheckPreflight(r); err != nil {
		return api.Preflight{}, err
	}
	found := api.Preflight{Unreached: map[string]string{}, Lookups: map[string]api.Lookup{}}
	if r.DataDir != "" {
		p99 := max(c.SyncP99, time.Millisecond)
		found.Appends = &api.Appends{Count: 1000, P50: p99 / 4, P99: p99, Max: 2 * p99}
	}
	if r.Listen != "" {
		found.ListenError = c.listenError(r.Listen)
	}
	for _, peer := range r.Dial {
		if why := c.unreached(peer, r); why != "" {
			found.Unreached[peer.Member] = why
		}
	}
	for _, name := range r.Names {
		lookup, odd := c.Lookups[name]
		if !odd {
			lookup = api.Lookup{Addresses: []string{"192.0.2.200"}}
		}
		found.Lookups[name] = lookup
	}
	return found, nil
}

// listenError is why the host cannot listen on an address; empty: it can.
func (c call) listenError(at string) string {
	on, err := netip.ParseAddrPort(at)
	if err != nil {
		return err.Error()
	}
	if !on.Addr().IsUnspecified() && !slices.Contains(c.addresses, on.Addr().String()) {
		return "cannot assign requested address"
	}
	if c.listensOn(int(on.Port())) {
		return "address already in use"
	}
	return ""
}

// listensOn tells whether somebody listens on a port of the host.
func (h *Host) listensOn(port int) bool {
	return slices.ContainsFunc(h.listeners(""), func(l api.Listener) bool { return l.Port == port })
}

// unreached is why a peer cannot be reached from the host; empty: it can.
func (c call) unreached(peer api.PreflightPeer, r api.PreflightRequest) string {
	address, port, err := net.SplitHostPort(peer.At)
	if err != nil {
		return err.Error()
	}
	other := c.world.holds(address)
	if other == nil || other.off || c.CutOff || other.CutOff || slices.Contains(c.Blocks, other.Address) || !other.admits(other.on(c.cluster), c.Host) {
		return "timeout"
	}
	number, _ := strconv.Atoi(port)
	switch listens := other.listensOn(number); {
	case listens && peer.Answers:
		return "something else answers there"
	case !listens && !peer.Answers:
		return "connection refused"
	}
	return ""
}
