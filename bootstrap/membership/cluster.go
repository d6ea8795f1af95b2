package membership

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Spec is a cluster as it is desired.
type Spec struct {
	Name    string
	Version string      // of etcd: 3.7.3
	Members []Member    // sorted by name
	Carried []string    // versions of etcd that a member can be given; nil where only Version matters
	Recover Recovery    // what is done where the quorum is lost; the zero Recovery: nothing
	Restore Restoration // what the cluster is made from; the zero Restoration: what it is
	// Built are texts of the configuration, by member, that are recorded with the data that a member begins with; Rebuild
	// names those whose text has changed: what was begun with another one is built anew.
	Built   map[string]string
	Rebuild []string
	// HoldRestarts leaves members that serve as they are, where they are outdated by nothing that the configuration says.
	HoldRestarts bool
	Zones        map[string]string // failure domains of the members, by name: they are restarted zone by zone; a member that is not in it has none
	Backups      string            // how its hosts back it up, in words that differ with every change of it; empty: they do not
}

// Recovery names a survivor of a cluster that has lost its quorum, and what is given up for it.
type Recovery struct {
	Member   string   // that becomes the whole cluster; empty: there is nothing to recover
	Abandons []string // the names of all other voters
	Loses    []string // of them, those that may have what it does not, though their hosts were seen
}

// Member is one member as it is desired.
type Member struct {
	Name    string // etcd's --name, unique in the cluster
	Address string // IP address or DNS name that members and clients reach it by
}

// String is the member as all texts have it.
func (m Member) String() string { return m.Name + " (" + m.Address + ")" }

// HostOf is the host of a peer URL, or the whole text where that names none.
func HostOf(peerURL string) string {
	at, err := url.Parse(peerURL)
	if err != nil || at.Hostname() == "" {
		return peerURL
	}
	return at.Hostname()
}

// Check refuses a spec that could never become a cluster: its size, and names or addresses that
// are given twice. Two spellings of one IP address are one address.
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

// canonical is one spelling for all spellings of an address.
func canonical(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(address, "."))
}

// Sort returns members in the order of their names.
func Sort(members []Member) []Member {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

// Claim is whose host it is, by what it carries.
type Claim string

// Claims on a host.
const (
	Bare    Claim = "bare"    // no marker, and nothing that an etcd may have left
	Forming Claim = "forming" // an unfinished create of this very cluster
	Stale   Claim = "stale"   // an unfinished create that cannot be continued: other members, or data lost on the way
	Formed  Claim = "formed"  // this host is done, as a member of this very cluster
)

// Host is a member's host as it was observed, measured against what is desired of it.
type Host struct {
	// Refused says why the host may not be touched: it could not be asked, it is unfit, or it is
	// someone else's. Nothing else is known then. "Could not ask" is never taken for "not there".
	Refused string
	// Unimported is true of one that is refused since it carries a finished cluster which no state here holds.
	Unimported bool

	Claim      Claim
	Installed  bool   // the desired store is on it
	Configured bool   // keys, certificates, flags and unit are as desired, whatever the initial-cluster-state
	Synced     bool   // initial-cluster-state is existing
	Data       bool   // its data directory holds something
	Running    bool   // its unit is active, or on the way to it
	Ready      bool   // a linearizable read through it succeeded, and it knows every member by name
	ClusterID  string // hexadecimal, where it is ready
	Leader     string // member ID in hexadecimal, where it is ready
	Unbacked   string // what is not as it is to be of how it backs the cluster up; empty: nothing
}

// Observed is what was found, by member name. A member that is missing here was not observed.
type Observed map[string]Host
