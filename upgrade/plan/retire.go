package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Retirement is how a cluster is taken off its hosts.
type Retirement struct {
	Owner    string
	Purge    bool                // the data is deleted, and not moved aside
	Abandons []membership.Member // whose hosts are lost for good, and left behind
}

// Retire is a step for every host that carries a part of the owner's cluster.
func Retire(cluster bootstrap.Cluster, reports bootstrap.Reports, r Retirement) ([]membership.Step, error) {
	var steps []membership.Step
	var refusals []error
	fate := "data moved aside"
	if r.Purge {
		fate = "data deleted"
	}
	for _, m := range cluster.Members {
		report := reports[m]
		switch abandoned := slices.Contains(r.Abandons, m); {
		case report.Err != nil && abandoned:
			continue
		case report.Err != nil:
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("it cannot be asked: %s", report.Err), Remedy: r.toAbandon(m, reports) + "; no host was changed"})
			continue
		case carries(report, r.Owner) && diskAway(report):
			if !abandoned {
				refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("the disk of its data is not mounted (%s), and a destroy would leave the data there", report.Observation.Guard),
					Remedy: fmt.Sprintf("mount it, and destroy again; if it is gone for good, take \"mount\" out of %s on this host, or %s; no host was changed", api.MarkerFile(cluster.Name), r.leaveBehind(m, r.left(reports)))})
			}
			continue
		case abandoned && carries(report, r.Owner):
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: "it is in abandon_on_destroy, and its host answers, and carries it",
				Remedy: "take it out of abandon_on_destroy, apply, and destroy again; no host was changed"})
			continue
		}
		twice := slices.ContainsFunc(steps, func(s membership.Step) bool { return reports[s.Subject()].OneMachine(report) })
		switch o, seen := report.Observation, report.Contact.Marker; {
		case twice: // another address of a host that is retired
		case o != nil && o.Marker != nil && o.Marker.Owner == r.Owner:
			steps = append(steps, membership.Step{Kind: membership.Retire, Member: m.Name, At: m.Address, To: fate})
		case o == nil && (report.Contact.MarkerError != "" || seen != nil && seen.Owner == r.Owner):
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: "it carries a part of the cluster, and no store to take that off with",
				Remedy: fmt.Sprintf("copy %s from another member's host, or stop and disable %s and remove %s by hand; then destroy again", api.StoreRoot, api.Unit(cluster.Name), api.ConfigDir(cluster.Name))})
		}
	}
	return steps, errors.Join(refusals...)
}

// toAbandon says what to do about a host that cannot be asked and is not abandoned.
func (r Retirement) toAbandon(m membership.Member, reports bootstrap.Reports) string {
	if barrier := bootstrap.Barrier(reports[m].Err); barrier != "" {
		return barrier.Remedy() + ", and destroy again"
	}
	for _, other := range r.Abandons {
		if other.Name == m.Name && reports[other].Err != nil {
			return fmt.Sprintf("abandon_on_destroy stands for %s (%s), whose host could not be asked at the last refresh, when this one answered: bring it back, or refresh (terraform apply -refresh-only), and destroy again", other.Name, other.Address)
		}
	}
	return "bring it back and destroy again; if it is gone for good, " + r.leaveBehind(m, r.left(reports))
}

// left are the names of those that are left behind as it is.
func (r Retirement) left(reports bootstrap.Reports) (names []string) {
	for _, m := range r.Abandons {
		if reports[m].Err != nil || diskAway(reports[m]) {
			names = append(names, m.Name)
		}
	}
	return names
}

// leaveBehind is what leaves a member's host behind, and those of others.
func (r Retirement) leaveBehind(m membership.Member, others []string) string {
	return fmt.Sprintf("set abandon_on_destroy = %s, apply, and destroy again", NameList(append([]string{m.Name}, others...)))
}

// diskAway tells whether the disk is not mounted that a host's data lies on: nothing can be moved aside there, or deleted.
func diskAway(report bootstrap.Report) bool {
	return report.Observation != nil && report.Observation.GuardCheck == api.GuardMount
}

// carries tells whether a host records a member of this owner's.
func carries(report bootstrap.Report, owner string) bool {
	if o := report.Observation; o != nil {
		return o.Marker != nil && o.Marker.Owner == owner
	}
	return report.Contact.Marker != nil && report.Contact.Marker.Owner == owner
}

// NameList is a list of names as a configuration has it, each of them once.
func NameList(names []string) string {
	var quoted []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		quoted = append(quoted, strconv.Quote(name))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
