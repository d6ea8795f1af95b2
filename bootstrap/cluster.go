package bootstrap

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/etcdflags"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Cluster is a desired cluster, down to what each host runs. Flags, subjects and markers follow from it alone.
type Cluster struct {
	membership.Spec
	DataDir     string // absolute; the same on every host
	ClientPort  int
	PeerPort    int
	MetricsPort int
	// Settings are additional etcd flags by name, without dashes. Feature gates add to the provider's own.
	Settings     map[string]string
	ServerNames  []string // additional DNS names and IP addresses that clients reach members by
	KeyAlgorithm string   // of the keys that hosts make, as api.KeyRequest names it
	PeerCA       string   // PEM bundle that members trust each other by
	// PeerName is the common name that peer certificates are to have, and that members are to demand of their peers.
	// Empty: each certificate has its member's name, and members demand none.
	PeerName string
	ClientCA string // PEM bundle that clients and servers trust each other by
	// Chains are the certificates, PEM, that follow those that an authority signs, by the authority's name; a missing
	// one is not known.
	Chains    map[string]string
	ClientCRL string             // PEM list of clients' certificates that are revoked; empty: members look at none
	Renewal   Renewal            // of members' certificates
	Signers   membership.Signers // the authorities whose keys are at hand; zero: the first of each bundle
	Stores    map[string]string  // SHA-256 of the store to run, by architecture as Go names it

	// StoresOf are the SHA-256 of all stores that a member can get, by version and then by architecture.
	StoresOf map[string]map[string]string

	// listedAt are the listed peer URLs of members that are to be re-addressed.
	listedAt map[membership.Member]string

	// named and demands are what Flags and Keys go by, which Peering sets: not every member may have what is desired
	// yet.
	named, demands string

	// Backup is how the hosts back the cluster up; nil: not at all. BackedUp sets it.
	Backup *api.Backup

	// OnHosts is how hosts renew certificates by themselves; nil: not at all. RenewedOnHosts sets both.
	OnHosts   *api.Renewal
	OnHostsOf api.RenewalPlaces // what of it is known; hosts keep their own of the other

	// Filters is who may reach the members besides each other; nil: anybody. Filtered sets it.
	Filters *Firewall

	// Inspects are the new members, of whose hosts the first contact takes an inventory. The others' hosts are taken as
	// they are: a refresh takes none, so that a plan would show steps for them that its apply refuses.
	Inspects []membership.Member
	Waived   []string // IDs of findings that refuse no host, and that nobody is warned of

	// MaxFsyncP99 is the longest p99 of appends to the disk of a new member; 0: the user has not said.
	MaxFsyncP99 time.Duration

	// Acknowledged are the log entries that members, by their ID, are known to have had on disk.
	Acknowledged map[string]uint64
}

// Formation identifies one attempt to form a cluster. A resumed attempt keeps it.
type Formation struct {
	Owner string // the token of the Terraform object that manages the cluster
	Token string // etcd's initial-cluster-token; with the members it decides the cluster ID
}

// Addresses returns the members' addresses, in the order of their names.
func (c Cluster) Addresses() []string {
	addresses := make([]string, len(c.Members))
	for i, m := range c.Members {
		addresses[i] = m.Address
	}
	return addresses
}

// Located returns the cluster without the members whose addresses are known only after apply.
func (c Cluster) Located() Cluster {
	c.Members = slices.DeleteFunc(slices.Clone(c.Members), func(m membership.Member) bool { return m.Address == "" })
	return c
}

// Endpoints returns the members' client URLs, in the order of their names.
func (c Cluster) Endpoints() []string {
	endpoints := make([]string, len(c.Members))
	for i, m := range c.Members {
		endpoints[i] = c.ClientURL(m)
	}
	return endpoints
}

// ClientURL returns the URL by which clients reach a member.
func (c Cluster) ClientURL(m membership.Member) string { return url("https", m.Address, c.ClientPort) }

// PeerURL returns the URL by which other members reach a member.
func (c Cluster) PeerURL(m membership.Member) string { return url("https", m.Address, c.PeerPort) }

// at tells whether a peer URL has a member's address, whatever its port: the port may be about to change, and a host
// carries one member.
func at(m membership.Member, peerURL string) bool { return membership.HostOf(peerURL) == m.Address }

// hasAddress tells whether any of these peer URLs has a member's address.
func hasAddress(m membership.Member, peerURLs []string) bool {
	return slices.ContainsFunc(peerURLs, func(peerURL string) bool { return at(m, peerURL) })
}

// InitialCluster returns etcd's initial-cluster: NAME=PEERURL, sorted by name.
func (c Cluster) InitialCluster() string {
	var entries []string
	for _, m := range c.Members {
		entries = append(entries, m.Name+"="+cmp.Or(c.listedAt[m], c.PeerURL(m)))
	}
	return strings.Join(entries, ",")
}

// Marker returns the marker for a member's host.
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

// Values of etcd's initial-cluster-state. New is only for the first start of a cluster.
const (
	StateNew      = "new"
	StateExisting = "existing"
)

// Flags returns all of a member's flags, sorted by name: those that make it a member of this cluster, and the
// settings. state is etcd's initial-cluster-state.
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
		"strict-reconfig-check":       "true",
		// Corruption checks cost one hash of the backend at start, and one a minute of what was compacted. Without
		// them a member with a bad disk spreads its data unnoticed.
		etcdflags.Gates: "CompactHashCheck=true,InitialCorruptCheck=true",
	}
	// Peers refuse a connection from an address that is not in the certificate, and a host with several addresses may
	// use any of them. So members bind outgoing peer connections to their own address. etcd 3.6 and 3.7 fail on an
	// IPv6 address here, since they add a port without brackets.
	if address, err := netip.ParseAddr(m.Address); err == nil && address.Is4() && !address.IsLoopback() {
		flags[etcdflags.Gates] += ",SetMemberLocalAddr=true"
	}
	if !c.allIPv4() {
		flags["peer-skip-client-san-verification"] = "true"
	}
	if c.demands != "" {
		flags[peerName] = c.demands
	}
	// Not without a list: etcd lets nobody in while it cannot read the file.
	if c.ClientCRL != "" {
		flags["client-crl-file"] = api.ClientCRLFile(c.Name)
	}
	own := flags[etcdflags.Gates]
	maps.Copy(flags, c.Settings)
	etcdflags.SetTLS(flags)
	if more := c.Settings[etcdflags.Gates]; more != "" {
		flags[etcdflags.Gates] = own + "," + more
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		lines = append(lines, "--"+name+"="+flags[name])
	}
	return lines
}

// allIPv4 tells whether all members connect to their peers from the addresses that they are known by. A member known
// by a name or an IPv6 address may connect from any address of its host, and etcd would look the name up at each
// handshake. Then the signature of the peer authority, which only members have, has to identify it.
func (c Cluster) allIPv4() bool {
	return !slices.ContainsFunc(c.Members, func(m membership.Member) bool {
		address, err := netip.ParseAddr(m.Address)
		return err != nil || !address.Is4()
	})
}

// Keys returns the key pairs that a member's host makes, and what their certificates are to say: exactly the names and
// addresses at which the member is dialed, each once.
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
		key(api.KeyPeer, cmp.Or(c.named, m.Name), m.Address),
		// The store and an operator on the host reach the member over loopback.
		key(api.KeyServer, m.Name, append([]string{m.Address, "localhost", "127.0.0.1", "::1"}, c.ServerNames...)...),
		// Once authentication is on, etcd takes a client certificate's common name for its user.
		key(api.KeyAdmin, "root"),
	}
}

// Carries tells whether this build of the provider carries a store.
func (c Cluster) Carries(store string) bool { return store != "" && c.versionOf(store) != "" }

// Unit renders the systemd unit for a host with this much memory.
func (c Cluster) Unit(memoryBytes int64) (string, error) {
	return systemd.Render(systemd.Options{Cluster: c.Name, Store: api.SelectedStore(c.Name), GuardStatus: api.GuardStatus, DataDir: c.DataDir, MemoryBytes: memoryBytes})
}

// Ports returns all ports that the cluster uses on its hosts.
func (c Cluster) Ports() []int { return []int{c.ClientPort, c.PeerPort, c.MetricsPort} }

// Ask returns the request to observe a host for this cluster.
func (c Cluster) Ask() api.ObserveRequest {
	return api.ObserveRequest{DataDir: c.DataDir, Ports: c.Ports(), Firewall: c.Filters != nil}
}

// AskOf returns the request to observe a member's host, with an inventory if the member is new.
func (c Cluster) AskOf(m membership.Member) api.ObserveRequest {
	request := c.Ask()
	if c.DataDir != "" && slices.Contains(c.Inspects, m) {
		request.Inventory = []string{c.DataDir}
	}
	return request
}

// listenClients returns the URLs for the member's address and loopback, or one for all addresses if that covers both.
func (c Cluster) listenClients(m membership.Member) string {
	on := listenOn(m.Address)
	if on != m.Address {
		return url("https", on, c.ClientPort)
	}
	return url("https", on, c.ClientPort) + "," + url("https", "127.0.0.1", c.ClientPort)
}

// listenOn returns the IP address to listen on. etcd listens only on IP addresses, so for a DNS name it listens on all
// of them.
func listenOn(address string) string {
	if _, err := netip.ParseAddr(address); err != nil {
		return "0.0.0.0"
	}
	return address
}

func url(scheme, address string, port int) string {
	return scheme + "://" + net.JoinHostPort(address, strconv.Itoa(port))
}
