// Package preflight finds what speaks against a host, from what its first contact reports. It reaches no host, and
// knows no cluster: what depends on the cluster that a host is for is bootstrap's.
package preflight

import (
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Severity is how much a finding matters.
type Severity string

// Severities, the gravest first.
const (
	Error   Severity = "error"   // no member may be put on the host
	Warning Severity = "warning" // a member runs there, and may be slow, or fail
	Info    Severity = "info"    // nothing is wrong, and some hosts do better
)

// Finding is something that speaks against a host.
type Finding struct {
	ID       string
	Severity Severity
	Text     string // what is found, and what is wanted
	Remedy   string // what the user can do
}

func (f Finding) String() string { return f.Text + "; " + f.Remedy }

// Host is what is known of a host.
type Host struct {
	api.Contact
	Clock clocks.Clock // compared with the operator's; the zero value: not known
}

// all returns all checks.
func all() []check { return slices.Concat(needed, room, told, wanted, tried) }

// Findings returns what speaks against a host, the gravest first. What is not known of a host speaks against nothing.
func Findings(host Host) []Finding {
	var found []Finding
	for _, c := range all() {
		found = append(found, c.find(host)...)
	}
	order := []Severity{Error, Warning, Info}
	slices.SortStableFunc(found, func(a, b Finding) int { return slices.Index(order, a.Severity) - slices.Index(order, b.Severity) })
	return found
}

// Wanted returns what speaks against a host by its inventory, without the findings that are waived and those that are
// mere information.
func Wanted(contact api.Contact, waived []string) (found []Finding) {
	for _, c := range wanted {
		if c.severity != Info && !slices.Contains(waived, c.id) {
			found = append(found, c.find(Host{Contact: contact})...)
		}
	}
	return found
}

// Needed returns why no member can run on a host, whatever its cluster is, or "".
func Needed(contact api.Contact) string {
	var reasons []string
	for _, c := range needed {
		for _, f := range c.find(Host{Contact: contact}) {
			reasons = append(reasons, f.String())
		}
	}
	return strings.Join(reasons, "; and ")
}

// Waivable returns the IDs of the findings that a user may decide to live with. Of the others, errors keep a member
// from running, and no plan shows mere information.
func Waivable() []string {
	var ids []string
	for _, c := range slices.Concat(wanted, tried) {
		if c.severity != Info {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// check looks for one kind of finding.
type check struct {
	id       string
	severity Severity
	remedy   string
	look     func(Host) []string // a text for each finding; nil: one host's contact alone does not show it
}

func (c check) find(host Host) (found []Finding) {
	if c.look == nil {
		return nil
	}
	if host.Inventory == nil {
		host.Inventory = &api.Inventory{} // of which nothing is known
	}
	for _, text := range c.look(host) {
		found = append(found, Finding{c.id, c.severity, text, c.remedy})
	}
	return found
}
