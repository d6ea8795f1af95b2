package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Retirement says how a cluster is removed from its hosts.
type Retirement struct {
	Owner    string
	Purge    bool                // the data is deleted instead of moved aside
	Abandons []membership.Member // members whose hosts are lost for good and left behind
}

// Retire plans a step for every host that carries a part of the owner's cluster.
func Retire(cluster bootstrap.Cluster, reports bootstrap.Reports, r Retirement) ([]membership.Step, error) {
	var steps []membership.Step
	var refusals []error
	fate := "data moved aside"
	if r.Purge {
		fate = "data deleted"
	}
	for _, m := range cluster.Members {
		report := reports[m]
		abandoned, misled := slices.Contains(r.Abandons, m), r.misled(cluster, reports, m)
		switch {
		case report.Err != nil && abandoned:
			continue
		case report.Err != nil:
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("its host could not be observed: %s", report.Err), Remedy: r.remedyFor(m, reports) + "; no host was changed"})
			continue
		case carries(report, r.Owner) && diskAway(report):
			if !abandoned {
				refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("the disk of its data is not mounted (%s), and a destroy would leave the data there", report.Observation.Guard),
					Remedy: fmt.Sprintf("mount it, and destroy again; if it is gone for good, take \"mount\" out of %s on this host, or %s; no host was changed", api.MarkerFile(cluster.Name), r.howToAbandon(m, r.abandoned(reports)))})
			}
			continue
		case abandoned && misled != "":
			continue // its machine is lost, and its address leads to another by now
		case abandoned && carries(report, r.Owner):
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: "it is in abandon_on_destroy, but its host answers and carries it",
				Remedy: "take it out of abandon_on_destroy, apply, and destroy again; no host was changed"})
			continue
		}
		twice := slices.ContainsFunc(steps, func(s membership.Step) bool { return reports[s.Subject()].OneMachine(report) })
		switch o, seen := report.Observation, report.Contact.Marker; {
		case misled != "":
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: misled + ", and its own machine would be left as it is",
				Remedy: "correct address, ssh_address or ssh_port of it, apply, and destroy again (some minutes later, if its machine was replaced just now); if its machine is gone for good, " + r.howToAbandon(m, r.abandoned(reports)) + "; no host was changed"})
		case twice: // a second address of a host that is retired already
		case o != nil && o.Marker != nil && o.Marker.Owner == r.Owner:
			steps = append(steps, membership.Step{Kind: membership.Retire, Member: m.Name, At: m.Address, To: fate})
		case o == nil && (report.Contact.MarkerError != "" || seen != nil && seen.Owner == r.Owner):
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: "it carries a part of the cluster, and no store that could remove it",
				Remedy: fmt.Sprintf("copy %s from another member's host, or stop and disable %s and remove %s by hand; then destroy again", api.StoreRoot, api.Unit(cluster.Name), api.ConfigDir(cluster.Name))})
		}
	}
	return steps, membership.JoinRefusals(refusals...)
}

// misled says which other machine a member's address leads to: the one that another member's address leads to as well,
// under that member's name, or one that carries nothing or where the member is down, while others are connected with
// the member. "" if it leads to none such.
func (r Retirement) misled(cluster bootstrap.Cluster, reports bootstrap.Reports, m membership.Member) string {
	if why := cluster.RunsElsewhere(r.Owner, reports, m); why != "" || !carries(reports[m], r.Owner) || reports[m].Observation == nil {
		return why
	}
	marker := reports[m].Observation.Marker
	if marker.Member != m.Name && slices.ContainsFunc(cluster.Members, func(other membership.Member) bool {
		return other.Name == marker.Member && other.Address != m.Address && reports[other].OneMachine(reports[m])
	}) {
		return fmt.Sprintf("its address leads to the machine of member %s", marker.Member)
	}
	return ""
}

// remedyFor says what to do about a host that cannot be reached and is not abandoned.
func (r Retirement) remedyFor(m membership.Member, reports bootstrap.Reports) string {
	if barrier := bootstrap.Barrier(reports[m].Err); barrier != "" {
		return barrier.Remedy() + ", and destroy again"
	}
	for _, other := range r.Abandons {
		if other.Name == m.Name && reports[other].Err != nil {
			return fmt.Sprintf("abandon_on_destroy applies to %s (%s), whose host could not be reached at the last refresh, when this one answered: bring it back, or refresh (terraform apply -refresh-only), and destroy again", other.Name, other.Address)
		}
	}
	return "bring it back and destroy again; if it is gone for good, " + r.howToAbandon(m, r.abandoned(reports))
}

// abandoned lists the members that are left behind already.
func (r Retirement) abandoned(reports bootstrap.Reports) (names []string) {
	for _, m := range r.Abandons {
		if reports[m].Err != nil || diskAway(reports[m]) {
			names = append(names, m.Name)
		}
	}
	return names
}

// howToAbandon says how to leave a member's host behind, together with the others that are.
func (r Retirement) howToAbandon(m membership.Member, others []string) string {
	return fmt.Sprintf("set abandon_on_destroy = %s, apply, and destroy again", NameList(append([]string{m.Name}, others...)))
}

// diskAway tells whether the disk for a host's data is not mounted, so that nothing there can be moved aside or
// deleted.
func diskAway(report bootstrap.Report) bool {
	return report.Observation != nil && report.Observation.GuardCheck == api.GuardMount
}

// carries tells whether a host records a member of this owner.
func carries(report bootstrap.Report, owner string) bool {
	if o := report.Observation; o != nil {
		return o.Marker != nil && o.Marker.Owner == owner
	}
	return report.Contact.Marker != nil && report.Contact.Marker.Owner == owner
}

// NameList formats names as a list in a configuration, each name once.
func NameList(names []string) string {
	var quoted []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		quoted = append(quoted, strconv.Quote(name))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
