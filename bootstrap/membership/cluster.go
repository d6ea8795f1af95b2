package membership

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Spec is a desired cluster.
type Spec struct {
	Name    string
	Version string      // of etcd: 3.7.3
	Members []Member    // sorted by name
	Carried []string    // versions of etcd that a member can get; nil if only Version matters
	Recover Recovery    // how a lost quorum is recovered; zero: not at all
	Restore Restoration // the snapshot that the cluster is made from; zero: none
	// Built are the members' rebuild texts, by name. A member's data records the text that it began with. Rebuild names
	// the members whose text has changed: data that began with another text is built anew.
	Built   map[string]string
	Rebuild []string
	// HoldRestarts keeps serving members from being restarted for differences that the configuration does not ask for.
	HoldRestarts bool
	Zones        map[string]string // failure domains of the members, by name: members are restarted zone by zone
	Backups      string            // describes its backups, differently after every change of them; empty: none
	Renewals     string            // describes by whom its hosts have certificates renewed, likewise; empty: by nobody
	Firewall     string            // describes who may reach its members besides each other, likewise; empty: anybody
	SSHD         map[string]SSHD   // where members' hosts are reached, by name, if not at Address and the default port
	// OtherRenewals tells that Renewals says nothing of one of the two authorities: hosts keep what they do for that.
	OtherRenewals bool
}

// Recovery names the survivor of a cluster that has lost its quorum, and what is given up for it.
type Recovery struct {
	Member   string   // becomes the whole cluster; empty: nothing is recovered
	Abandons []string // the names of all other voters
	Loses    []string // those of them that may have writes that Member lacks, though their hosts were observed
}

// SSHD says where the sshd of a member's host is reached.
type SSHD struct {
	Host string // host name or IP address
	Port int    // 0: the provider's
}

// Member is a desired member.
type Member struct {
	Name    string // etcd's --name, unique in the cluster
	Address string // IP address or DNS name that members and clients reach it by
}

// String returns the member as all texts name it.
func (m Member) String() string { return m.Name + " (" + m.Address + ")" }

// HostOf returns the host of a peer URL, or the whole text if that is no URL.
func HostOf(peerURL string) string {
	at, err := url.Parse(peerURL)
	if err != nil || at.Hostname() == "" {
		return peerURL
	}
	return at.Hostname()
}

// Check refuses a spec that can never become a cluster: a wrong size, or a name or address that is given twice. Two
// spellings of one IP address are one address.
func (s Spec) Check() error {
	if err := CheckSize(len(s.Members)); err != nil {
		return err
	}
	names, addresses := map[string]bool{}, map[string]string{}
	for _, m := range s.Members {
		if names[m.Name] {
			return &Refusal{Member: m.Name, At: m.Address, Rule: "two members have this name", Remedy: "give every member a name of its own"}
		}
		names[m.Name] = true
		address := canonical(m.Address)
		if other, taken := addresses[address]; taken {
			return &Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("member %s has the same address", other), Remedy: "give every member a host of its own: two on one host fail together"}
		}
		addresses[address] = m.Name
	}
	return nil
}

// canonical returns one spelling for all spellings of an address.
func canonical(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(address, "."))
}

// Sort returns the members sorted by name.
func Sort(members []Member) []Member {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

// Claim says whose host it is, by what the host carries.
type Claim string

// Claims on a host.
const (
	Bare    Claim = "bare"    // no marker, and nothing that an etcd may have left
	Forming Claim = "forming" // an unfinished create of this very cluster
	Stale   Claim = "stale"   // an unfinished create that cannot be continued: other members, or data lost on the way
	Formed  Claim = "formed"  // this host is done, as a member of this very cluster
)

// Host compares an observed host with what is desired of its member.
type Host struct {
	// Refused is why the host may not be touched: it could not be observed, is unfit, or is someone else's. Nothing
	// else is known then. A host that could not be observed is never taken for an empty one.
	Refused string
	// Unimported means that the host is refused because it carries a finished cluster that this state does not hold.
	Unimported bool

	Claim      Claim
	Installed  bool   // the desired store is on it
	Configured bool   // keys, certificates, flags and unit are as desired, whatever the initial-cluster-state
	Synced     bool   // initial-cluster-state is existing
	Data       bool   // its data directory holds something
	Running    bool   // its unit is active or activating
	Ready      bool   // a linearizable read through it succeeded, and it knows every member by name
	ClusterID  string // hexadecimal, if it is ready
	Leader     string // member ID in hexadecimal, if it is ready
	Unbacked   string // how its backups differ from what is desired; empty: not at all
	Unrenewed  string // how the way in which it renews certificates by itself does; empty: not at all
}

// Observed is what was found, by member name. A member that is missing here was not observed.
type Observed map[string]Host
