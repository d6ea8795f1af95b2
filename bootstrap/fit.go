package bootstrap

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/preflight"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// NeedDataBytes is the free space needed for the data of a new member, beside the database that it copies.
const NeedDataBytes = preflight.LeastDataBytes

// Architecture returns Go's name for a machine as uname names it, or "" if no store is built for it.
func Architecture(machine string) string { return preflight.Architecture(machine) }

// Store returns the hash of the store that a host is to run, or "" if there is none for it.
func (c Cluster) Store(contact api.Contact) string { return c.Stores[Architecture(contact.Machine)] }

// unfit returns why a host cannot carry a member, or "".
func (c Cluster) unfit(contact api.Contact) string {
	if why := preflight.Needed(contact); why != "" {
		return why
	}
	hash := c.Store(contact)
	switch {
	case hash == "":
		return fmt.Sprintf("this build of the provider carries no store of etcd %s for linux/%s: use a release, or build with `make build ARCH=%[2]s`", c.Version, Architecture(contact.Machine))
	case portNotAllowed(contact.FirstPort, c.ports()) != "":
		return portNotAllowed(contact.FirstPort, c.ports())
	case contact.Marker == nil && !contact.DataNotEmpty && contact.DataFreeBytes > 0 && contact.DataFreeBytes < NeedDataBytes:
		return fmt.Sprintf("%d MiB are free for the data in %s and %d are needed", contact.DataFreeBytes>>20, c.DataDir, int64(NeedDataBytes)>>20)
	case c.unsuited(contact) != "":
		return c.unsuited(contact)
	case len(contact.Unwritable) > 0:
		return preflight.Unwritable(contact.Unwritable)
	case slices.Contains(contact.Installed, hash):
		return ""
	case contact.ReadOnly:
		return fmt.Sprintf("%s lies on a file system that is mounted read-only, and the store is installed there", api.StoreRoot)
	case contact.FreeBytes < preflight.LeastStoreBytes:
		return fmt.Sprintf("%d MiB are free for %s and %d are needed", contact.FreeBytes>>20, api.StoreRoot, int64(preflight.LeastStoreBytes)>>20)
	}
	return ""
}

// unsuited returns which errors of a host's inventory the cluster does not waive, or "".
func (c Cluster) unsuited(contact api.Contact) string {
	var texts []string
	for _, f := range preflight.Wanted(contact, c.Waived) {
		if f.Severity == preflight.Error {
			texts = append(texts, fmt.Sprintf("%s (to use the host all the same: preflight.waive = [%q])", f, f.ID))
		}
	}
	return strings.Join(texts, "; and ")
}

// Doubts returns the warnings that the inventories of hosts give rise to, by member, and that the cluster does not
// waive.
func (c Cluster) Doubts(reports Reports) (texts []string) {
	for _, m := range slices.SortedFunc(maps.Keys(reports), func(a, b membership.Member) int { return strings.Compare(a.Name, b.Name) }) {
		for _, f := range preflight.Wanted(reports[m].Contact, c.Waived) {
			if f.Severity == preflight.Warning {
				texts = append(texts, fmt.Sprintf("%s: %s (%s)", m, f, f.ID))
			}
		}
	}
	return append(texts, c.sharedKeys(reports)...)
}

// sharedKeys returns a text for each SSH host key that different machines have, as those do that were cloned from one
// image.
func (c Cluster) sharedKeys(reports Reports) (texts []string) {
	if slices.Contains(c.Waived, preflight.SharedHostKey) {
		return nil
	}
	with := map[string][]membership.Member{}
	for _, m := range slices.SortedFunc(maps.Keys(reports), func(a, b membership.Member) int { return strings.Compare(a.Name, b.Name) }) {
		if reports[m].Contact.Inventory == nil {
			continue
		}
		for _, key := range reports[m].Contact.Inventory.HostKeys {
			if !slices.ContainsFunc(with[key], func(other membership.Member) bool { return reports[m].OneMachine(reports[other]) }) {
				with[key] = append(with[key], m)
			}
		}
	}
	shared := map[string]string{} // kinds of keys, by who shares them
	for _, key := range slices.Sorted(maps.Keys(with)) {
		if len(with[key]) < 2 {
			continue
		}
		var names []string
		for _, m := range with[key] {
			names = append(names, m.String())
		}
		kind, _, _ := strings.Cut(key, " ")
		among := strings.Join(names, ", ")
		if shared[among] != "" {
			kind = shared[among] + ", " + kind
		}
		shared[among] = kind
	}
	for _, among := range slices.Sorted(maps.Keys(shared)) {
		f := preflight.Found(preflight.SharedHostKey, "different machines have the same SSH host key (%s), so whoever controls one can pose as the other", shared[among])
		texts = append(texts, fmt.Sprintf("%s: %s (%s)", among, f, f.ID))
	}
	return texts
}

// port is one of a cluster's ports, by the name of its attribute.
type port struct {
	name   string
	number int
}

func (c Cluster) ports() []port {
	return []port{{"client_port", c.ClientPort}, {"peer_port", c.PeerPort}, {"metrics_port", c.MetricsPort}}
}

// portNotAllowed returns why a member cannot bind one of these ports on a host where first is the lowest that it may
// bind, or "". A first of 0 means that the host has not reported it.
func portNotAllowed(first int, ports []port) string {
	for _, p := range ports {
		if p.number < first {
			return fmt.Sprintf("%s is %d, and members run as the user etcd, who may bind the ports from %d to 65535 alone on it: set %[1]s to one of these and put a load balancer or a rule of the firewall in front, "+
				"or have the host allow it (net.ipv4.ip_unprivileged_port_start = %[2]d in /etc/sysctl.d, and sysctl --system)", p.name, p.number, first)
		}
	}
	return ""
}

// firstPort returns the lowest port that users other than root may bind on the host; 0 if it is not known.
func (r Report) firstPort() int {
	if r.Observation != nil && r.Observation.Facts.FirstPort > 0 {
		return r.Observation.Facts.FirstPort
	}
	return r.Contact.FirstPort
}

// RefusePorts returns an error that names all hosts on which members could not listen on their new ports. Ports that
// members already had are not checked: they listen there, or did.
func (c Cluster) RefusePorts(before Cluster, reports Reports) error {
	given := slices.DeleteFunc(c.ports(), func(p port) bool { return slices.Contains(before.ports(), p) })
	var refusals []error
	for _, m := range c.Members {
		if why := portNotAllowed(reports[m].firstPort(), given); why != "" {
			refusals = append(refusals, refuse(m, why))
		}
	}
	return membership.JoinRefusals(refusals...)
}

// addressMissing returns a text if none of a host's interfaces has the member's address, on which etcd could not
// listen then. It is empty if one has it, if the address is a name, or if the interfaces are not known yet.
func addressMissing(m membership.Member, report Report) string {
	address, err := netip.ParseAddr(m.Address)
	found := report.addresses()
	if err != nil || len(found) == 0 {
		return ""
	}
	if report.Observation == nil && (address.IsLoopback() || address.IsLinkLocalUnicast()) {
		return "" // an inventory leaves those out
	}
	for _, text := range found {
		if has, err := netip.ParseAddr(text); err == nil && has.WithZone("").Unmap() == address.Unmap() {
			return ""
		}
	}
	return fmt.Sprintf("none of its interfaces has the address %s, which etcd is to listen on: they have %s; set address to one of these, and ssh_address to what the host is reached at from here",
		m.Address, strings.Join(found, ", "))
}

// addresses returns the addresses of a host's interfaces, by its store or by the inventory of a first contact.
func (r Report) addresses() []string {
	switch {
	case r.Observation != nil:
		return r.Observation.Facts.Addresses
	case r.Contact.Inventory != nil:
		return r.Contact.Inventory.Addresses
	}
	return nil
}

// Cramped returns why a member's host has no room to copy a database of this many bytes, or "".
func Cramped(data api.Data, database int64) string {
	need := database + NeedDataBytes
	if data.FreeBytes >= need {
		return ""
	}
	return fmt.Sprintf("%d MiB are free for the data in %s and %d are needed: %d for the database, as large as the others have it, and %d to begin with",
		data.FreeBytes>>20, data.Path, need>>20, database>>20, int64(NeedDataBytes)>>20)
}
