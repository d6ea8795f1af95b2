package bootstrap

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/etcdflags"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Cluster is a cluster as it is desired, down to what each host runs. Flags, subjects and markers
// are functions of it alone.
type Cluster struct {
	membership.Spec
	DataDir      string // absolute; the same on every host
	ClientPort   int
	PeerPort     int
	MetricsPort  int
	Settings     map[string]string // further etcd flags by name, without dashes; feature gates beside the provider's own
	ServerNames  []string          // DNS names and IP addresses that clients reach members by, beside those of the members themselves
	KeyAlgorithm string            // of the keys that hosts make, as api.KeyRequest names it
	PeerCA       string            // PEM bundle that members trust each other by
	ClientCA     string            // PEM bundle that clients and servers trust each other by
	Stores       map[string]string // SHA-256 of the store to run, by architecture as Go names it

	// StoresOf are the SHA-256 of all stores that a member can be given, by version and then by architecture.
	StoresOf map[string]map[string]string

	// elsewhere are the peer URLs of members that the cluster knows elsewhere as yet: they are to be re-addressed.
	elsewhere map[membership.Member]string

	// Backup is how the hosts back the cluster up; nil: they do not. BackedUp sets it.
	Backup *api.Backup

	// Acknowledged are entries of the log that members, by their ID, are known to have had on their disks.
	Acknowledged map[string]uint64
}

// Formation identifies one attempt to form a cluster. An attempt that is resumed keeps both.
type Formation struct {
	Owner string // the token of the Terraform object that manages the cluster
	Token string // etcd's initial-cluster-token; with the members it decides the cluster ID
}

// Addresses are the members' addresses, in the order of their names.
func (c Cluster) Addresses() []string {
	addresses := make([]string, len(c.Members))
	for i, m := range c.Members {
		addresses[i] = m.Address
	}
	return addresses
}

// Located is the cluster without the members whose addresses are known after apply.
func (c Cluster) Located() Cluster {
	c.Members = slices.DeleteFunc(slices.Clone(c.Members), func(m membership.Member) bool { return m.Address == "" })
	return c
}

// Endpoints are the members' client URLs, in the order of their names.
func (c Cluster) Endpoints() []string {
	endpoints := make([]string, len(c.Members))
	for i, m := range c.Members {
		endpoints[i] = c.ClientURL(m)
	}
	return endpoints
}

// ClientURL is where clients reach a member.
func (c Cluster) ClientURL(m membership.Member) string { return url("https", m.Address, c.ClientPort) }

// PeerURL is where the other members reach it.
func (c Cluster) PeerURL(m membership.Member) string { return url("https", m.Address, c.PeerPort) }

// at tells whether a peer URL is of a member's address, whatever its port: that may be about to change, and a host carries one
// member.
func at(m membership.Member, peerURL string) bool { return membership.HostOf(peerURL) == m.Address }

// atAny tells the same of several.
func atAny(m membership.Member, peerURLs []string) bool {
	return slices.ContainsFunc(peerURLs, func(peerURL string) bool { return at(m, peerURL) })
}

// InitialCluster is etcd's initial-cluster: NAME=PEERURL, sorted by name.
func (c Cluster) InitialCluster() string {
	var entries []string
	for _, m := range c.Members {
		entries = append(entries, m.Name+"="+cmp.Or(c.elsewhere[m], c.PeerURL(m)))
	}
	return strings.Join(entries, ",")
}

// Marker is what a host records of itself.
func (c Cluster) Marker(m membership.Member, f Formation, phase api.Phase) api.Marker {
	return api.Marker{
		Cluster:        c.Name,
		Owner:          f.Owner,
		Member:         m.Name,
		Phase:          phase,
		Token:          f.Token,
		InitialCluster: c.InitialCluster(),
		DataDir:        c.DataDir,
		ClientPort:     c.ClientPort,
		PeerPort:       c.PeerPort,
		MetricsPort:    c.MetricsPort,
		Rebuild:        c.Built[m.Name],
	}
}

// Values of etcd's initial-cluster-state. New is for the first start of a cluster alone.
const (
	StateNew      = "new"
	StateExisting = "existing"
)

// Flags are a member's complete flags, sorted by name: those that make it a member of this cluster,
// then the settings. state is etcd's initial-cluster-state: new or existing.
func (c Cluster) Flags(m membership.Member, f Formation, state string) []string {
	flags := map[string]string{
		"name":                        m.Name,
		"data-dir":                    c.DataDir,
		"initial-cluster":             c.InitialCluster(),
		"initial-cluster-state":       state,
		"initial-cluster-token":       f.Token,
		"initial-advertise-peer-urls": c.PeerURL(m),
		"advertise-client-urls":       c.ClientURL(m),
		"listen-peer-urls":            url("https", listenOn(m.Address), c.PeerPort),
		"listen-client-urls":          c.listenClients(m),
		"listen-metrics-urls":         url("http", "127.0.0.1", c.MetricsPort),
		"peer-client-cert-auth":       "true",
		"peer-cert-file":              api.CertificateFile(c.Name, api.KeyPeer),
		"peer-key-file":               api.KeyFile(c.Name, api.KeyPeer),
		"peer-trusted-ca-file":        api.PeerCAFile(c.Name),
		"client-cert-auth":            "true",
		"cert-file":                   api.CertificateFile(c.Name, api.KeyServer),
		"key-file":                    api.KeyFile(c.Name, api.KeyServer),
		"trusted-ca-file":             api.ClientCAFile(c.Name),
		"tls-min-version":             etcdflags.MinTLS,
		"strict-reconfig-check":       "true",
		// Corruption checks cost one hash of the backend at start and one a minute of what was compacted:
		// without them a member with a bad disk spreads its data unnoticed.
		etcdflags.Gates: "CompactHashCheck=true,InitialCorruptCheck=true",
	}
	// Peers refuse a connection that comes from another address than the certificate names, and a host with two of them
	// may use the other: members speak to peers from their own. etcd 3.6 and 3.7 end by an IPv6 address there, to which they
	// add a port without brackets.
	if address, err := netip.ParseAddr(m.Address); err == nil && address.Is4() && !address.IsLoopback() {
		flags[etcdflags.Gates] += ",SetMemberLocalAddr=true"
	}
	if !c.speaksByIPv4() {
		flags["peer-skip-client-san-verification"] = "true"
	}
	own := flags[etcdflags.Gates]
	maps.Copy(flags, c.Settings)
	if more := c.Settings[etcdflags.Gates]; more != "" {
		flags[etcdflags.Gates] = own + "," + more
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		lines = append(lines, "--"+name+"="+flags[name])
	}
	return lines
}

// speaksByIPv4 tells whether all members speak to their peers from the addresses that they are known by. One that is known by
// a name, or by an IPv6 address, may come from any that its host has, and etcd would look the name up at each handshake:
// then the peer authority's signature, which only members have, is what it is known by.
func (c Cluster) speaksByIPv4() bool {
	return !slices.ContainsFunc(c.Members, func(m membership.Member) bool {
		address, err := netip.ParseAddr(m.Address)
		return err != nil || !address.Is4()
	})
}

// Keys are the key pairs that a member's host makes, and what their certificates are to say: the
// names and addresses under which it is dialed, each once, and no others.
func (c Cluster) Keys(m membership.Member) []api.KeyRequest {
	key := func(name, commonName string, names ...string) api.KeyRequest {
		request := api.KeyRequest{Name: name, Algorithm: c.KeyAlgorithm, CommonName: commonName}
		for _, n := range names {
			to := &request.DNSNames
			if ip, err := netip.ParseAddr(n); err == nil {
				to, n = &request.IPs, ip.Unmap().String()
			}
			if !slices.Contains(*to, n) {
				*to = append(*to, n)
			}
		}
		return request
	}
	return []api.KeyRequest{
		key(api.KeyPeer, m.Name, m.Address),
		// The store and an operator on the host reach the member over loopback.
		key(api.KeyServer, m.Name, append([]string{m.Address, "localhost", "127.0.0.1", "::1"}, c.ServerNames...)...),
		// etcd takes a client certificate's common name for its user once authentication is on.
		key(api.KeyAdmin, "root"),
	}
}

// Unit is the text of the systemd unit of a host with this much memory.
func (c Cluster) Unit(memoryBytes int64) (string, error) {
	return systemd.Render(systemd.Options{Cluster: c.Name, Store: api.SelectedStore(c.Name), GuardStatus: api.GuardStatus, DataDir: c.DataDir, MemoryBytes: memoryBytes})
}

// Ports are all ports that the cluster takes on its hosts.
func (c Cluster) Ports() []int { return []int{c.ClientPort, c.PeerPort, c.MetricsPort} }

// Ask is what a host is asked when it is observed for this cluster.
func (c Cluster) Ask() api.ObserveRequest {
	return api.ObserveRequest{DataDir: c.DataDir, Ports: c.Ports()}
}

// listenClients is the member's address and loopback, or everything where that comes to the same.
func (c Cluster) listenClients(m membership.Member) string {
	on := listenOn(m.Address)
	if on != m.Address {
		return url("https", on, c.ClientPort)
	}
	return url("https", on, c.ClientPort) + "," + url("https", "127.0.0.1", c.ClientPort)
}

// listenOn is the IP address to listen on for an address. etcd listens on IP addresses alone, so a
// DNS name means all of them.
func listenOn(address string) string {
	if _, err := netip.ParseAddr(address); err != nil {
		return "0.0.0.0"
	}
	return address
}

func url(scheme, address string, port int) string {
	return scheme + "://" + net.JoinHostPort(address, strconv.Itoa(port))
}
